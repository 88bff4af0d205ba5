#define _GNU_SOURCE
#include "CLinux.h"

#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

void clinux_set_thread_name(const char *name) {
  char kept[16] = {0};
  strncpy(kept, name, sizeof kept - 1);
  prctl(PR_SET_NAME, kept, 0, 0, 0);
}

void clinux_add_niceness(int increment) { (void)!nice(increment); }
