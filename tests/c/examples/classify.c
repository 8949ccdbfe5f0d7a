/* SPDX-License-Identifier: GPL-3.0-or-later
 * classify.c - a saved network classifies a picture.
 *
 *   cc classify.c $(pkg-config --cflags --libs edgeai) -o classify
 *   ./classify NETWORK.safetensors PICTURE.png
 *
 * NETWORK is a file of Lua's net:save or of train.c: weights, what to compute with them, and as
 * metadata the training images' mean and standard deviation and the classes' names.
 */
#include <edgeai.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOP = 3 };

/* Every function that can fail returns a negative status; ea_error() says why. */
static void check(int status) {
  if (status >= 0) return;
  fprintf(stderr, "classify: %s\n", ea_error());
  exit(1);
}

/* One number for each channel out of "0.49,0.48,0.45"; `missing` where there is none. */
static void numbers(const char *text, int64_t channels, double missing, double *out) {
  for (int64_t c = 0; c < channels; c++) {
    char *end = NULL;
    double value = text ? strtod(text, &end) : missing;
    out[c] = end == text ? missing : value;
    if (text) text = *end == ',' ? end + 1 : end;
  }
}

/* The picture as the network wants it: f32 {1, height, width, channels}, normalised. */
static ea_tensor *load_picture(const char *path, const ea_archive *file, const ea_model *model) {
  int dtype;
  int64_t size[EA_MAX_DIM];
  int ndim = ea_model_input_shape(model, 0, &dtype, size);
  check(ndim);
  if (ndim != 4 || size[3] < 1 || size[3] > 4) {
    fprintf(stderr, "classify: this network does not take pictures\n");
    exit(1);
  }
  ea_tensor *bytes, *batch, *x, *resized;
  check(ea_png_load(path, (int)size[3], &bytes));
  int64_t whole[4] = {1, ea_tensor_size(bytes, 0), ea_tensor_size(bytes, 1), size[3]};
  check(ea_tensor_reshape(bytes, 4, whole, &batch));
  check(ea_tensor_clone(batch, EA_F32, &x));
  ea_tensor_release(batch);
  ea_tensor_release(bytes);

  double mean[4], std[4];
  numbers(ea_archive_meta(file, "mean"), size[3], 0, mean);
  numbers(ea_archive_meta(file, "std"), size[3], 1, std);
  float *p = ea_tensor_data(x);
  for (int64_t i = 0; i < ea_tensor_count(x); i++) {
    int64_t c = i % size[3];
    p[i] = (float)((p[i] / 255 - mean[c]) / std[c]);
  }
  if (whole[1] == size[1] && whole[2] == size[2]) return x;
  double to[] = {(double)size[1], (double)size[2]};
  check(ea_apply(ea_op_find("resize"), 1, &x, 2, to, &resized));
  ea_tensor_release(x);
  return resized;
}

/* Prints the TOP classes; `names` is a JSON list, or NULL. */
static void print_best(const ea_tensor *probability, ea_json *names) {
  int64_t classes = ea_tensor_count(probability);
  ea_tensor *best[2] = {NULL, NULL}; /* values, indices */
  double k = (double)(classes < TOP ? classes : TOP);
  ea_tensor *in = (ea_tensor *)probability;
  check(ea_apply(ea_op_find("topk"), 1, &in, 1, &k, best));
  const float *value = ea_tensor_data(best[0]);
  const int32_t *index = ea_tensor_data(best[1]);
  for (int i = 0; i < (int)k; i++) {
    const char *name = ea_json_string(ea_json_item(names, index[i]), NULL);
    if (name) printf("%6.2f %%  %s\n", 100 * value[i], name);
    else printf("%6.2f %%  class %d\n", 100 * value[i], (int)index[i]);
  }
  ea_tensor_release(best[0]);
  ea_tensor_release(best[1]);
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: classify NETWORK.safetensors PICTURE.png\n");
    return 2;
  }
  ea_archive *file;
  ea_model *model;
  check(ea_safetensors_load(argv[1], &file));
  check(ea_model_new(file, &model));

  ea_tensor *x = load_picture(argv[2], file, model), *scores, *probability;
  check(ea_model_apply(model, 1, &x, &scores));
  check(ea_apply(ea_op_find("softmax"), 1, &scores, 0, NULL, &probability));

  ea_json *names = NULL;
  const char *text = ea_archive_meta(file, "names");
  if (text) check(ea_json_parse(text, strlen(text), &names));
  print_best(probability, names);

  ea_json_free(names);
  ea_tensor_release(probability);
  ea_tensor_release(scores);
  ea_tensor_release(x);
  ea_model_free(model);
  ea_archive_free(file);
  return 0;
}
