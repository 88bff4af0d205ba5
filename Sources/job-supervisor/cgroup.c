#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int make_cgroup(void) {
  char path[sizeof job.cgroup], events[sizeof path + 16];
  const char *parent = job.options.cgroup;
  if (!parent) {
    snprintf(job.no_cgroup, sizeof job.no_cgroup, "none was asked for");
    return -1;
  }
  // The name says whose it is: nobody who reads a wrong state file kills the wrong one.
  int size = snprintf(path, sizeof path, "%s/job-%d-%llu", parent, job.pid, (unsigned long long)job.start);
  int cgroup = -1;
  if (size >= (int)sizeof path) errno = ENAMETOOLONG;
  else if (mkdir(path, 0755) == 0) {
    snprintf(events, sizeof events, "%s/cgroup.kill", path);
    // An ordinary folder, or a kernel before 5.14.
    if (access(events, W_OK) == 0) cgroup = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (cgroup < 0) {
      int error = errno;
      rmdir(path);
      errno = error;
    }
  }
  if (cgroup >= 0) memcpy(job.cgroup, path, size + 1);
  else snprintf(job.no_cgroup, sizeof job.no_cgroup, "%.80s: %s", parent, strerror(errno));
  return cgroup;
}

void kill_cgroup(void) {
  char path[sizeof job.cgroup + 16];
  if (!*job.cgroup) return;
  snprintf(path, sizeof path, "%s/cgroup.kill", job.cgroup);
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  (void)!write(file, "1", 1);
  close(file);
}

void remove_cgroup(void) {
  if (*job.cgroup) rmdir(job.cgroup);
  *job.cgroup = 0;
}
