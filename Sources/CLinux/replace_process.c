#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <unistd.h>

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
