#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "CPNGReference.h"

static void leave(png_structp png, png_const_charp message) {
  (void)message;
  png_longjmp(png, 1);
}
static void ignore(png_structp png, png_const_charp message) { (void)png, (void)message; }

struct input {
  const uint8_t *bytes;
  size_t size;
};

static void read_input(png_structp png, png_bytep bytes, size_t size) {
  struct input *input = png_get_io_ptr(png);
  if (size > input->size) png_error(png, "the end");
  memcpy(bytes, input->bytes, size);
  input->bytes += size;
  input->size -= size;
}

struct reference_image reference_decode(const uint8_t *file, size_t size) {
  struct reference_image image = {0};
  uint8_t *volatile pixels = NULL;
  struct input input = {file, size};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, leave, ignore);
  png_infop info = png_create_info_struct(png);
  if (setjmp(png_jmpbuf(png))) {
    png_destroy_read_struct(&png, &info, NULL);
    free(pixels);
    return (struct reference_image){0};
  }
  png_set_read_fn(png, &input, read_input);
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_read_info(png, info);
  struct reference_image found = {
    png_get_image_width(png, info), png_get_image_height(png, info), png_get_color_type(png, info),
    png_get_bit_depth(png, info), png_get_interlace_type(png, info) != PNG_INTERLACE_NONE, NULL};
  png_set_expand_16(png);
  png_set_gray_to_rgb(png);
  png_set_add_alpha(png, 0xffff, PNG_FILLER_AFTER);
  int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  size_t row = (size_t)found.width * 8;
  if (png_get_rowbytes(png, info) != row) png_error(png, "rows of another size");
  pixels = calloc(found.height, row);
  if (!pixels) png_error(png, "no memory");
  for (int pass = 0; pass < passes; pass++)
    for (uint32_t y = 0; y < found.height; y++) png_read_row(png, pixels + y * row, NULL);
  png_read_end(png, NULL);
  png_destroy_read_struct(&png, &info, NULL);
  image = found;
  image.pixels = pixels;
  return image;
}

struct output {
  uint8_t *bytes;
  size_t size;
};

static void write_output(png_structp png, png_bytep bytes, size_t size) {
  struct output *output = png_get_io_ptr(png);
  uint8_t *longer = realloc(output->bytes, output->size + size);
  if (!longer) png_error(png, "no memory");
  memcpy(longer + output->size, bytes, size);
  output->bytes = longer;
  output->size += size;
}
static void flush_output(png_structp png) { (void)png; }

/// @param strategy zlib's
static uint8_t *encode(
  const struct reference_description *description, int strategy, const uint8_t *rows, size_t *size) {
  struct output output = {0};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, leave, ignore);
  png_infop info = png_create_info_struct(png);
  if (setjmp(png_jmpbuf(png))) {
    png_destroy_write_struct(&png, &info);
    free(output.bytes);
    return NULL;
  }
  png_set_write_fn(png, &output, write_output, flush_output);
  png_set_compression_level(png, 1);
  png_set_compression_strategy(png, strategy);
  png_set_filter(png, PNG_FILTER_TYPE_BASE, description->filters);
  png_set_IHDR(
    png, info, description->width, description->height, description->bit_depth, description->colour_type,
    description->interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_BASE,
    PNG_FILTER_TYPE_BASE);
  if (description->colours > 0) {
    png_color palette[256];
    for (int i = 0; i < description->colours; i++) {
      const uint8_t *colour = description->palette + 3 * i;
      palette[i] = (png_color){colour[0], colour[1], colour[2]};
    }
    png_set_PLTE(png, info, palette, description->colours);
  }
  png_write_info(png, info);
  int passes = png_set_interlace_handling(png);
  size_t row = png_get_rowbytes(png, info);
  for (int pass = 0; pass < passes; pass++)
    for (uint32_t y = 0; y < description->height; y++) png_write_row(png, rows + y * row);
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  *size = output.size;
  return output.bytes;
}

uint8_t *reference_encode(const struct reference_description *description, const uint8_t *rows, size_t *size) {
  return encode(description, Z_DEFAULT_STRATEGY, rows, size);
}

uint8_t *reference_capture(const uint8_t *file, size_t size, size_t *captured_size) {
  png_image image = {.version = PNG_IMAGE_VERSION};
  if (!png_image_begin_read_from_memory(&image, file, size)) return NULL;
  image.format = PNG_FORMAT_RGB;
  uint8_t *rows = malloc(PNG_IMAGE_SIZE(image));
  uint8_t *captured = NULL;
  if (rows && png_image_finish_read(&image, &(png_color){0}, rows, 0, NULL)) {
    struct reference_description description = {
      .width = image.width, .height = image.height, .colour_type = 2, .bit_depth = 8, .filters = PNG_FILTER_SUB};
    captured = encode(&description, Z_RLE, rows, captured_size);
  }
  png_image_free(&image);
  free(rows);
  return captured;
}
