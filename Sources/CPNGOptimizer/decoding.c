#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "optimizer.h"

/// How many bytes deflate can make of one.
#define MAX_RATIO 1032

/// The data of all IDAT chunks in one piece; NULL without memory.
static const uint8_t *joined_data(cpng_optimizer *optimizer, const uint8_t *file, const struct layout *layout) {
  const uint8_t *chunk = file + layout->data_start;
  if (read_number(chunk) == layout->data_size) return chunk + 8;
  if (!reserve(&optimizer->scratch, layout->data_size)) return NULL;
  uint8_t *end = optimizer->scratch.bytes;
  for (const uint8_t *stop = file + layout->data_end; chunk < stop; chunk += 12 + read_number(chunk)) {
    memcpy(end, chunk + 8, read_number(chunk));
    end += read_number(chunk);
  }
  return optimizer->scratch.bytes;
}

/// Decompresses the image's data.
/// @param size all its rows
static enum cpng_status inflate_rows(
  cpng_optimizer *optimizer, const uint8_t *file, const struct layout *layout, size_t size) {
  const uint8_t *data = joined_data(optimizer, file, layout);
  if (!data) return CPNG_NO_MEMORY;
  size_t used, made;
  uint8_t *rows = optimizer->rows.bytes;
  switch (libdeflate_zlib_decompress_ex(optimizer->decompressor, data, layout->data_size, rows, size, &used, &made)) {
    case LIBDEFLATE_SUCCESS:
      if (made < size) return CPNG_TOO_LITTLE_DATA;
      return used < layout->data_size ? CPNG_TOO_MUCH_DATA : CPNG_SMALLER;
    case LIBDEFLATE_INSUFFICIENT_SPACE: return CPNG_TOO_MUCH_DATA;
    default: break;
  }
  // Is it the data or only their Adler-32? They are between a header of two bytes and four of checksum.
  if (layout->data_size < 6) return CPNG_BAD_DATA;
  enum libdeflate_result result =
    libdeflate_deflate_decompress(optimizer->decompressor, data + 2, layout->data_size - 6, rows, size, NULL);
  return result == LIBDEFLATE_SUCCESS ? CPNG_BAD_DATA_CHECKSUM : CPNG_BAD_DATA;
}

static inline uint8_t nearest(int left, int above, int corner) {
  int to_left = abs(above - corner), to_above = abs(left - corner), to_corner = abs(left + above - 2 * corner);
  if (to_left <= to_above && to_left <= to_corner) return (uint8_t)left;
  return (uint8_t)(to_above <= to_corner ? above : corner);
}

/// Undoes the filters of RGB rows with 8 bits, in place.
static bool unfilter(uint8_t *rows, const struct format *format) {
  size_t size = row_size(format);
  for (uint32_t y = 0; y < format->height; y++) {
    uint8_t *row = rows + y * (size + 1);
    uint8_t filter = *row;
    *row++ = 0;
    const uint8_t *above = row - size - 1;
    // Above the first row all is 0.
    if (y == 0 && filter == 2) continue;
    if (y == 0 && filter == 4) filter = 1;
    switch (filter) {
      case 0: break;
      case 1: {
        uint8_t red = 0, green = 0, blue = 0;
        for (size_t i = 0; i < size; i += 3) {
          row[i] = red += row[i];
          row[i + 1] = green += row[i + 1];
          row[i + 2] = blue += row[i + 2];
        }
        break;
      }
      case 2:
        for (size_t i = 0; i < size; i++) row[i] += above[i];
        break;
      case 3:
        for (size_t i = 0; i < size; i++) row[i] += ((i < 3 ? 0 : row[i - 3]) + (y == 0 ? 0 : above[i])) >> 1;
        break;
      case 4:
        for (size_t i = 0; i < 3; i++) row[i] += above[i];
        for (size_t i = 3; i < size; i++) row[i] += nearest(row[i - 3], above[i], above[i - 3]);
        break;
      default: return false;
    }
  }
  return true;
}

/// What libpng reads: the chunks that matter, so that it does not look at the others.
struct source {
  struct {
    const uint8_t *bytes;
    size_t size;
  } pieces[4];
  int piece;
};

static void read_source(png_structp png, png_bytep bytes, size_t size) {
  struct source *source = png_get_io_ptr(png);
  while (size > 0) {
    if (source->piece == 4) png_error(png, "more was read than there is");
    size_t left = source->pieces[source->piece].size, taken = size < left ? size : left;
    if (taken > 0) memcpy(bytes, source->pieces[source->piece].bytes, taken);
    source->pieces[source->piece].bytes += taken;
    source->pieces[source->piece].size -= taken;
    bytes += taken;
    size -= taken;
    if (taken == left) source->piece++;
  }
}

static void keep_message(png_structp png, png_const_charp message) {
  cpng_optimizer *optimizer = png_get_error_ptr(png);
  snprintf(optimizer->detail, CPNG_DETAIL, "%s", message);
  png_longjmp(png, 1);
}

static void ignore_message(png_structp png, png_const_charp message) { (void)png, (void)message; }

/// Through libpng: everything but RGB with 8 bits in plain order.
static enum cpng_status decode_unusual(
  cpng_optimizer *optimizer, const uint8_t *file, const struct layout *layout, bool expands, struct format *format) {
  static const uint8_t end[] = {0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82};
  struct source source = {
    {{file, sizeof signature + 25},
     {layout->palette, layout->palette_size},
     {file + layout->data_start, layout->data_end - layout->data_start},
     {end, sizeof end}},
    0};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, optimizer, keep_message, ignore_message);
  png_infop info = png ? png_create_info_struct(png) : NULL;
  if (!info) {
    png_destroy_read_struct(&png, NULL, NULL);
    return CPNG_NO_MEMORY;
  }
  if (setjmp(png_jmpbuf(png))) {
    png_destroy_read_struct(&png, &info, NULL);
    return CPNG_BAD_DATA;
  }
  png_set_read_fn(png, &source, read_source);
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  // What libpng would only warn of is wrong all the same.
  png_set_benign_errors(png, 0);
  png_read_info(png, info);
  if (expands) {
    png_set_expand(png);
    png_set_gray_to_rgb(png);
  }
  int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  size_t size = row_size(format);
  if (png_get_rowbytes(png, info) != size) png_error(png, "rows of another size than was expected");
  for (int pass = 0; pass < passes; pass++)
    for (uint32_t y = 0; y < format->height; y++)
      png_read_row(png, optimizer->rows.bytes + y * (size + 1) + 1, NULL);
  png_read_end(png, NULL);
  png_destroy_read_struct(&png, &info, NULL);
  return CPNG_SMALLER;
}

enum cpng_status decode(
  cpng_optimizer *optimizer, const uint8_t *file, const struct layout *layout, struct format *format) {
  *format = layout->format;
  // Said by the header, but the data that are there cannot be as much: no memory is taken for it.
  if (rows_size(format) / MAX_RATIO > layout->data_size) return CPNG_TOO_LITTLE_DATA;
  bool is_usual = format->colour_type == RGB && format->bit_depth == 8 && !layout->interlaced;
  bool has_few_colours = format->colour_type == PALETTE || (format->colour_type == GRAY && format->bit_depth <= 8);
  bool expands = layout->may_reduce && has_few_colours;
  if (expands) format->colour_type = RGB, format->bit_depth = 8;
  size_t size = rows_size(format);
  if (!reserve(&optimizer->rows, size)) return CPNG_NO_MEMORY;
  if (!is_usual) {
    memset(optimizer->rows.bytes, 0, size);
    return decode_unusual(optimizer, file, layout, expands, format);
  }
  enum cpng_status status = inflate_rows(optimizer, file, layout, size);
  if (status != CPNG_SMALLER) return status;
  return unfilter(optimizer->rows.bytes, format) ? CPNG_SMALLER : CPNG_BAD_FILTER;
}
