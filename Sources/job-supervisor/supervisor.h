#pragma once
// job-supervisor: the parent of one tree of processes. It has one thread, which must not block on anybody.
#define _GNU_SOURCE // so this comes before all other headers
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  PROTOCOL = 1,          // of socket and state file; that SIGTERM ends us, and our first line, never change
  SURVIVOR_LIMIT = 5000, // ms after SIGKILL; who is left then is named
  ORPHAN_GRACE = 30000,  // ms for a tree that nobody asks for any more
  ANSWER = 8192,         // bytes of the longest answer, and of the state file
  CLIENTS = 64,
};

/// The supervisor and its job.
extern struct job {
  const char *folder, *output, *parent_cgroup, *mark; // from the command line, as those that follow
  char **command;
  int niceness;
  bool holds_lock;      // standard input is a lock to keep
  int64_t orphan_limit; // ms
  int folder_fd;
  pid_t pid, leader;
  uint64_t start, leader_start; // ticks since boot: with them a recycled pid is told
  char boot[40];
  char cgroup[4096], no_cgroup[128]; // the one of the job, or why there is none
  bool ended;    // the leader; it is reaped, and its number means nothing any more
  int status;    // as of waitpid, once it has ended
  bool gone;     // no process is left: waitpid said ECHILD
  bool released; // the status was collected
} job;

// state.c: what is known
int64_t now_ms(void); // monotonic
uint64_t process_start(pid_t pid);
void each_child(void (*visit)(pid_t, void *), void *context);
size_t describe_exit(char *text, size_t room);          // `exited 0`, `killed 9` or `running`
size_t describe_job(char *text, size_t room, char end); // items, `end` after each
size_t describe_children(char *text, size_t room);      // as many as there is room for, a tab before each
bool write_state(void);                                 // false: see errno

// cgroup.c
int make_cgroup(void); // a descriptor, or -1 with job.no_cgroup
void kill_cgroup(void);
void remove_cgroup(void);

// tree.c: start, reaping, end
const char *start_leader(int cgroup); // null, or what went wrong: see errno
bool reap(void);                      // whether there may be more to reap
void stop_tree(int64_t grace);        // joins a stop that goes on, and can shorten its grace
int64_t stop_deadline(void);          // when advance_stop has to be called at the latest; INT64_MAX: nothing stops
enum outcome { NOTHING_NEW, TREE_GONE, TREE_SURVIVES } advance_stop(void); // gone, once it is, for good

// clients.c: the socket
bool listen_for_clients(void);            // false: see errno
bool poll_clients(struct pollfd *polled); // fills CLIENTS + 1; whether there are any
void serve_clients(const struct pollfd *polled);
void tell_clients(enum outcome outcome);  // what they wait for
