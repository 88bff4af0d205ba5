#pragma once
#include <stddef.h>
#include <stdint.h>

// Makes a PNG smaller without changing a pixel. In C, since libpng leaves its functions by longjmp, which must not cross
// a frame of Swift, and since it is all about bytes.

/// The most pixels an image may have: 64 Mi. Memory is taken only after that was looked at.
#define CPNG_MAX_PIXELS (64u << 20)

/// What became of an image.
enum cpng_status {
  /// There is a smaller one.
  CPNG_SMALLER,
  /// Compressed anew it is not smaller.
  CPNG_NOT_SMALLER,
  /// It has a chunk (`detail`) that may depend on how the image is stored, in a way that is not known.
  CPNG_PRIVATE_CHUNK,
  /// It is both interlaced and animated.
  CPNG_INTERLACED_ANIMATION,

  // What is wrong with it; `detail` names a chunk or says what libpng said.
  CPNG_NOT_PNG,
  CPNG_TRUNCATED,
  CPNG_BAD_CHECKSUM,
  CPNG_BAD_CHUNK,
  CPNG_BAD_HEADER,
  CPNG_TOO_LARGE,
  CPNG_BAD_DATA,
  CPNG_BAD_DATA_CHECKSUM,
  CPNG_TOO_LITTLE_DATA,
  CPNG_TOO_MUCH_DATA,
  CPNG_BAD_FILTER,
  CPNG_TRAILING_BYTES,

  CPNG_NO_MEMORY,
};

/// What became of an image, and the smaller one if there is one.
struct cpng_result {
  enum cpng_status status;
  /// A chunk's type or a message, empty if the status says it all.
  char detail[80];
  /// The smaller file. It belongs to the optimizer, and is there until that is used again.
  const uint8_t *bytes;
  size_t size;
};

/// Compressors and memory, used again for each image. For one thread at a time.
typedef struct cpng_optimizer cpng_optimizer;

/// An optimizer, or NULL if there is no memory left.
cpng_optimizer *cpng_create(void);

/// Gives all memory back.
void cpng_destroy(cpng_optimizer *optimizer);

/// Compresses a whole file in memory anew.
/// @param level libdeflate's, 1 (fast) to 12 (small).
struct cpng_result cpng_optimize(cpng_optimizer *optimizer, const uint8_t *file, size_t size, int level);
