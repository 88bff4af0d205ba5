#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

void clinux_reset_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  // What is set is kept: handlers are this process's own.
  for (int number = 1; number < NSIG; number++) {
    struct sigaction action;
    if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) signal(number, SIG_DFL);
  }
  sigprocmask(SIG_SETMASK, &none, NULL);
}

uint64_t clinux_raise_open_files(uint64_t wanted) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  if (limit.rlim_cur >= wanted) return limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
  setrlimit(RLIMIT_NOFILE, &limit);
  return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

int clinux_replace_process(const char *path, char *const arguments[]) {
  if (access(path, X_OK) != 0) return errno;
  if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return errno;
  sigset_t none;
  sigemptyset(&none);
  for (int number = 1; number < NSIG; number++) signal(number, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execv(path, arguments);
  return errno;
}
