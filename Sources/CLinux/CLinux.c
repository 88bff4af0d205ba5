#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

void clinux_set_thread_name(const char *name) {
  char kept[16] = {0};
  strncpy(kept, name, sizeof kept - 1);
  prctl(PR_SET_NAME, kept, 0, 0, 0);
}

void clinux_give_way(int increment) {
  (void)!nice(increment);
  // Of the calling thread, since 0 is no process but who calls.
  sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
}

int clinux_lock_file(int descriptor, bool waits) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  return fcntl(descriptor, waits ? F_OFD_SETLKW : F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

void clinux_unlock_file(int descriptor) {
  struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
  fcntl(descriptor, F_OFD_SETLK, &lock);
}

int clinux_is_locked(int descriptor, bool *is_locked) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  if (fcntl(descriptor, F_OFD_GETLK, &lock) != 0) return errno;
  *is_locked = lock.l_type != F_UNLCK;
  return 0;
}

int clinux_connect(const char *folder, const char *name) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int directory = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return -errno;
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory, name);
  int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int error = 0;
  if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) error = errno;
  close(directory);
  if (error && descriptor >= 0) close(descriptor);
  return error ? -error : descriptor;
}

int clinux_peer(int socket, pid_t *process, uid_t *user) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return errno;
  *process = peer.pid;
  *user = peer.uid;
  return 0;
}

ssize_t clinux_receive(int socket, void *bytes, size_t room, int *descriptor) {
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec content = {bytes, room};
  struct msghdr message = {
    .msg_iov = &content, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t size = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  *descriptor = -1;
  struct cmsghdr *header = size > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
    memcpy(descriptor, CMSG_DATA(header), sizeof *descriptor);
  return size;
}

int clinux_open_process(pid_t pid) {
  long descriptor = syscall(SYS_pidfd_open, (long)pid, 0L);
  return descriptor < 0 ? -errno : (int)descriptor;
}

int clinux_signal_process(int process, int number) {
  return syscall(SYS_pidfd_send_signal, (long)process, (long)number, NULL, 0L) == 0 ? 0 : errno;
}

int clinux_environment_has(pid_t pid, const char *entry) {
  // All processes are asked after each job: stdio would take four times as long.
  char path[64], bytes[16384];
  size_t matched = 0;
  ssize_t count;
  bool found = false, differs = false, empty = true;
  snprintf(path, sizeof path, "/proc/%d/environ", pid);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  while (!found && (count = read(file, bytes, sizeof bytes)) > 0)
    for (ssize_t i = empty = 0; i < count && !found; i++) {
      differs = differs || bytes[i] != entry[matched];
      found = !differs && !bytes[i];
      matched++;
      if (!bytes[i]) matched = 0, differs = false;
    }
  if (empty && count < 0) empty = false; // it has ended, or is not to be seen
  close(file);
  return empty ? -1 : found;
}

bool clinux_contains(const void *bytes, size_t count, const void *part, size_t part_count) {
  return memmem(bytes, count, part, part_count) != NULL;
}
