#include "supervisor.h"

#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/// The child's part, up to exec. Neither libc nor a sanitizer knows of a process by clone3: system calls only.
__attribute__((noreturn, no_sanitize("thread", "address")))
static void become_leader(int null, int output, int report) {
  uint64_t nothing[8] = {0}; // SIG_DFL without flags, an empty mask, as the kernel has them
  for (long number = 1; number <= 64; number++) syscall(SYS_rt_sigaction, number, nothing, NULL, 8L);
  syscall(SYS_rt_sigprocmask, (long)SIG_SETMASK, nothing, NULL, 8L);
  syscall(SYS_setsid);
  syscall(SYS_prctl, (long)PR_SET_PDEATHSIG, (long)SIGKILL, 0L, 0L, 0L);
  syscall(SYS_setpriority, (long)PRIO_PROCESS, 0L, (long)job.niceness);
  syscall(SYS_dup3, (long)null, 0L, 0L);
  syscall(SYS_dup3, (long)output, 1L, 0L);
  syscall(SYS_dup3, (long)output, 2L, 0L);
  // Nobody is left to be told if the supervisor died before it was to be our death's signal.
  if (syscall(SYS_getppid) == job.pid) syscall(SYS_execve, job.command[0], job.command, environ);
  int error = errno;
  syscall(SYS_write, (long)report, &error, (long)sizeof error);
  syscall(SYS_exit_group, 127L);
  __builtin_unreachable();
}

/// Like fork, right into the cgroup if there is one (>= 0).
__attribute__((no_sanitize("thread", "address")))
static pid_t clone_into(int cgroup) {
  struct clone_args arguments = {.exit_signal = SIGCHLD};
  if (cgroup >= 0) arguments.flags = CLONE_INTO_CGROUP, arguments.cgroup = cgroup;
  return syscall(SYS_clone3, &arguments, sizeof arguments);
}

const char *start_leader(int cgroup) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC), report[2], error;
  if (null < 0 || pipe2(report, O_CLOEXEC) != 0) return "cannot open /dev/null and a pipe";
  int output = open(job.output, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
  if (output < 0) return "cannot write the output file";
  pid_t pid = clone_into(cgroup);
  if (pid < 0 && cgroup >= 0) {
    snprintf(job.no_cgroup, sizeof job.no_cgroup, "cannot start a process in it: %s", strerror(errno));
    remove_cgroup();
    pid = clone_into(-1);
  }
  // Some containers forbid clone3.
  if (pid < 0) pid = fork();
  if (pid == 0) become_leader(null, output, report[1]);
  if (pid < 0) return "cannot start a process";
  close(null), close(output), close(report[1]);
  bool failed = read(report[0], &error, sizeof error) > 0;
  close(report[0]);
  job.leader = pid;
  job.leader_start = process_start(pid); // there, if only as a zombie
  if (failed) waitpid(pid, NULL, 0), errno = error;
  return failed ? "cannot start the program" : NULL;
}

static enum { IDLE, TERMINATING, KILLING } phase;
static int64_t deadline; // of the phase

bool reap(void) {
  // Bounded: a tree that forks without end must not keep us from our clients.
  for (int count = 0; count < 1000; count++) {
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG | __WALL);
    if (pid == 0) return false;
    if (pid < 0) return job.gone = errno == ECHILD, false;
    if (pid == job.leader && !job.ended) job.ended = true, job.status = status;
  }
  return true;
}

static void kill_child(pid_t pid, void *number) { kill(pid, *(int *)number); }

static size_t members; // of the leader's session among our children, as of the last look

static void signal_member(pid_t pid, void *number) {
  if (getsid(pid) == job.leader) members++, kill_child(pid, number);
}

/// Whether there is anybody in the session. When the leader is reaped, whoever is below its children is left out: nothing
/// says that the session's number is still its own.
static bool signal_session(int number) {
  if (!job.ended) return kill(-job.leader, number), true;
  members = 0;
  each_child(signal_member, &number);
  return members > 0;
}

void stop_tree(int64_t grace) {
  int64_t end = now_ms() + grace;
  if (phase == TERMINATING && end < deadline) deadline = end;
  if (phase != IDLE) return;
  phase = TERMINATING, deadline = end;
  signal_session(SIGTERM);
  signal_session(SIGCONT);
}

bool is_stopping(void) { return phase != IDLE; }

int64_t stop_deadline(void) { return deadline; }

enum outcome advance_stop(void) {
  int number = SIGKILL;
  // Only who was asked to end gets the grace.
  if (phase == TERMINATING && (now_ms() >= deadline || !signal_session(0)))
    phase = KILLING, deadline = now_ms() + SURVIVOR_LIMIT;
  // Each death can give us new children, and each death wakes us: round after round, until there is nobody to wait for.
  while (phase == KILLING && !job.gone) {
    kill_cgroup();
    each_child(kill_child, &number);
    if (!reap()) break;
  }
  if (!job.gone && (phase != KILLING || now_ms() < deadline)) return NOTHING_NEW;
  phase = IDLE;
  return job.gone ? TREE_GONE : TREE_SURVIVES;
}
