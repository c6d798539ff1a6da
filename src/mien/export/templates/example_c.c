/* Reads gray levels, one byte a pixel, from standard input and prints the probability of every class.
 *   cc example.c ./libmien_infer.so.0 -Wl,-rpath,'$ORIGIN' -o example && ./example < face.gray */
#include <stdio.h>
#include <stdlib.h>

#include "mien_infer.h"

int main(void) {
  MienModel* model = mien_infer_load("weights.safetensors");
  if (!model) return fprintf(stderr, "%s\n", mien_infer_last_error()), 1;
  size_t size = (size_t)(mien_infer_channels(model) * mien_infer_height(model) * mien_infer_width(model));
  uint8_t* face = calloc(size, 1);
  float* probabilities = calloc((size_t)mien_infer_classes(model), sizeof(float));
  if (fread(face, 1, size, stdin) != size) return fprintf(stderr, "expected %zu bytes\n", size), 1;
  if (mien_infer_predict(model, face, 1, probabilities)) return fprintf(stderr, "%s\n", mien_infer_last_error()), 1;
  for (int64_t i = 0; i < mien_infer_classes(model); ++i)
    printf("%-12s %.6f\n", mien_infer_class_name(model, i), probabilities[i]);
  free(probabilities);
  free(face);
  mien_infer_free(model);
  return 0;
}
