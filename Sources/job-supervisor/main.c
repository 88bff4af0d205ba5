#include "supervisor.h"

#include <getopt.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>

struct job job = {.orphan_limit = 900 * 1000};
static int report = STDOUT_FILENO; // who started us reads it

static const char usage[] =
  "error: usage: job-supervisor --folder FOLDER --output FILE [--cgroup PARENT] [--mark NAME=VALUE] [--niceness NUMBER]\n"
  "                             [--orphan-limit SECONDS] [--lock] COMMAND [ARGUMENT]...\n";

__attribute__((noreturn, format(printf, 1, 2)))
static void fail(const char *format, ...) {
  va_list values;
  va_start(values, format);
  vdprintf(report, format, values);
  _exit(1);
}

/// Whether it fits into a line of the state file.
static bool is_plain(const char *text) { return !text || (strlen(text) < 2000 && !strpbrk(text, "\t\n")); }

static void parse(int count, char **arguments) {
  static const struct option known[] = {
    {"folder", 1, 0, 'f'}, {"output", 1, 0, 'o'}, {"cgroup", 1, 0, 'c'}, {"mark", 1, 0, 'm'}, {"niceness", 1, 0, 'n'},
    {"orphan-limit", 1, 0, 'l'}, {"lock", 0, 0, 'k'}, {0},
  };
  opterr = 0;
  for (int option; (option = getopt_long(count, arguments, "+", known, NULL)) != -1;) switch (option) {
    case 'f': job.folder = optarg; break;
    case 'o': job.output = optarg; break;
    case 'c': job.parent_cgroup = optarg; break;
    case 'm': job.mark = optarg; break;
    case 'n': job.niceness = atoi(optarg); break;
    case 'l': job.orphan_limit = strtod(optarg, NULL) * 1000; break;
    case 'k': job.holds_lock = true; break;
    default: fail("%s", usage);
    }
  job.command = arguments + optind;
  if (!job.folder || !job.output || !*job.command) fail("%s", usage);
  if (!is_plain(job.parent_cgroup) || !is_plain(job.mark)) fail("error: too long, or with a tab or line feed\n");
}

/// The folder is ours alone: whoever can reach the socket is the same user, or root.
static void open_folder(void) {
  struct stat status;
  mkdir(job.folder, 0700);
  job.folder_fd = open(job.folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (job.folder_fd < 0 || fstat(job.folder_fd, &status) != 0) fail("error: %s: %s\n", job.folder, strerror(errno));
  if (status.st_uid != geteuid()) fail("error: %s belongs to another user\n", job.folder);
  fchmod(job.folder_fd, 0700);
}

static void identify(void) {
  job.pid = getpid();
  job.start = process_start(job.pid);
  FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
  if (!file || fscanf(file, "%36s", job.boot) != 1 || !job.start) fail("error: /proc is not there\n");
  if (access("/proc/thread-self/children", R_OK) != 0) fail("error: this kernel is without CONFIG_PROC_CHILDREN\n");
  fclose(file);
}

static int take_signals(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  return signalfd(-1, &all, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void remove_files(bool all) {
  unlinkat(job.folder_fd, "socket", 0);
  if (all) unlinkat(job.folder_fd, "state", 0), unlinkat(job.folder_fd, "state.new", 0);
  remove_cgroup();
}

/// Starts all there is and says so. Returns the descriptor of signals.
/// There have to be enough descriptors for all clients: poll refuses to wait for more than the limit allows.
static void raise_open_files(void) {
  struct rlimit limit;
  const rlim_t needed = CLIENTS + 32;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= needed) return;
  fail("error: only %llu files can be open at a time, %llu are needed\n", (unsigned long long)limit.rlim_max,
       (unsigned long long)needed);
}

static int begin(void) {
  raise_open_files();
  setsid();
  identify();
  open_folder();
  prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L);
  int signals = take_signals();
  if (!listen_for_clients()) fail("error: cannot listen in %s: %s\n", job.folder, strerror(errno));
  const char *problem = start_leader(make_cgroup());
  if (!problem && !write_state()) problem = "cannot write the state file";
  if (problem) {
    int error = errno;
    remove_files(true);
    fail("error: %s: %s: %s\n", job.command[0], problem, strerror(error)); // a leader that is there dies with us
  }
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int descriptor = job.holds_lock; descriptor < 3; descriptor++) dup2(null, descriptor);
  close(null);
  // What is found by the environment or the working directory is the tree, not us.
  for (char **entry = environ; *entry; entry++) memset(*entry, 0, strlen(*entry));
  (void)!chdir("/");
  // Nobody who reads it: nobody knows of the tree, or ever will.
  job.released = dprintf(report, "ready %d\n", job.pid) < 0;
  if (job.released) stop_tree(0);
  close(report);
  return signals;
}

/// Returns when there is nothing left to do.
static void supervise(int signals) {
  struct pollfd polled[CLIENTS + 2] = {{.fd = signals, .events = POLLIN}};
  bool more = true, told = false, ends = false, tried = false;
  int64_t alone_until = INT64_MAX; // the orphan's limit
  for (;;) {
    if (poll_clients(polled + 1)) alone_until = INT64_MAX, tried &= ends;
    else if (alone_until == INT64_MAX) alone_until = now_ms() + job.orphan_limit;
    int64_t left = more ? 0 : (stop_deadline() < INT64_MAX ? stop_deadline() : alone_until) - now_ms();
    if (poll(polled, CLIENTS + 2, left > 1 << 30 ? 1 << 30 : left < 0 ? 0 : (int)left) < 0) continue;
    for (struct signalfd_siginfo info; read(signals, &info, sizeof info) > 0;) ends |= info.ssi_signo == SIGTERM;
    more = reap();
    if (job.ended && !told) told = write_state() || errno; // a full disk does not keep us from telling clients
    serve_clients(polled + 1);
    enum outcome outcome = advance_stop();
    if (job.released && job.gone) return;
    tell_clients(outcome);
    if (stop_deadline() < INT64_MAX || (!ends && now_ms() < alone_until)) continue;
    if (job.gone || tried) return; // somebody survives, as the state file does
    tried = true;
    stop_tree(ORPHAN_GRACE);
  }
}

/// Waits for what the supervisor has to say and passes it on.
static int pass_on(int source) {
  char text[4096];
  size_t used = 0;
  for (ssize_t size; (size = read(source, text + used, sizeof text - used)) > 0;) used += size;
  if (!used) fail("error: the supervisor ended before it was ready\n");
  (void)!write(STDOUT_FILENO, text, used);
  return strncmp(text, "ready", 5) != 0;
}

int main(int count, char **arguments) {
  int ends[2];
  parse(count, arguments);
  syscall(SYS_close_range, 3L, (long)~0U, 0L);
  if (pipe2(ends, O_CLOEXEC) != 0) fail("error: cannot make a pipe: %s\n", strerror(errno));
  pid_t pid = fork();
  if (pid < 0) fail("error: cannot fork: %s\n", strerror(errno));
  close(ends[pid > 0]);
  if (pid > 0) _exit(pass_on(ends[0]));
  report = ends[1];
  supervise(begin());
  remove_files(job.released);
  tell_clients(TREE_GONE);
  _exit(0);
}
