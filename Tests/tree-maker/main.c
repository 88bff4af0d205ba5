// tree-maker many COUNT | moving COUNT | root | lock FILE: trees of processes that are hard to end, for tests. Each says
// `up` when it is there.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void say(const char *text) { (void)!write(STDOUT_FILENO, text, strlen(text)); }

static void idle(void) {
  for (;;) pause();
}

/// Tells the first process that one more is there.
static int arrivals[2];
static void arrive(void) { (void)!write(arrivals[1], "", 1); }
static void await_arrivals(int count) {
  char byte;
  while (count > 0) count -= read(arrivals[0], &byte, 1) == 1;
  say("up\n");
}

/// 16 of 50 in sessions of their own, and with them orphans; all ignore SIGTERM.
static void many(int count) {
  for (int group = 0; group < count / 10; group++) {
    if (fork() != 0) continue;
    for (int member = 1; member < 10; member++) {
      if (fork() != 0) continue;
      if (member % 3 == 0 && setsid() > 0 && fork() != 0) _exit(0);
      arrive();
      idle();
    }
    if (group % 5 == 0 && setsid() > 0 && fork() != 0) _exit(0);
    arrive();
    idle();
  }
  await_arrivals(count / 10 * 10);
}

/// Each moves on: into a successor, in a session of its own; for a minute, so that a test that fails leaves none for good.
static void moving(int count) {
  time_t end = time(NULL) + 60;
  for (int chain = 0; chain < count; chain++) {
    if (fork() != 0) continue;
    for (int generation = 0; time(NULL) < end; generation++) {
      if (generation == 3) arrive();
      setsid();
      if (fork() != 0) _exit(0);
    }
    _exit(0);
  }
  await_arrivals(count);
}

/// Takes a POSIX lock and keeps it, or says why not.
static void lock(const char *path) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  int file = open(path, O_RDWR);
  if (fcntl(file, F_SETLK, &lock) != 0) {
    say(errno == EAGAIN || errno == EACCES ? "locked\n" : "failed\n");
    _exit(1);
  }
  say("up\n");
}

int main(int count, char **arguments) {
  const char *mode = count > 1 ? arguments[1] : "", *value = count > 2 ? arguments[2] : "";
  if (pipe(arrivals) != 0) return 1;
  signal(SIGCHLD, SIG_IGN);
  if (!strcmp(mode, "lock")) lock(value);
  else signal(SIGTERM, SIG_IGN);
  if (!strcmp(mode, "many")) many(atoi(value));
  if (!strcmp(mode, "moving")) moving(atoi(value));
  // Set-user-ID root: a process that its starter cannot signal, as sudo's.
  if (!strcmp(mode, "root")) say(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0 ? "up\n" : "not root\n");
  idle();
}
