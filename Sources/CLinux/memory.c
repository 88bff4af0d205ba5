#define _GNU_SOURCE
#include "CLinux.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

void clinux_map_blocks_from(size_t size) { mallopt(M_MMAP_THRESHOLD, (int)size); }

// What gives memory back allocates nothing: that would leave behind more memory in use than there was.

/// One of the program's and its libraries' objects.
static int give_back_object(struct dl_phdr_info *object, size_t size, void *context) {
  bool thoroughly = *(bool *)context;
  // The program has no name, libraries have paths, and the kernel's own object has neither a file.
  if (object->dlpi_name[0] != 0 && object->dlpi_name[0] != '/') return 0;
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  for (size_t i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
    if (segment->p_type != PT_LOAD) continue;
    // Nothing is lost with what is never written: it stays in the file, and in the system's cache of files.
    bool is_written = segment->p_flags & PF_W;
    if (is_written && !thoroughly) continue;
    uintptr_t start = object->dlpi_addr + segment->p_vaddr;
    uintptr_t end = (start + segment->p_filesz + page - 1) / page * page;
    start = start / page * page;
    // Paged out, what was written stays in memory or goes to swap.
    madvise((void *)start, end - start, is_written ? MADV_PAGEOUT : MADV_DONTNEED);
  }
  return 0;
}

void clinux_give_back_memory(bool thoroughly) {
  malloc_trim(0);
  dl_iterate_phdr(give_back_object, &thoroughly);
}

size_t clinux_bytes_in_use(void) {
  struct mallinfo2 all = mallinfo2();
  // Blocks in the arenas, and those that are mappings of their own.
  return all.uordblks + all.hblkhd;
}
