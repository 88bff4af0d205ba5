#pragma once
// The Linux calls that Swift cannot import: variadic ones, and those that glibc hides behind feature macros.

/// Names the calling thread; the kernel keeps the first 15 bytes.
void clinux_set_thread_name(const char *name);

/// Adds to the calling thread's nice value (on Linux it belongs to the thread).
void clinux_add_niceness(int increment);

/// Takes a write lock on the whole of an open file without waiting, held by the open file description (F_OFD_SETLK): it
/// stays through `fork` and ends with the last copy of the descriptor. Returns 0, or an errno value: EAGAIN if another
/// lock, POSIX locks included, is in the way.
int clinux_lock_file(int descriptor);
