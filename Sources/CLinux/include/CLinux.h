#pragma once
// The Linux calls that Swift cannot import: variadic ones, and those that glibc hides behind feature macros.

/// Names the calling thread; the kernel keeps the first 15 bytes.
void clinux_set_thread_name(const char *name);

/// Adds to the calling thread's nice value (on Linux it belongs to the thread).
void clinux_add_niceness(int increment);
