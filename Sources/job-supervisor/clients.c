#include "supervisor.h"

#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct client {
  int socket;                      // 0: this place is free
  unsigned waits, stops, releases; // answers that it has still to get
  size_t used;
  char line[256];
} clients[CLIENTS];
static int listener;

bool listen_for_clients(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  // The folder's own path can be longer than an address.
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/socket", job.folder_fd);
  listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  bool taken = connect(listener, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN;
  if (taken) errno = EADDRINUSE; // by a supervisor that lives
  if (taken || listener < 0) return false;
  unlinkat(job.folder_fd, "socket", 0);
  mode_t mask = umask(0177);
  bool done = bind(listener, (struct sockaddr *)&address, sizeof address) == 0;
  umask(mask);
  return done && listen(listener, CLIENTS) == 0;
}

static void drop(struct client *client) {
  close(client->socket);
  *client = (struct client){0};
}

/// Sends one line, with a descriptor if it is >= 0. A client that does not read what it asked for is dropped.
static void answer(struct client *client, int descriptor, const char *format, ...) {
  char text[ANSWER];
  va_list values;
  va_start(values, format);
  int size = vsnprintf(text, sizeof text - 1, format, values);
  va_end(values);
  text[size++] = '\n'; // what goes into an answer has its limits: it fits
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
  struct iovec content = {text, size};
  struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
  if (descriptor >= 0) message.msg_control = &control, message.msg_controllen = sizeof control.room;
  if (sendmsg(client->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != size) drop(client);
}

static bool take(unsigned *count) { return *count > 0 && (*count)--; }

void tell_clients(enum outcome outcome) {
  char exit[32], left[ANSWER / 2] = "";
  describe_exit(exit, sizeof exit);
  if (outcome == TREE_SURVIVES) describe_children(left, sizeof left);
  for (struct client *client = clients; client < clients + CLIENTS; client++) {
    while (job.ended && take(&client->waits)) answer(client, -1, "wait %s", exit);
    while (outcome == TREE_GONE && take(&client->stops)) answer(client, -1, "stop gone");
    while (outcome == TREE_SURVIVES && take(&client->stops)) answer(client, -1, "stop survivors%s", left);
    while (take(&client->releases)) answer(client, -1, job.gone ? "release done" : "release pending");
  }
}

static void count(pid_t pid, void *number) { *(size_t *)number += pid > 0; }

static void answer_status(struct client *client) {
  char text[ANSWER];
  size_t children = 0;
  each_child(count, &children);
  text[describe_job(text, sizeof text, '\t') - 1] = 0;
  answer(client, -1, "status %s\tchildren %zu", text, children);
}

static void handle(struct client *client, const char *line) {
  int grace = 0;
  char rest;
  if (!strcmp(line, "status")) answer_status(client);
  else if (!strcmp(line, "wait")) client->waits++;
  else if (!strcmp(line, "kill") || (sscanf(line, "stop %9d%c", &grace, &rest) == 1 && grace >= 0)) {
    client->stops++;
    stop_tree(grace);
  } else if (!strcmp(line, "lock") && job.holds_lock) answer(client, STDIN_FILENO, "lock held");
  else if (!strcmp(line, "lock")) answer(client, -1, "lock none");
  else if (!strcmp(line, "release")) job.released = ++client->releases;
  else answer(client, -1, "error unknown request");
}

static void receive(struct client *client) {
  ssize_t size = recv(client->socket, client->line + client->used, sizeof client->line - client->used, MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  client->used += size < 0 ? 0 : size;
  for (char *end; (end = memchr(client->line, '\n', client->used));) {
    *end = 0;
    // Not `client->line` itself: a client that is dropped meanwhile leaves nothing there.
    char line[sizeof client->line];
    strcpy(line, client->line);
    client->used -= end + 1 - client->line;
    memmove(client->line, end + 1, client->used);
    handle(client, line);
  }
  if (client->socket && (size <= 0 || client->used == sizeof client->line)) drop(client);
}

static void welcome(int socket) {
  struct ucred peer = {.uid = -1};
  socklen_t size = sizeof peer;
  struct client *client = clients;
  while (client < clients + CLIENTS && client->socket) client++;
  getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size);
  bool refused = (peer.uid != geteuid() && peer.uid != 0) || client == clients + CLIENTS;
  if (refused) close(socket);
  if (refused) return;
  client->socket = socket;
  answer(client, -1, "job-supervisor %d %d %llu", PROTOCOL, job.pid, (unsigned long long)job.start);
}

bool poll_clients(struct pollfd *polled) {
  bool any = false;
  polled[0] = (struct pollfd){.fd = listener, .events = POLLIN};
  for (size_t i = 0; i < CLIENTS; any |= clients[i++].socket)
    polled[i + 1] = (struct pollfd){.fd = clients[i].socket ? clients[i].socket : -1, .events = POLLIN};
  return any;
}

void serve_clients(const struct pollfd *polled) {
  for (size_t i = 0; i < CLIENTS; i++)
    if (polled[i + 1].revents) receive(&clients[i]);
  int socket = polled[0].revents ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
  if (socket >= 0) welcome(socket);
}
