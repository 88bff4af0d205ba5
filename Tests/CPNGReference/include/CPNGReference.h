#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// PNG through nothing but libpng: what tests hold the optimiser against.

/// What is in a PNG.
struct reference_image {
  uint32_t width, height;
  uint8_t colour_type, bit_depth;
  bool interlaced;
  /// Red, green, blue, alpha, each with 16 bits in big-endian order, for each pixel; to be freed. NULL if there is no image.
  uint8_t *pixels;
};

/// Decodes a file in memory.
struct reference_image reference_decode(const uint8_t *file, size_t size);

/// What is to be written.
struct reference_description {
  uint32_t width, height;
  uint8_t colour_type, bit_depth;
  bool interlaced;
  /// Bits: PNG_FILTER_NONE (8) to PNG_FILTER_PAETH (128).
  int filters;
  /// Three bytes for each colour.
  const uint8_t *palette;
  int colours;
};

/// Encodes packed rows. Returns the file, to be freed, or NULL.
uint8_t *reference_encode(const struct reference_description *description, const uint8_t *rows, size_t *size);

/// Encodes a file anew as isotovideo captures a screen: RGB, filter Sub, zlib's level 1 with run lengths only. What is
/// transparent becomes black. Returns the file, to be freed, or NULL.
uint8_t *reference_capture(const uint8_t *file, size_t size, size_t *captured_size);
