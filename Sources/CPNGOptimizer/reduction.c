#include <stdlib.h>
#include <string.h>

#include "optimizer.h"

/// The colours of an image in the order in which they were found.
struct colours {
  uint32_t found[256];
  int count;
  /// Hash table: colour, and its index or -1.
  uint32_t keys[1024];
  int16_t indices[1024];
};

/// The index of a colour, -1 if there are 256 others.
static inline int index_of(struct colours *colours, uint32_t colour) {
  uint32_t slot = colour * 0x9e3779b1 >> 22;
  for (; colours->indices[slot] >= 0; slot = (slot + 1) & 1023)
    if (colours->keys[slot] == colour) return colours->indices[slot];
  if (colours->count == 256) return -1;
  colours->keys[slot] = colour;
  colours->indices[slot] = (int16_t)colours->count;
  colours->found[colours->count] = colour;
  return colours->count++;
}

/// Counts the colours, and writes the index of each pixel; false as soon as there are too many.
static bool count_colours(struct colours *colours, const uint8_t *rows, const struct format *format, uint8_t *indices) {
  colours->count = 0;
  memset(colours->indices, -1, sizeof colours->indices);
  uint32_t last = UINT32_MAX;
  int index = 0;
  for (uint32_t y = 0; y < format->height; y++) {
    const uint8_t *pixel = rows + y * (row_size(format) + 1) + 1;
    for (uint32_t x = 0; x < format->width; x++, pixel += 3) {
      uint32_t colour = (uint32_t)pixel[0] << 16 | (uint32_t)pixel[1] << 8 | pixel[2];
      if (colour != last) {
        index = index_of(colours, colour);
        if (index < 0) return false;
        last = colour;
      }
      *indices++ = (uint8_t)index;
    }
  }
  return true;
}

static inline uint32_t brightness(uint32_t colour) {
  return (colour >> 16) * 299 + (colour >> 8 & 255) * 587 + (colour & 255) * 114;
}

static int by_brightness(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  if (brightness(a) != brightness(b)) return brightness(a) < brightness(b) ? -1 : 1;
  return a < b ? -1 : a > b;
}

/// The bits at which all colours are shades of gray, 0 if they are not.
static int gray_depth(const struct colours *colours) {
  int depth = 1;
  for (int i = 0; i < colours->count; i++) {
    uint32_t shade = colours->found[i] & 255;
    if (colours->found[i] != shade * 0x010101) return 0;
    int needed = shade % 255 == 0 ? 1 : shade % 85 == 0 ? 2 : shade % 17 == 0 ? 4 : 8;
    if (needed > depth) depth = needed;
  }
  return depth;
}

/// Writes samples of `depth` bits.
static void pack(const uint8_t *indices, const uint8_t samples[256], int depth, uint32_t width, uint8_t *row) {
  if (depth == 8) {
    for (uint32_t x = 0; x < width; x++) row[x] = samples[indices[x]];
    return;
  }
  uint32_t in_byte = 8 / (uint32_t)depth;
  for (uint32_t x = 0; x < width; row++) {
    uint32_t byte = 0;
    for (uint32_t i = 0; i < in_byte; i++, x++) byte = byte << depth | (x < width ? samples[indices[x]] : 0);
    *row = (uint8_t)byte;
  }
}

int reduce(
  cpng_optimizer *optimizer, struct format *format, bool may_be_gray, bool may_be_palette, uint8_t palette[768]) {
  if (!reserve(&optimizer->filtered, (size_t)format->width * format->height)) return -1;
  const uint8_t *indices = optimizer->filtered.bytes;
  struct colours colours;
  if (!count_colours(&colours, optimizer->rows.bytes, format, optimizer->filtered.bytes)) return 0;
  int gray = may_be_gray ? gray_depth(&colours) : 0;
  int depth = colours.count <= 2 ? 1 : colours.count <= 4 ? 2 : colours.count <= 16 ? 4 : 8;
  bool is_gray = gray != 0 && (gray <= depth || !may_be_palette);
  if (!is_gray && !may_be_palette) return 0;
  if (is_gray) depth = gray;

  uint8_t samples[256];
  if (is_gray) {
    for (int i = 0; i < colours.count; i++) samples[i] = (uint8_t)((colours.found[i] & 255) >> (8 - depth));
  } else {
    uint32_t sorted[256];
    memcpy(sorted, colours.found, sizeof sorted);
    qsort(sorted, (size_t)colours.count, sizeof *sorted, by_brightness);
    for (int i = 0; i < colours.count; i++) {
      samples[index_of(&colours, sorted[i])] = (uint8_t)i;
      for (int channel = 0; channel < 3; channel++)
        palette[3 * i + channel] = (uint8_t)(sorted[i] >> (16 - 8 * channel));
    }
  }
  format->colour_type = is_gray ? GRAY : PALETTE;
  format->bit_depth = (uint8_t)depth;
  size_t size = row_size(format);
  for (uint32_t y = 0; y < format->height; y++) {
    uint8_t *row = optimizer->rows.bytes + y * (size + 1);
    row[0] = 0;
    pack(indices + (size_t)y * format->width, samples, depth, format->width, row + 1);
  }
  return is_gray ? 0 : colours.count;
}
