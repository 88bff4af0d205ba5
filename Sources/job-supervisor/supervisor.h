#pragma once
// job-supervisor: the parent of one tree of processes. It has one thread, which must not block on anybody.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
  PROTOCOL = 1,          // of socket and state file
  SURVIVOR_LIMIT = 5000, // ms after SIGKILL; who is left then is named
  ORPHAN_GRACE = 30000,  // ms for a tree that nobody asks for any more
  ANSWER = 8192,         // bytes of the longest answer, and of the state file
};

/// What the command line says.
struct options {
  const char *folder, *output, *cgroup, *mark;
  int niceness;
  bool holds_lock; // standard input is a lock to keep
  int64_t orphan_limit;
  char **command;
};

/// The supervisor and its job.
struct job {
  struct options options;
  int folder; // O_PATH
  pid_t pid;
  uint64_t start;
  char boot[40];
  pid_t leader;
  uint64_t leader_start;
  bool ended; // the leader; it is reaped, its pid means nothing any more
  int status; // as of waitpid, once ended
  bool gone;  // no process is left: waitpid said ECHILD
  char cgroup[4096], no_cgroup[128]; // the one of the job, or why there is none
};
extern struct job job;

// process.c: what /proc knows
uint64_t process_start(pid_t pid); // ticks since boot; 0: no such process
void process_command(pid_t pid, char *text, size_t room);
void each_child(void (*visit)(pid_t, void *), void *context);
int64_t now_ms(void); // monotonic

// state.c
size_t describe(char *text, size_t room, char end); // every item of the state, each followed by `end`
bool write_state(void);                             // false: see errno
void remove_state(void);

// cgroup.c
int make_cgroup(void); // an O_PATH descriptor, or -1 with job.no_cgroup
void kill_cgroup(void);
void remove_cgroup(void);

// tree.c: start, reaping, stopping
const char *start_leader(int cgroup); // null, or what went wrong: see errno
void stop_tree(int64_t grace);        // joins a stop that goes on, and can shorten its grace
bool is_stopping(void);
int64_t tree_deadline(void);          // when advance_tree wants to be called at the latest
enum outcome { NOTHING_NEW, TREE_GONE, TREE_SURVIVES } advance_tree(void);
bool reap(void); // whether there may be more to reap
size_t describe_survivors(char *text, size_t room); // each preceded by a tab

// clients.c: the socket
struct pollfd;
enum { CLIENTS = 64 };
bool listen_for_clients(void); // false: see errno
void close_socket(void);
size_t poll_clients(struct pollfd *polled); // fills at most CLIENTS + 1, returns how many
void serve_clients(const struct pollfd *polled, size_t count);
size_t client_count(void);
void tell_exit(void);
void tell_outcome(enum outcome outcome);
void tell_release(void);
extern bool released; // the status was collected
