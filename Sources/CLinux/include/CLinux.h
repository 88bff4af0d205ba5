#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/types.h>

// The Linux calls that Swift cannot import: variadic ones, and those that glibc hides behind feature macros.

/// Names the calling thread; the kernel keeps the first 15 bytes.
void clinux_set_thread_name(const char *name);

/// Adds to the calling thread's nice value (on Linux it belongs to the thread) and schedules it as one that computes for
/// long (SCHED_BATCH).
void clinux_give_way(int increment);

/// Gives signals that are ignored their default effects again, and blocks none. For the start of a program: with SIGCHLD
/// ignored, for one, nothing can be learned of the end of a child.
void clinux_reset_signals(void);

/// Raises the number of files that can be open at a time to `wanted`, as far as that is allowed. Returns what it is then.
uint64_t clinux_raise_open_files(uint64_t wanted);

/// Runs another program in this process's place, with this environment: no descriptor but 0 to 2 reaches it, no signal is
/// ignored or blocked. Returns an errno value if that cannot be done; signals have their default effects then.
int clinux_replace_process(const char *path, char *const arguments[]);

/// Takes a write lock on the whole of an open file, held by the open file description (F_OFD_SETLK): it stays through
/// `fork` and ends with the last copy of the descriptor. Returns 0, or an errno value: EAGAIN if another lock, POSIX locks
/// included, is in the way, unless it `waits` until none is.
int clinux_lock_file(int descriptor, bool waits);

/// Gives such a lock up before the descriptor's last copy is closed.
void clinux_unlock_file(int descriptor);

/// Whether a lock of others is in the way of one on the whole of an open file. Returns 0 or an errno value.
int clinux_is_locked(int descriptor, bool *is_locked);

/// Connects to the Unix stream socket `name` in `folder`, whose path may be longer than a socket's address. Returns a
/// descriptor that does not block, or a negative errno value.
int clinux_connect(const char *folder, const char *name);

/// Who listened on the other side of a connection. Returns 0 or an errno value.
int clinux_peer(int socket, pid_t *process, uid_t *user);

/// Like `recv` without waiting; `descriptor` becomes one that came with the bytes, or -1.
ssize_t clinux_receive(int socket, void *bytes, size_t room, int *descriptor);

/// A descriptor of the process `pid` (a pidfd: it stays that process's if the number is used again), or a negative errno
/// value.
int clinux_open_process(pid_t pid);

/// Sends a signal to the process of such a descriptor. Returns 0 or an errno value.
int clinux_signal_process(int process, int number);

/// Whether the environment that a process was started with has `entry`, `NAME=VALUE`: 1 or 0; -1 if there is no environment,
/// as for a moment when a process begins a program. In C since it is asked of every process there is, some of which may fork
/// faster than they can be looked at.
int clinux_environment_has(pid_t pid, const char *entry);

/// Lets malloc map each block of so many bytes or more on its own, whatever it learns from what is freed.
void clinux_map_blocks_from(size_t size);

/// Gives back what this process has in memory and need not have: what is free of malloc's, and pages of the program and its
/// libraries that are never written, such as code: they come back without being read again, since the system keeps a copy.
/// `thoroughly`, also those of data that nobody has written so far.
void clinux_give_back_memory(bool thoroughly);

/// The bytes of all blocks that malloc has given out and not got back (mallinfo2). A few more count that its threads keep
/// for themselves (tcache). Takes the lock of each arena in turn.
size_t clinux_bytes_in_use(void);

/// Whether `bytes` have `part` in them (memmem).
bool clinux_contains(const void *bytes, size_t count, const void *part, size_t part_count);

/// Opens what `name` stands for in an open folder as a mere place (O_PATH): nothing is read, a symbolic link is not
/// followed, and the file system is hardly asked. If it `is_folder`, anything else fails with ENOTDIR. Returns a descriptor,
/// or a negative errno value.
int clinux_open_place(int folder, const char *name, bool is_folder);

/// Reads the next entries of an open folder (getdents64): records of the inode (8 bytes), an offset (8), the record's length
/// (2), the type (1), and the name, which a NUL ends. Returns the number of bytes, 0 at the end, or a negative errno value.
ssize_t clinux_read_entries(int folder, void *bytes, size_t room);

/// The id of the mount that an open file is on (statx), as /proc/self/mountinfo has it; a bind mount has one of its own.
/// Returns 0, or an errno value: ENOSYS where the kernel does not say it (before 5.8).
int clinux_mount_id(int descriptor, uint64_t *id);
