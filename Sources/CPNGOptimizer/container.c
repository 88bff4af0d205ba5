#include <string.h>

#include "optimizer.h"

static bool is_letter(uint8_t byte) { return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z'; }

/// The checked values of IHDR's 13 bytes.
static enum cpng_status parse_header(const uint8_t *data, struct layout *layout) {
  struct format *format = &layout->format;
  *format = (struct format){read_number(data), read_number(data + 4), .bit_depth = data[8], .colour_type = data[9]};
  // As bits: the depths that each colour type can have.
  static const uint32_t depths[7] = {
    [GRAY] = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8 | 1 << 16, [RGB] = 1 << 8 | 1 << 16,
    [PALETTE] = 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8,        [GRAY_ALPHA] = 1 << 8 | 1 << 16,
    [RGBA] = 1 << 8 | 1 << 16,
  };
  if (format->colour_type > RGBA || format->bit_depth > 16) return CPNG_BAD_HEADER;
  if (!(depths[format->colour_type] >> format->bit_depth & 1)) return CPNG_BAD_HEADER;
  if (data[10] != 0 || data[11] != 0 || data[12] > 1) return CPNG_BAD_HEADER;
  if (format->width == 0 || format->height == 0) return CPNG_BAD_HEADER;
  if ((uint64_t)format->width * format->height > CPNG_MAX_PIXELS) return CPNG_TOO_LARGE;
  layout->interlaced = data[12] == 1;
  return CPNG_SMALLER;
}

/// Whether a chunk that is not safe to copy when the image's data change is known to be right for the same pixels all
/// the same.
static bool is_about_pixels(uint32_t type) {
  switch (type) {
    case CHUNK('c', 'H', 'R', 'M'): case CHUNK('g', 'A', 'M', 'A'): case CHUNK('s', 'R', 'G', 'B'):
    case CHUNK('i', 'C', 'C', 'P'): case CHUNK('c', 'I', 'C', 'P'): case CHUNK('m', 'D', 'C', 'V'):
    case CHUNK('c', 'L', 'L', 'I'): case CHUNK('s', 'P', 'L', 'T'): case CHUNK('t', 'I', 'M', 'E'):
    case CHUNK('p', 'C', 'A', 'L'): case CHUNK('s', 'C', 'A', 'L'): case CHUNK('s', 'T', 'E', 'R'):
    case CHUNK('t', 'R', 'N', 'S'): case CHUNK('b', 'K', 'G', 'D'): case CHUNK('s', 'B', 'I', 'T'):
    case CHUNK('h', 'I', 'S', 'T'): case CHUNK('a', 'c', 'T', 'L'): case CHUNK('f', 'c', 'T', 'L'):
    case CHUNK('f', 'd', 'A', 'T'):
      return true;
    default: return false;
  }
}

enum cpng_status parse(const uint8_t *file, size_t size, struct layout *layout, char detail[CPNG_DETAIL]) {
  *layout = (struct layout){.may_reduce = true};
  if (memcmp(file, signature, size < sizeof signature ? size : sizeof signature) != 0) return CPNG_NOT_PNG;
  if (size < sizeof signature) return CPNG_TRUNCATED;
  const uint8_t *private_chunk = NULL;
  bool is_animated = false;
  for (size_t start = sizeof signature, end;; start = end) {
    if (size - start < 12) return CPNG_TRUNCATED;
    const uint8_t *chunk = file + start, *data = chunk + 8;
    uint32_t length = read_number(chunk), type = read_number(chunk + 4);
    for (int letter = 4; letter < 8; letter++)
      if (!is_letter(chunk[letter])) return CPNG_BAD_CHUNK;
    memcpy(detail, chunk + 4, 4);
    detail[4] = 0;
    if (length > INT32_MAX) return CPNG_BAD_CHUNK;
    if (length > size - start - 12) return CPNG_TRUNCATED;
    if (libdeflate_crc32(0, chunk + 4, length + 4) != read_number(data + length)) return CPNG_BAD_CHECKSUM;
    end = start + 12 + length;
    if ((start == sizeof signature) != (type == CHUNK('I', 'H', 'D', 'R'))) return CPNG_BAD_CHUNK;

    switch (type) {
      case CHUNK('I', 'H', 'D', 'R'): {
        if (length != 13) return CPNG_BAD_CHUNK;
        enum cpng_status status = parse_header(data, layout);
        if (status != CPNG_SMALLER) return status;
        break;
      }
      case CHUNK('P', 'L', 'T', 'E'):
        if (layout->palette || layout->data_start || length == 0 || length % 3 || length > 768) return CPNG_BAD_CHUNK;
        if (!(layout->format.colour_type & RGB)) return CPNG_BAD_CHUNK;
        layout->palette = chunk;
        layout->palette_size = 12 + length;
        break;
      case CHUNK('I', 'D', 'A', 'T'):
        if (layout->data_start && layout->data_end != start) return CPNG_BAD_CHUNK;
        if (layout->format.colour_type == PALETTE && !layout->palette) return CPNG_BAD_CHUNK;
        if (!layout->data_start) layout->data_start = start;
        layout->data_end = end;
        layout->data_size += length;
        break;
      case CHUNK('I', 'E', 'N', 'D'):
        if (length != 0 || !layout->data_start) return CPNG_BAD_CHUNK;
        if (end != size) return CPNG_TRAILING_BYTES;
        detail[0] = 0;
        if (private_chunk) memcpy(detail, private_chunk + 4, 4), detail[4] = 0;
        if (private_chunk) return CPNG_PRIVATE_CHUNK;
        return is_animated && layout->interlaced ? CPNG_INTERLACED_ANIMATION : CPNG_SMALLER;
      case CHUNK('t', 'R', 'N', 'S'): case CHUNK('b', 'K', 'G', 'D'): case CHUNK('s', 'B', 'I', 'T'):
      case CHUNK('h', 'I', 'S', 'T'): layout->may_reduce = false; break;
      case CHUNK('a', 'c', 'T', 'L'):
        layout->may_reduce = false;
        is_animated = true;
        break;
      case CHUNK('i', 'C', 'C', 'P'): case CHUNK('c', 'I', 'C', 'P'): layout->has_profile = true; break;
      default:
        // Upper case in the first letter: an image cannot be understood without it; in the last: nor can the chunk be
        // without the image.
        if (!(chunk[4] & 0x20)) return CPNG_BAD_CHUNK;
        if (!(chunk[7] & 0x20) && !is_about_pixels(type)) private_chunk = chunk;
    }
  }
}

uint8_t *seal_chunk(uint8_t *chunk, uint32_t type, size_t data_size) {
  write_number(chunk, (uint32_t)data_size);
  write_number(chunk + 4, type);
  write_number(chunk + 8 + data_size, libdeflate_crc32(0, chunk + 4, 4 + data_size));
  return chunk + 12 + data_size;
}
