#include "supervisor.h"

#include <ctype.h>
#include <time.h>

int64_t now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

static size_t read_file(pid_t pid, const char *name, char *text, size_t room) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t size = file < 0 ? 0 : read(file, text, room - 1);
  if (file >= 0) close(file);
  if (size < 0) size = 0;
  text[size] = 0;
  return size;
}

uint64_t process_start(pid_t pid) {
  char text[1024];
  read_file(pid, "stat", text, sizeof text);
  // Field 22 of proc(5). The second, the name, can hold anything, parentheses too.
  char *rest = strrchr(text, ')');
  for (int field = 2; rest && field < 22; field++) rest = strchr(rest + 1, ' ');
  return rest ? strtoull(rest, NULL, 10) : 0;
}

void each_child(void (*visit)(pid_t, void *), void *context) {
  FILE *list = fopen("/proc/thread-self/children", "re");
  // Nobody is missed while the list is read, and no number used again: only we take processes off it, by reaping.
  for (pid_t pid; list && fscanf(list, "%d", &pid) == 1;) visit(pid, context);
  if (list) fclose(list);
}

struct text {
  char *next, *end;
};

static void describe_child(pid_t pid, void *context) {
  struct text *text = context;
  char command[160];
  size_t size = read_file(pid, "cmdline", command, sizeof command);
  while (size > 0 && !command[size - 1]) size--;
  if (!size) size = read_file(pid, "comm", command, sizeof command);
  for (size_t i = 0; i < size; i++)
    if (!isprint((unsigned char)command[i])) command[i] = command[i] ? '?' : ' ';
  if (text->end - text->next > (ssize_t)size + 16) text->next += sprintf(text->next, "\t%d %s", pid, command);
}

size_t describe_children(char *text, size_t room) {
  struct text list = {text, text + room};
  each_child(describe_child, &list);
  return list.next - text;
}

size_t describe_exit(char *text, size_t room) {
  if (!job.ended) return snprintf(text, room, "running");
  if (WIFSIGNALED(job.status)) return snprintf(text, room, "killed %d", WTERMSIG(job.status));
  return snprintf(text, room, "exited %d", WEXITSTATUS(job.status));
}

size_t describe_job(char *text, size_t room, char end) {
  unsigned long long start = job.start, leader_start = job.leader_start;
  size_t size = snprintf(text, room, "job-supervisor %d %d %llu%c", PROTOCOL, job.pid, start, end);
  size += snprintf(text + size, room - size, "boot %s%cleader %d %llu%c", job.boot, end, job.leader, leader_start, end);
  size += describe_exit(text + size, room - size);
  size += snprintf(text + size, room - size, *job.cgroup ? "%ccgroup %s%c" : "%cno-cgroup %s%c", end,
    *job.cgroup ? job.cgroup : job.no_cgroup, end);
  if (job.mark) size += snprintf(text + size, room - size, "mark %s%c", job.mark, end);
  return size;
}

bool write_state(void) {
  char text[ANSWER];
  ssize_t size = describe_job(text, sizeof text, '\n');
  int file = openat(job.folder_fd, "state.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0) return false;
  errno = ENOSPC; // what a write that was cut off means
  // Nobody comes back for it after the power was off: to wait for the disk would only put off word of the exit.
  bool done = write(file, text, size) == size;
  int error = errno;
  close(file);
  errno = error;
  return done && renameat(job.folder_fd, "state.new", job.folder_fd, "state") == 0;
}
