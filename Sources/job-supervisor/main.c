#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct job job = {.folder = -1};
static int report = STDOUT_FILENO; // who started us reads it

static const char usage[] =
  "usage: job-supervisor --folder FOLDER --output FILE [OPTION]... COMMAND [ARGUMENT]...\n"
  "Starts COMMAND, an absolute path, and stays as the parent of all its processes. Prints 'ready PID' once it runs.\n"
  "  --folder FOLDER         where socket and state file are; made with mode 0700\n"
  "  --output FILE           what standard output and error are appended to\n"
  "  --cgroup FOLDER         a cgroup v2 that may get one for the job below it\n"
  "  --mark NAME=VALUE       goes into the environment, and into the state file\n"
  "  --niceness NUMBER       of the command\n"
  "  --orphan-limit SECONDS  how long to stay without a client (default: 900)\n"
  "  --lock                  standard input is a locked file, to be held to the end\n";

__attribute__((noreturn, format(printf, 1, 2)))
static void fail(const char *format, ...) {
  char text[1024];
  va_list values;
  va_start(values, format);
  int size = vsnprintf(text, sizeof text - 1, format, values);
  va_end(values);
  if (size > (int)sizeof text - 2) size = sizeof text - 2;
  text[size++] = '\n';
  (void)!write(report, text, size);
  _exit(1);
}

static bool is_plain(const char *text) { // fits into a line of the state file
  if (!text) return true;
  for (const char *next = text; *next; next++)
    if ((unsigned char)*next < ' ') return false;
  return strlen(text) < 2048;
}

static void parse(int count, char **arguments) {
  enum { FOLDER, OUTPUT, CGROUP, MARK, NICENESS, ORPHAN_LIMIT, LOCK, HELP };
  static const struct option known[] = {
    {"folder", 1, NULL, FOLDER}, {"output", 1, NULL, OUTPUT}, {"cgroup", 1, NULL, CGROUP}, {"mark", 1, NULL, MARK},
    {"niceness", 1, NULL, NICENESS}, {"orphan-limit", 1, NULL, ORPHAN_LIMIT}, {"lock", 0, NULL, LOCK},
    {"help", 0, NULL, HELP}, {0},
  };
  struct options *options = &job.options;
  options->orphan_limit = 900 * 1000;
  opterr = 0;
  for (int option; (option = getopt_long(count, arguments, "+", known, NULL)) != -1;) switch (option) {
    case FOLDER: options->folder = optarg; break;
    case OUTPUT: options->output = optarg; break;
    case CGROUP: options->cgroup = optarg; break;
    case MARK: options->mark = optarg; break;
    case NICENESS: options->niceness = atoi(optarg); break;
    case ORPHAN_LIMIT: options->orphan_limit = strtod(optarg, NULL) * 1000; break;
    case LOCK: options->holds_lock = true; break;
    case HELP: (void)!write(STDOUT_FILENO, usage, sizeof usage - 1); _exit(0);
    default: fail("error: unknown option or missing value: %s", arguments[optind - 1]);
    }
  options->command = arguments + optind;
  if (!options->folder || !options->output || !*options->command) fail("error: see --help for what is missing");
  if (!is_plain(options->cgroup) || !is_plain(options->mark)) fail("error: control characters, or too long");
  if (options->mark && (!strchr(options->mark, '=') || putenv((char *)options->mark) != 0)) fail("error: not a mark");
}

/// The folder is ours alone: whoever can reach the socket is the same user.
static void open_folder(void) {
  struct stat status;
  if (mkdir(job.options.folder, 0700) != 0 && errno != EEXIST) fail("error: cannot create %s: %s", job.options.folder, strerror(errno));
  job.folder = open(job.options.folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (job.folder < 0 || fstat(job.folder, &status) != 0) fail("error: cannot open %s: %s", job.options.folder, strerror(errno));
  if (status.st_uid != geteuid()) fail("error: %s belongs to another user", job.options.folder);
  fchmod(job.folder, 0700);
}

static void identify(void) {
  job.pid = getpid();
  job.start = process_start(job.pid);
  FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
  if (!file || fscanf(file, "%36s", job.boot) != 1 || !job.start) fail("error: /proc is not there");
  fclose(file);
}

static int block_signals(void) {
  sigset_t all, ours;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
  sigemptyset(&ours);
  sigaddset(&ours, SIGCHLD);
  sigaddset(&ours, SIGTERM);
  return signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC);
}

/// Starts all there is, and says so.
static int begin(void) {
  setsid();
  identify();
  open_folder();
  prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L);
  int signals = block_signals();
  if (!listen_for_clients()) fail("error: cannot listen in %s: %s", job.options.folder, strerror(errno));
  const char *problem = start_leader(make_cgroup());
  int error = errno;
  if (!problem && !write_state()) problem = "cannot write the state file", error = errno;
  if (problem) {
    // A leader that is there already dies with us.
    close_socket();
    remove_state();
    remove_cgroup();
    fail("error: %s: %s: %s", job.options.command[0], problem, strerror(error));
  }
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int descriptor = job.options.holds_lock; descriptor < 3; descriptor++) dup2(null, descriptor);
  close(null);
  return signals;
}

static bool ready(void) {
  char line[64];
  int size = snprintf(line, sizeof line, "ready %d\n", job.pid);
  bool done = write(report, line, size) == size;
  close(report);
  return done;
}

/// Whether SIGTERM was among the signals that came.
static bool drain(int signals) {
  struct signalfd_siginfo info;
  bool terminates = false;
  while (read(signals, &info, sizeof info) == sizeof info) terminates |= info.ssi_signo == SIGTERM;
  return terminates;
}

static int timeout_until(int64_t time) {
  int64_t left = time - now_ms();
  return time == INT64_MAX || left > 1 << 30 ? 1 << 30 : left < 0 ? 0 : (int)left;
}

/// Returns when there is nothing left to do.
static void supervise(int signals, bool ends) {
  struct pollfd polled[CLIENTS + 2];
  bool more = true, told = false, survives = false;
  int64_t left_alone = now_ms() + job.options.orphan_limit;
  for (;;) {
    bool alone = client_count() == 0;
    if (!alone) left_alone = INT64_MAX;
    else if (left_alone == INT64_MAX) left_alone = now_ms() + job.options.orphan_limit;
    int64_t deadline = is_stopping() ? tree_deadline() : left_alone;
    polled[0] = (struct pollfd){.fd = signals, .events = POLLIN};
    size_t count = poll_clients(polled + 1);
    if (poll(polled, count + 1, more ? 0 : timeout_until(deadline)) < 0) continue;
    ends |= drain(signals);
    more = reap();
    if (job.ended && !told) {
      told = true;
      write_state();
      tell_exit();
    }
    serve_clients(polled + 1, count);
    enum outcome outcome = advance_tree();
    if (outcome != NOTHING_NEW) tell_outcome(outcome);
    survives = outcome == TREE_SURVIVES || (survives && !is_stopping());
    if (released && job.gone) {
      remove_state();
      break;
    }
    tell_release();
    if (!is_stopping() && (ends || (client_count() == 0 && now_ms() >= left_alone))) {
      if (job.gone || survives) break;
      stop_tree(ORPHAN_GRACE);
    }
  }
  close_socket();
  remove_cgroup();
  tell_release();
}

/// Waits for what the supervisor has to say, and passes it on.
static int pass_on(int source) {
  char text[1100];
  size_t used = 0;
  for (ssize_t size; used < sizeof text && (size = read(source, text + used, sizeof text - used)) > 0;) used += size;
  if (!used) fail("error: the supervisor ended before it was ready");
  (void)!write(STDOUT_FILENO, text, used);
  return strncmp(text, "ready", 5) != 0;
}

int main(int count, char **arguments) {
  int pipe[2];
  parse(count, arguments);
  syscall(SYS_close_range, 3L, (long)~0U, 0L);
  if (pipe2(pipe, O_CLOEXEC) != 0) fail("error: cannot make a pipe: %s", strerror(errno));
  pid_t pid = fork();
  if (pid < 0) fail("error: cannot fork: %s", strerror(errno));
  if (pid > 0) {
    close(pipe[1]);
    _exit(pass_on(pipe[0]));
  }
  close(pipe[0]);
  report = pipe[1];
  signal(SIGPIPE, SIG_IGN);
  int signals = begin();
  // Nobody waits for the answer any more: nobody knows of the tree.
  released = !ready();
  if (released) stop_tree(0);
  supervise(signals, released);
  _exit(0);
}
