#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "optimizer.h"

/// Filters a row of which the first `pixel` bytes have nothing to their left.
static void filter_row(
  int filter, const uint8_t *restrict row, const uint8_t *restrict above, uint8_t *restrict out, size_t size,
  size_t pixel) {
  size_t first = pixel < size ? pixel : size;
  switch (filter) {
    case 1:
      memcpy(out, row, first);
      for (size_t i = first; i < size; i++) out[i] = row[i] - row[i - pixel];
      break;
    case 2:
      for (size_t i = 0; i < size; i++) out[i] = row[i] - above[i];
      break;
    case 3:
      for (size_t i = 0; i < first; i++) out[i] = row[i] - (above[i] >> 1);
      for (size_t i = first; i < size; i++) out[i] = (uint8_t)(row[i] - ((row[i - pixel] + above[i]) >> 1));
      break;
    default:
      for (size_t i = 0; i < first; i++) out[i] = row[i] - above[i];
      for (size_t i = first; i < size; i++) {
        // Distances of the estimate left + above - corner from the three; 16 bits, so that many are done at once.
        int16_t left = row[i - pixel], top = above[i], corner = above[i - pixel];
        int16_t from_left = (int16_t)(top - corner), from_top = (int16_t)(left - corner);
        int16_t from_corner = (int16_t)abs(from_left + from_top);
        from_left = (int16_t)abs(from_left);
        from_top = (int16_t)abs(from_top);
        int16_t nearer = from_top < from_left ? top : left;
        int16_t distance = from_top < from_left ? from_top : from_left;
        out[i] = (uint8_t)(row[i] - (from_corner < distance ? corner : nearer));
      }
  }
}

/// The sum of count × log2(count) over the values of the bytes, four of `step`: the more, the less entropy.
static float order(const cpng_optimizer *optimizer, const uint8_t *bytes, size_t size, size_t step) {
  // Four, so that the same byte twice in a row does not have to wait for itself.
  uint32_t counts[4][256] = {0};
  size_t i = 0;
  for (; i + step <= size; i += step)
    for (int way = 0; way < 4; way++) counts[way][bytes[i + (size_t)way]]++;
  for (; i < size; i++) counts[0][bytes[i]]++;
  float sum = 0;
  for (int value = 0; value < 256; value++) {
    uint32_t count = counts[0][value] + counts[1][value] + counts[2][value] + counts[3][value];
    sum += count < COUNTED ? optimizer->weights[count] : (float)count * log2f((float)count);
  }
  return sum;
}

void filter_rows(
  cpng_optimizer *optimizer, const struct format *format, uint32_t from, uint32_t to, bool is_quick) {
  size_t size = row_size(format), pixel = channels(format) * format->bit_depth / 8;
  // Behind the filtered rows: one of zeros, which is above the first, and two that are tried.
  uint8_t *zeros = optimizer->filtered.bytes + rows_size(format), *best = zeros + size, *next = best + size;
  memset(zeros, 0, size);
  for (uint32_t y = from; y < to; y++) {
    const uint8_t *row = optimizer->rows.bytes + y * (size + 1) + 1, *above = y == 0 ? zeros : row - size - 1;
    uint8_t *out = optimizer->filtered.bytes + y * (size + 1);
    // The same as above: nothing is left of it.
    if (memcmp(row, above, size) == 0) {
      *out = 2;
      memset(out + 1, 0, size);
      continue;
    }
    float most = -1;
    // Leaving single rows as they are gains nothing.
    for (uint8_t filter = 1; filter < 5; filter++) {
      filter_row(filter, row, above, next, size, pixel);
      float found = order(optimizer, next, size, is_quick ? 8 : 4);
      if (found <= most) continue;
      most = found;
      *out = filter;
      uint8_t *swap = best;
      best = next, next = swap;
    }
    memcpy(out + 1, best, size);
  }
}
