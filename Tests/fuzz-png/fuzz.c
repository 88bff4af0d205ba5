// What libFuzzer runs: any bytes are optimised, and what comes of it has to look as libpng sees the bytes.
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "CPNGOptimizer.h"
#include "CPNGReference.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t room, unsigned seed);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  // A new one each time: its memory is as large as it has to be, and AddressSanitizer sees who leaves it.
  cpng_optimizer *optimizer = cpng_create();
  struct cpng_result result = cpng_optimize(optimizer, bytes, size, 1 + (int)(size % 3) * 4);
  if (result.status == CPNG_SMALLER) {
    if (result.size >= size) abort();
    struct reference_image before = reference_decode(bytes, size);
    struct reference_image after = reference_decode(result.bytes, result.size);
    if (!before.pixels || !after.pixels) abort();
    if (before.width != after.width || before.height != after.height) abort();
    if (memcmp(before.pixels, after.pixels, (size_t)before.width * before.height * 8) != 0) abort();
    free(before.pixels);
    free(after.pixels);
  } else if (result.bytes) {
    abort();
  }
  cpng_destroy(optimizer);
  return 0;
}

static uint32_t number(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void put(uint8_t *bytes, uint32_t value) {
  for (int byte = 0; byte < 4; byte++) bytes[byte] = (uint8_t)(value >> (24 - 8 * byte));
}

/// Where the chunk at `start` ends, 0 if there is none.
static size_t chunk_end(const uint8_t *bytes, size_t size, size_t start) {
  if (size < start || size - start < 12) return 0;
  uint32_t length = number(bytes + start);
  return length <= size - start - 12 ? start + 12 + length : 0;
}

/// Checksums would stop nearly all that is changed.
static void mend(uint8_t *bytes, size_t size) {
  for (size_t start = 8, end; (end = chunk_end(bytes, size, start)); start = end)
    put(bytes + end - 4, libdeflate_crc32(0, bytes + start + 4, end - start - 8));
}

/// Changes what is compressed in the first IDAT. Returns the new size, 0 if that cannot be done.
static size_t mutate_rows(uint8_t *bytes, size_t size, size_t room) {
  static uint8_t rows[1 << 18], packed[1 << 18];
  for (size_t start = 8, end; (end = chunk_end(bytes, size, start)); start = end) {
    if (memcmp(bytes + start + 4, "IDAT", 4) != 0) continue;
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    size_t made = 0;
    enum libdeflate_result result =
      libdeflate_zlib_decompress(decompressor, bytes + start + 8, end - start - 12, rows, sizeof rows, &made);
    libdeflate_free_decompressor(decompressor);
    if (result != LIBDEFLATE_SUCCESS || made == 0) return 0;
    made = LLVMFuzzerMutate(rows, made, rand() % 4 ? made : sizeof rows);
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(1);
    size_t length = libdeflate_zlib_compress(compressor, rows, made, packed, sizeof packed);
    libdeflate_free_compressor(compressor);
    size_t rest = size - end;
    if (length == 0 || start + 12 + length + rest > room) return 0;
    memmove(bytes + start + 12 + length, bytes + end, rest);
    put(bytes + start, (uint32_t)length);
    memcpy(bytes + start + 8, packed, length);
    return start + 12 + length + rest;
  }
  return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t room, unsigned seed) {
  srand(seed);
  size_t mutated = 0;
  if (seed % 2) mutated = mutate_rows(bytes, size, room);
  // Of the header alone.
  if (!mutated && seed % 8 == 0 && size > 29) LLVMFuzzerMutate(bytes + 16, 13, 13), mutated = size;
  if (!mutated) mutated = LLVMFuzzerMutate(bytes, size, room);
  if (seed % 16) mend(bytes, mutated);
  return mutated;
}
