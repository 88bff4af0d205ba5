#define _GNU_SOURCE
#include "CLinux.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

int clinux_open_place(int folder, const char *name, bool is_folder) {
  int place = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC | (is_folder ? O_DIRECTORY : 0));
  return place < 0 ? -errno : place;
}

ssize_t clinux_read_entries(int folder, void *bytes, size_t room) {
  ssize_t count = getdents64(folder, bytes, room);
  return count < 0 ? -errno : count;
}

int clinux_mount_id(int descriptor, uint64_t *id) {
  struct statx status;
  // Nothing else is asked for, so that a server that is gone is not waited for.
  if (statx(descriptor, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_MNT_ID, &status) != 0) return errno;
  if (!(status.stx_mask & STATX_MNT_ID)) return ENOSYS;
  *id = status.stx_mnt_id;
  return 0;
}
