#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

size_t describe(char *text, size_t room, char end) {
  char exit[32] = "running";
  if (job.ended && WIFSIGNALED(job.status)) snprintf(exit, sizeof exit, "killed %d", WTERMSIG(job.status));
  else if (job.ended) snprintf(exit, sizeof exit, "exited %d", WEXITSTATUS(job.status));
  int size = snprintf(
    text, room, "job-supervisor %d %d %llu%cboot %s%cleader %d %llu%c%s%c%s %s%c", PROTOCOL, job.pid,
    (unsigned long long)job.start, end, job.boot, end, job.leader, (unsigned long long)job.leader_start, end, exit, end,
    *job.cgroup ? "cgroup" : "no-cgroup", *job.cgroup ? job.cgroup : job.no_cgroup, end);
  if (job.options.mark) size += snprintf(text + size, room - size, "mark %s%c", job.options.mark, end);
  return size;
}

bool write_state(void) {
  char text[ANSWER];
  ssize_t size = describe(text, sizeof text, '\n');
  int file = openat(job.folder, "state.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return false;
  ssize_t written = write(file, text, size);
  if (written >= 0 && written < size) errno = ENOSPC;
  // The exit status is what somebody comes back for after the power was off.
  bool done = written == size && (!job.ended || fsync(file) == 0);
  int error = errno;
  close(file);
  errno = error;
  return done && renameat(job.folder, "state.new", job.folder, "state") == 0;
}

void remove_state(void) {
  unlinkat(job.folder, "state", 0);
  unlinkat(job.folder, "state.new", 0);
}
