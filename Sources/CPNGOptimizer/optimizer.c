#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "optimizer.h"

/// Whether to filter is tried on this many bands of this many rows, with this level of libdeflate; an image of no more
/// rows is tried as a whole. More rows or a higher level make no difference that is worth their time.
enum { BANDS = 8, BAND_ROWS = 24, PROBE_LEVEL = 3 };
/// A buffer that was needed for an unusually large image is not kept.
#define KEPT_ROOM ((size_t)16 << 20)

bool reserve(struct buffer *buffer, size_t size) {
  if (size <= buffer->room) return true;
  free(buffer->bytes);
  buffer->bytes = malloc(size);
  buffer->room = buffer->bytes ? size : 0;
  return buffer->bytes != NULL;
}

cpng_optimizer *cpng_create(void) {
  cpng_optimizer *optimizer = calloc(1, sizeof *optimizer);
  if (!optimizer) return NULL;
  optimizer->decompressor = libdeflate_alloc_decompressor();
  if (!optimizer->decompressor) {
    free(optimizer);
    return NULL;
  }
  for (int count = 2; count < COUNTED; count++) optimizer->weights[count] = (float)count * log2f((float)count);
  return optimizer;
}

void cpng_destroy(cpng_optimizer *optimizer) {
  if (!optimizer) return;
  libdeflate_free_decompressor(optimizer->decompressor);
  for (size_t level = 0; level < sizeof optimizer->compressors / sizeof *optimizer->compressors; level++)
    libdeflate_free_compressor(optimizer->compressors[level]);
  free(optimizer->rows.bytes);
  free(optimizer->filtered.bytes);
  free(optimizer->scratch.bytes);
  free(optimizer->trial.bytes);
  free(optimizer->output.bytes);
  free(optimizer);
}

static void trim(struct buffer *buffer) {
  if (buffer->room <= KEPT_ROOM) return;
  free(buffer->bytes);
  *buffer = (struct buffer){0};
}

/// Compresses to less than `limit` bytes. Returns how many they are, or 0 if that cannot be done.
static size_t compress(
  cpng_optimizer *optimizer, int level, const uint8_t *bytes, size_t size, uint8_t *out, size_t limit) {
  struct libdeflate_compressor **compressor = &optimizer->compressors[level];
  if (!*compressor) *compressor = libdeflate_alloc_compressor(level);
  return *compressor && limit > 0 ? libdeflate_zlib_compress(*compressor, bytes, size, out, limit - 1) : 0;
}

/// The first row of a band.
static uint32_t band_start(const struct format *format, uint32_t band) {
  return (uint32_t)((size_t)(format->height - BAND_ROWS) * band / (BANDS - 1));
}

/// What the bands of `rows` are compressed to.
static size_t probe(cpng_optimizer *optimizer, const struct format *format, const struct buffer *rows) {
  size_t row = row_size(format) + 1, band = BAND_ROWS * row;
  uint8_t *bands = optimizer->scratch.bytes;
  for (uint32_t i = 0; i < BANDS; i++) memcpy(bands + i * band, rows->bytes + band_start(format, i) * row, band);
  return compress(optimizer, PROBE_LEVEL, bands, BANDS * band, optimizer->trial.bytes, optimizer->trial.room);
}

/// Filters the rows, if that makes the image smaller as far as its bands tell. Returns what is to be compressed, NULL
/// without memory.
static const uint8_t *chosen_rows(cpng_optimizer *optimizer, const struct format *format, bool is_quick) {
  size_t bands = BANDS * BAND_ROWS * (row_size(format) + 1);
  if (!reserve(&optimizer->scratch, bands)) return NULL;
  if (!reserve(&optimizer->trial, libdeflate_zlib_compress_bound(NULL, bands) + 1)) return NULL;
  for (uint32_t i = 0; i < BANDS; i++) {
    uint32_t y = band_start(format, i);
    filter_rows(optimizer, format, y, y + BAND_ROWS, is_quick);
  }
  if (probe(optimizer, format, &optimizer->rows) <= probe(optimizer, format, &optimizer->filtered))
    return optimizer->rows.bytes;
  filter_rows(optimizer, format, 0, format->height, is_quick);
  return optimizer->filtered.bytes;
}

/// Compresses the image to less than `limit` bytes. Returns how many they are, or 0 if that cannot be done.
static size_t encode(cpng_optimizer *optimizer, const struct format *format, int level, uint8_t *out, size_t limit) {
  size_t size = rows_size(format);
  const uint8_t *rows = optimizer->rows.bytes;
  // So few bytes that higher levels take no time.
  if (format->bit_depth < 8) level = level < 9 ? 9 : level == 10 ? 11 : level;
  // Filters are for samples that are near each other, which indices and dots are not.
  if (format->colour_type == PALETTE || format->bit_depth < 8)
    return compress(optimizer, level, rows, size, out, limit);

  bool is_quick = level < 12;
  if (!reserve(&optimizer->filtered, size + 3 * row_size(format))) return 0;
  if (format->height > BANDS * BAND_ROWS) {
    rows = chosen_rows(optimizer, format, is_quick);
    return rows ? compress(optimizer, level, rows, size, out, limit) : 0;
  }
  if (!reserve(&optimizer->trial, limit)) return 0;
  filter_rows(optimizer, format, 0, format->height, is_quick);
  size_t plain = compress(optimizer, level, rows, size, out, limit);
  size_t filtered =
    compress(optimizer, level, optimizer->filtered.bytes, size, optimizer->trial.bytes, plain ? plain : limit);
  if (filtered) memcpy(out, optimizer->trial.bytes, filtered);
  return filtered ? filtered : plain;
}

/// Copies the chunks between two places of a file, but for `dropped`.
static uint8_t *copy_chunks(uint8_t *out, const uint8_t *file, size_t from, size_t to, const uint8_t *dropped) {
  while (from < to) {
    size_t size = 12 + (size_t)read_number(file + from);
    if (file + from != dropped) {
      memcpy(out, file + from, size);
      out += size;
    }
    from += size;
  }
  return out;
}

static enum cpng_status optimize(
  cpng_optimizer *optimizer, const uint8_t *file, size_t size, int level, struct cpng_result *result) {
  struct layout layout;
  enum cpng_status status = parse(file, size, &layout, result->detail);
  if (status != CPNG_SMALLER) return status;
  struct format format;
  status = decode(optimizer, file, &layout, &format);
  if (status != CPNG_SMALLER) return status;

  uint8_t palette[768];
  int colours = 0;
  bool is_reduced = false;
  if (layout.may_reduce && format.colour_type == RGB && format.bit_depth == 8) {
    bool was_gray = layout.format.colour_type == GRAY;
    colours = reduce(optimizer, &format, !layout.has_profile || was_gray, !layout.has_profile || !was_gray, palette);
    if (colours < 0) return CPNG_NO_MEMORY;
    is_reduced = format.colour_type != RGB;
  }

  // The file has to become smaller: there is no need for more room.
  if (!reserve(&optimizer->output, size + 12 + sizeof palette)) return CPNG_NO_MEMORY;
  uint8_t *start = optimizer->output.bytes, *end = start;
  // The header: bit depth and colour type can have changed, and there is no interlacing any more.
  memcpy(end, file, sizeof signature + 25);
  end[24] = format.bit_depth;
  end[25] = format.colour_type;
  end[28] = 0;
  end = seal_chunk(end + sizeof signature, CHUNK('I', 'H', 'D', 'R'), 13);
  end = copy_chunks(end, file, sizeof signature + 25, layout.data_start, is_reduced ? layout.palette : NULL);
  if (colours > 0) {
    memcpy(end + 8, palette, 3 * (size_t)colours);
    end = seal_chunk(end, CHUNK('P', 'L', 'T', 'E'), 3 * (size_t)colours);
  }
  size_t around = (size_t)(end - start) + 12 + size - layout.data_end;
  if (around >= size) return CPNG_NOT_SMALLER;
  size_t data = encode(optimizer, &format, level, end + 8, size - around);
  if (data == 0) return CPNG_NOT_SMALLER;
  end = seal_chunk(end, CHUNK('I', 'D', 'A', 'T'), data);
  memcpy(end, file + layout.data_end, size - layout.data_end);
  result->bytes = start;
  result->size = around + data;
  return CPNG_SMALLER;
}

struct cpng_result cpng_optimize(cpng_optimizer *optimizer, const uint8_t *file, size_t size, int level) {
  struct cpng_result result = {0};
  optimizer->detail = result.detail;
  result.status = optimize(optimizer, file, size, level, &result);
  optimizer->detail = NULL;
  trim(&optimizer->rows);
  trim(&optimizer->filtered);
  trim(&optimizer->scratch);
  trim(&optimizer->trial);
  if (!result.bytes) trim(&optimizer->output);
  return result;
}
