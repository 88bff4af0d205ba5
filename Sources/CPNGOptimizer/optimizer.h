#pragma once
#include <libdeflate.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CPNGOptimizer.h"

// What the parts of the optimizer share. An image is held as rows of packed samples, each after the byte of its filter, as
// they are compressed: when it has been decoded, that byte is 0 (no filter), and compressing it needs no copy.

/// A chunk's type as a number.
#define CHUNK(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

enum colour_type { GRAY = 0, RGB = 2, PALETTE = 3, GRAY_ALPHA = 4, RGBA = 6 };

/// A kind of pixels and how many of them.
struct format {
  uint32_t width, height;
  uint8_t colour_type, bit_depth;
};

/// Samples of a pixel.
static inline size_t channels(const struct format *format) {
  static const uint8_t channels[] = {[GRAY] = 1, [RGB] = 3, [PALETTE] = 1, [GRAY_ALPHA] = 2, [RGBA] = 4};
  return channels[format->colour_type];
}

/// Bytes of a row, without that of its filter.
static inline size_t row_size(const struct format *format) {
  return (format->width * channels(format) * format->bit_depth + 7) / 8;
}

/// Bytes of all rows with those of their filters.
static inline size_t rows_size(const struct format *format) { return (row_size(format) + 1) * format->height; }

/// What a file consists of. All of it has been checked, except for what is compressed.
struct layout {
  struct format format;
  bool interlaced;
  /// PLTE with length, type and checksum; NULL if there is none.
  const uint8_t *palette;
  size_t palette_size;
  /// The IDAT chunks: where they begin and end in the file, and how many bytes of data are in them.
  size_t data_start, data_end, data_size;
  /// No chunk refers to how colours are stored (tRNS, bKGD, sBIT, hIST, acTL), so that may change.
  bool may_reduce;
  /// There is a colour profile, which is made either for gray or for colours.
  bool has_profile;
};

/// Memory that grows when it is needed.
struct buffer {
  uint8_t *bytes;
  size_t room;
};

/// Makes room for `size` bytes. The content is lost; false if there is no memory left.
bool reserve(struct buffer *buffer, size_t size);

/// For how many counts logarithms are kept.
#define COUNTED 4096

struct cpng_optimizer {
  struct libdeflate_decompressor *decompressor;
  /// By level; made when they are first used.
  struct libdeflate_compressor *compressors[13];
  /// The decoded image.
  struct buffer rows;
  /// Filtered rows; while colours are counted, their indices.
  struct buffer filtered;
  /// Compressed data of the file in one piece; bands of rows to try filters with.
  struct buffer scratch;
  /// Compressed data that is tried.
  struct buffer trial;
  /// The file that is made.
  struct buffer output;
  /// n × log2(n)
  float weights[COUNTED];
  /// Where what libpng says of the image goes.
  char *detail;
};

static inline uint32_t read_number(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static inline void write_number(uint8_t *bytes, uint32_t number) {
  for (int byte = 0; byte < 4; byte++) bytes[byte] = (uint8_t)(number >> (24 - 8 * byte));
}

#define CPNG_DETAIL sizeof(((struct cpng_result *)0)->detail)
static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

// container.c

/// Takes a file apart and checks every chunk. Returns CPNG_SMALLER if it can go on.
enum cpng_status parse(const uint8_t *file, size_t size, struct layout *layout, char detail[CPNG_DETAIL]);

/// Writes a chunk whose data is at `chunk + 8` already. Returns its end.
uint8_t *seal_chunk(uint8_t *chunk, uint32_t type, size_t data_size);

// decoding.c

/// Decodes the image into `optimizer->rows`. Pixels whose colours may be reduced become RGB with 8 bits, and `format` says
/// so; all others stay as they are.
enum cpng_status decode(
  cpng_optimizer *optimizer, const uint8_t *file, const struct layout *layout, struct format *format);

// reduction.c

/// Turns an RGB image with at most 256 colours into one with a palette or shades of gray, at as few bits as will do.
/// @param palette becomes the colours, three bytes each
/// @returns how many colours `palette` has, 0 for gray or when nothing was reduced; `format` says which; -1 without memory
int reduce(
  cpng_optimizer *optimizer, struct format *format, bool may_be_gray, bool may_be_palette, uint8_t palette[768]);

// filtering.c

/// Filters the rows `from` up to `to` into `optimizer->filtered`, which has room for three more rows, each with the filter
/// that leaves least entropy. For pixels of whole bytes.
/// @param is_quick look at every other byte only
void filter_rows(cpng_optimizer *optimizer, const struct format *format, uint32_t from, uint32_t to, bool is_quick);
