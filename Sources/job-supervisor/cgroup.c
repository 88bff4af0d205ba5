#include "supervisor.h"

static int open_kill_file(void) {
  char path[sizeof job.cgroup + 16];
  snprintf(path, sizeof path, "%s/cgroup.kill", job.cgroup);
  return open(path, O_WRONLY | O_CLOEXEC);
}

int make_cgroup(void) {
  int cgroup = -1, file = -1;
  // The name says whose it is: a state file that is wrong cannot have another one killed.
  int size = !job.parent_cgroup ? 0 : snprintf(
    job.cgroup, sizeof job.cgroup, "%s/job-%d-%llu", job.parent_cgroup, job.pid, (unsigned long long)job.start);
  errno = size ? ENAMETOOLONG : ENOENT;
  if (size > 0 && size < (int)sizeof job.cgroup && mkdir(job.cgroup, 0755) == 0) {
    file = open_kill_file(); // fails in an ordinary folder, and before Linux 5.14
    if (file >= 0) cgroup = open(job.cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC), close(file);
    if (cgroup < 0) rmdir(job.cgroup);
  }
  if (cgroup < 0) {
    *job.cgroup = 0;
    snprintf(job.no_cgroup, sizeof job.no_cgroup, "%.80s: %s", size ? job.parent_cgroup : "--cgroup", strerror(errno));
  }
  return cgroup;
}

void kill_cgroup(void) {
  int file = *job.cgroup ? open_kill_file() : -1;
  if (file < 0) return;
  (void)!write(file, "1", 1);
  close(file);
}

void remove_cgroup(void) {
  if (*job.cgroup) rmdir(job.cgroup);
  *job.cgroup = 0;
}
