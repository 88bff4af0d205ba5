// seeds FOLDER: writes small images of every kind, for the fuzzer to begin with.
#include <stdio.h>
#include <stdlib.h>

#include "CPNGReference.h"

int main(int count, char *arguments[]) {
  if (count != 2) return 2;
  static const struct { uint8_t colour_type, bit_depth; } kinds[] = {
    {0, 1}, {0, 2}, {0, 4}, {0, 8}, {0, 16}, {2, 8}, {2, 16}, {3, 1},
    {3, 2}, {3, 4}, {3, 8}, {4, 8}, {4, 16}, {6, 8}, {6, 16}};
  static const uint32_t sizes[][2] = {{1, 1}, {5, 9}, {40, 20}, {3, 200}};
  static uint8_t rows[1 << 16], palette[768];
  srand(1);
  for (size_t i = 0; i < sizeof palette; i++) palette[i] = (uint8_t)rand();
  int number = 0;
  for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
    for (size_t size = 0; size < sizeof sizes / sizeof *sizes; size++)
      for (int interlaced = 0; interlaced < 2; interlaced++) {
        for (size_t i = 0; i < sizeof rows; i++) rows[i] = (uint8_t)(size % 2 ? rand() >> 8 : rand() >> 8 & 0x30);
        struct reference_description description = {
          sizes[size][0], sizes[size][1], kinds[kind].colour_type, kinds[kind].bit_depth, interlaced, 8 << (number % 5),
          palette, kinds[kind].colour_type == 3 ? 1 << kinds[kind].bit_depth : 0};
        size_t length;
        uint8_t *file = reference_encode(&description, rows, &length);
        if (!file) return 1;
        char path[4096];
        snprintf(path, sizeof path, "%s/%03d.png", arguments[1], number++);
        FILE *out = fopen(path, "wb");
        if (!out || fwrite(file, 1, length, out) != length || fclose(out) != 0) return 1;
        free(file);
      }
  return 0;
}
