#define _GNU_SOURCE
#include "supervisor.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static size_t read_file(pid_t pid, const char *name, char *text, size_t room) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t size = file < 0 ? 0 : read(file, text, room - 1);
  if (file >= 0) close(file);
  text[size > 0 ? size : 0] = 0;
  return size > 0 ? (size_t)size : 0;
}

/// A field of /proc/PID/stat, counted from 3 (the state) as in proc(5).
static unsigned long long stat_field(pid_t pid, int number) {
  char text[1024], *rest = text;
  if (!read_file(pid, "stat", text, sizeof text)) return 0;
  // The name before can hold anything, parentheses too.
  rest = strrchr(text, ')');
  for (int field = 2; rest && field < number; field++) rest = strchr(rest + 1, ' ');
  return rest ? strtoull(rest, NULL, 10) : 0;
}

uint64_t process_start(pid_t pid) { return stat_field(pid, 22); }

void process_command(pid_t pid, char *text, size_t room) {
  size_t size = read_file(pid, "cmdline", text, room);
  while (size > 0 && !text[size - 1]) size--;
  if (!size) size = read_file(pid, "comm", text, room);
  for (size_t i = 0; i < size; i++)
    if (!isprint((unsigned char)text[i])) text[i] = text[i] ? '?' : ' ';
}

void each_child(void (*visit)(pid_t, void *), void *context) {
  char path[64];
  pid_t pid;
  snprintf(path, sizeof path, "/proc/self/task/%d/children", job.pid);
  FILE *list = fopen(path, "re");
  if (list) {
    // Nothing is missed while the list is read: only we can take somebody off it, by reaping.
    while (fscanf(list, "%d", &pid) == 1) visit(pid, context);
    fclose(list);
    return;
  }
  // A kernel without CONFIG_PROC_CHILDREN.
  DIR *folder = opendir("/proc");
  if (!folder) return;
  for (struct dirent *entry; (entry = readdir(folder));)
    if ((pid = atoi(entry->d_name)) > 0 && stat_field(pid, 4) == (unsigned)job.pid) visit(pid, context);
  closedir(folder);
}

int64_t now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}
