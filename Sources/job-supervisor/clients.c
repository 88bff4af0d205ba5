#define _GNU_SOURCE
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct client {
  int socket; // 0: this place is free
  bool waits; // for the leader's end
  unsigned stops; // answers to `stop` and `kill` that it has still to get
  bool releases;
  size_t used;
  char line[256];
};
static struct client clients[CLIENTS];
static int listener = -1;
bool released;

bool listen_for_clients(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  // The folder's own path can be longer than an address.
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/socket", job.folder);
  listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0) return false;
  if (connect(listener, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN) {
    errno = EADDRINUSE; // by a supervisor that lives
    return false;
  }
  unlinkat(job.folder, "socket", 0);
  mode_t mask = umask(0177);
  bool done = bind(listener, (struct sockaddr *)&address, sizeof address) == 0;
  umask(mask);
  return done && listen(listener, CLIENTS) == 0;
}

void close_socket(void) { unlinkat(job.folder, "socket", 0); }

size_t client_count(void) {
  size_t count = 0;
  for (size_t i = 0; i < CLIENTS; i++) count += clients[i].socket > 0;
  return count;
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
  if (size > (int)sizeof text - 2) size = sizeof text - 2;
  text[size++] = '\n';
  struct iovec content = {text, size};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
  struct msghdr message = {.msg_iov = &content, .msg_iovlen = 1};
  if (descriptor >= 0) message.msg_control = &control, message.msg_controllen = sizeof control.room;
  if (client->socket && sendmsg(client->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != size) drop(client);
}

static void answer_exit(struct client *client) {
  bool killed = WIFSIGNALED(job.status);
  client->waits = false;
  answer(client, -1, "wait %s %d", killed ? "killed" : "exited", killed ? WTERMSIG(job.status) : WEXITSTATUS(job.status));
}

static void answer_outcome(struct client *client, enum outcome outcome) {
  char text[ANSWER / 2] = "";
  if (outcome == TREE_SURVIVES) describe_survivors(text, sizeof text);
  unsigned stops = client->stops;
  client->stops = 0;
  while (stops--) answer(client, -1, "stop %s%s", outcome == TREE_GONE ? "gone" : "survivors", text);
}

static void count(pid_t pid, void *number) {
  (void)pid;
  ++*(size_t *)number;
}

static void answer_status(struct client *client) {
  char text[ANSWER - 64];
  size_t children = 0;
  each_child(count, &children);
  text[describe(text, sizeof text, '\t') - 1] = 0;
  answer(client, -1, "status %s\tchildren %zu", text, children);
}

static void stop(struct client *client, int64_t grace) {
  client->stops++;
  if (job.gone) answer_outcome(client, TREE_GONE);
  else stop_tree(grace);
}

static void handle(struct client *client, const char *line) {
  int grace;
  char rest;
  if (!strcmp(line, "status")) answer_status(client);
  else if (!strcmp(line, "wait")) {
    client->waits = true;
    if (job.ended) answer_exit(client);
  } else if (sscanf(line, "stop %9d%c", &grace, &rest) == 1 && grace >= 0) stop(client, grace);
  else if (!strcmp(line, "kill")) stop(client, 0);
  else if (!strcmp(line, "lock") && job.options.holds_lock) answer(client, 0, "lock held");
  else if (!strcmp(line, "lock")) answer(client, -1, "lock none");
  else if (!strcmp(line, "release")) released = client->releases = true;
  else answer(client, -1, "error unknown request");
}

static void receive(struct client *client) {
  ssize_t size = recv(client->socket, client->line + client->used, sizeof client->line - client->used, MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) {
    drop(client);
    return;
  }
  client->used += size;
  for (char *end; client->socket && (end = memchr(client->line, '\n', client->used));) {
    *end = 0;
    // Not `client->line` itself: a client that is dropped meanwhile leaves nothing there.
    char line[sizeof client->line];
    strcpy(line, client->line);
    client->used -= end + 1 - client->line;
    memmove(client->line, end + 1, client->used);
    handle(client, line);
  }
  if (client->used == sizeof client->line) drop(client);
}

static void welcome(int socket) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  struct client *client = clients;
  while (client < clients + CLIENTS && client->socket) client++;
  bool known = getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
  if (!known || (peer.uid != geteuid() && peer.uid != 0) || client == clients + CLIENTS) {
    close(socket);
    return;
  }
  client->socket = socket;
  answer(client, -1, "job-supervisor %d %d %llu", PROTOCOL, job.pid, (unsigned long long)job.start);
}

size_t poll_clients(struct pollfd *polled) {
  polled[0] = (struct pollfd){.fd = listener, .events = POLLIN};
  for (size_t i = 0; i < CLIENTS; i++)
    polled[i + 1] = (struct pollfd){.fd = clients[i].socket ? clients[i].socket : -1, .events = POLLIN};
  return CLIENTS + 1;
}

void serve_clients(const struct pollfd *polled, size_t count) {
  for (size_t i = 1; i < count; i++)
    if (polled[i].revents && clients[i - 1].socket) receive(&clients[i - 1]);
  if (!polled[0].revents) return;
  int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (socket >= 0) welcome(socket);
}

void tell_exit(void) {
  for (size_t i = 0; i < CLIENTS; i++)
    if (clients[i].waits) answer_exit(&clients[i]);
}

void tell_outcome(enum outcome outcome) {
  for (size_t i = 0; i < CLIENTS; i++)
    if (clients[i].stops) answer_outcome(&clients[i], outcome);
}

void tell_release(void) {
  for (size_t i = 0; i < CLIENTS; i++)
    if (clients[i].releases) {
      clients[i].releases = false;
      answer(&clients[i], -1, job.gone ? "release done" : "release pending");
    }
}
