/* SPDX-License-Identifier: GPL-3.0-or-later
 * train.c - a small network is put together from ops, trained on Fashion-MNIST, tested and saved.
 *
 *   cc train.c $(pkg-config --cflags --libs edgeai) -o train
 *   ./train /usr/share/datasets/fashion-mnist lenet5.safetensors [EPOCHS]
 *
 * The network is LeNet-5 with the names and layouts that Lua's ea.nn.lenet5 gives its tensors; so
 * both ea.nn.load and classify.c read the file.
 */
#include <edgeai.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 128, CLASSES = 10, SIDE = 28, SEED = 1 };

static const double MEAN = 0.28604060, STD = 0.35302424; /* of the training images */

static void check(int status) {
  if (status >= 0) return;
  fprintf(stderr, "train: %s\n", ea_error());
  exit(1);
}

/* ---- parameters: tensors of their own shape in one buffer, as the optimiser wants them ------- */

static struct parameter {
  const char *name;
  int ndim;
  int64_t size[4];
  double fan_in; /* inputs of one output: what the first values are scaled by */
  ea_tensor *value;
} parameters[] = {
    {"conv1.weight", 4, {6, 1, 5, 5}, 25, NULL},   {"conv1.bias", 1, {6}, 25, NULL},
    {"conv2.weight", 4, {16, 6, 5, 5}, 150, NULL}, {"conv2.bias", 1, {16}, 150, NULL},
    {"fc1.weight", 2, {120, 400}, 400, NULL},      {"fc1.bias", 1, {120}, 400, NULL},
    {"fc2.weight", 2, {84, 120}, 120, NULL},       {"fc2.bias", 1, {84}, 120, NULL},
    {"fc3.weight", 2, {CLASSES, 84}, 84, NULL},    {"fc3.bias", 1, {CLASSES}, 84, NULL},
};
enum { CONV1, CONV1_B, CONV2, CONV2_B, FC1, FC1_B, FC2, FC2_B, FC3, FC3_B, PARAMETERS };

static ea_tensor *zeros(int dtype, int ndim, const int64_t *size) {
  ea_tensor *t;
  check(ea_tensor_new(dtype, ndim, size, &t));
  check(ea_tensor_fill(t, 0));
  return t;
}

/* Makes all parameters with their gradients; *values and *gradients are the two buffers. */
static void make_parameters(ea_tensor **values, ea_tensor **gradients) {
  int64_t total = 0, at = 0;
  for (int i = 0; i < PARAMETERS; i++) {
    struct parameter *p = &parameters[i];
    p->value = zeros(EA_F32, p->ndim, p->size);
    double bound = 1 / sqrt(p->fan_in);
    check(ea_random_uniform(p->value, SEED, ea_stream_id(p->name), 0, -bound, bound));
    total += ea_tensor_count(p->value);
  }
  *values = zeros(EA_F32, 1, &total);
  *gradients = zeros(EA_F32, 1, &total);
  for (int i = 0; i < PARAMETERS; i++) {
    struct parameter *p = &parameters[i];
    ea_tensor *gradient = zeros(EA_F32, p->ndim, p->size);
    check(ea_tensor_rebase(p->value, *values, at));
    check(ea_tensor_rebase(gradient, *gradients, at));
    check(ea_tensor_set_requires_grad(p->value, 1));
    check(ea_tensor_set_grad(p->value, gradient));
    ea_tensor_release(gradient);
    at += ea_tensor_count(p->value);
  }
}

/* ---- the network ----------------------------------------------------------------------------- */

/* Applies an op to x and up to two parameters and gives x back: a chain of layers. */
static ea_tensor *layer(const char *op, ea_tensor *x, int weight, int bias, int nattr,
                        const double *attr) {
  ea_tensor *in[3] = {x}, *y;
  int nin = 1;
  if (weight >= 0) in[nin++] = parameters[weight].value;
  if (bias >= 0) in[nin++] = parameters[bias].value;
  check(ea_apply(ea_op_find(op), nin, in, nattr, attr, &y));
  ea_tensor_release(x);
  return y;
}

static ea_tensor *relu(ea_tensor *x) { return layer("relu", x, -1, -1, 0, NULL); }

/* Images {n, 28, 28, 1} to scores {n, 10}. x is borrowed. */
static ea_tensor *forward(ea_tensor *x) {
  static const double padded[] = {1, 2}, two[] = {2};
  static const double by_channel[] = {0, 3, 1, 2}, flat[] = {-1, 400};
  x = layer("conv2d", ea_tensor_retain(x), CONV1, CONV1_B, 2, padded); /* stride 1, pad 2 */
  x = layer("max_pool2d", relu(x), -1, -1, 1, two);
  x = layer("conv2d", x, CONV2, CONV2_B, 0, NULL);
  x = layer("max_pool2d", relu(x), -1, -1, 1, two);
  x = layer("permute", x, -1, -1, 4, by_channel); /* PyTorch's order: channel, row, column */
  x = layer("reshape", x, -1, -1, 2, flat);
  x = relu(layer("linear", x, FC1, FC1_B, 0, NULL));
  x = relu(layer("linear", x, FC2, FC2_B, 0, NULL));
  return layer("linear", x, FC3, FC3_B, 0, NULL);
}

/* ---- data ------------------------------------------------------------------------------------ */

static ea_tensor *load_idx(const char *folder, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s.gz", folder, name);
  ea_tensor *t;
  check(ea_idx_load(path, &t));
  return t;
}

/* Batches of a part ("train" or "t10k"); those for training are shuffled. */
static ea_loader *load(const char *folder, const char *part, int training) {
  char name[64];
  snprintf(name, sizeof name, "%s-images-idx3-ubyte", part);
  ea_tensor *grey = load_idx(folder, name), *images, *labels;
  snprintf(name, sizeof name, "%s-labels-idx1-ubyte", part);
  ea_tensor *bytes = load_idx(folder, name);
  int64_t size[4] = {ea_tensor_size(grey, 0), SIDE, SIDE, 1};
  check(ea_tensor_reshape(grey, 4, size, &images));
  check(ea_tensor_clone(bytes, EA_I32, &labels));
  ea_loader *loader;
  check(ea_loader_new(images, labels, NULL, BATCH, &MEAN, &STD, NULL, training, training, SEED,
                      &loader));
  ea_tensor_release(grey);
  ea_tensor_release(images);
  ea_tensor_release(bytes);
  ea_tensor_release(labels);
  return loader;
}

/* ---- training -------------------------------------------------------------------------------- */

/* A captured graph: its memory is planned once, each run allocates nothing. */
typedef struct step {
  ea_graph *graph;
  ea_tensor *x, *y, *out; /* images, labels, loss or scores */
} step;

static step capture(int64_t batch, int training) {
  step s;
  int64_t image[4] = {batch, SIDE, SIDE, 1};
  check(ea_graph_begin(&s.graph));
  check(ea_graph_input(s.graph, EA_F32, 4, image, &s.x));
  check(ea_graph_input(s.graph, EA_I32, 1, &batch, &s.y));
  s.out = forward(s.x);
  if (training) {
    ea_tensor *in[2] = {s.out, s.y}, *loss;
    check(ea_apply(ea_op_find("cross_entropy"), 2, in, 0, NULL, &loss));
    ea_tensor_release(s.out);
    s.out = loss;
  }
  check(ea_graph_end(s.graph, 1, &s.out, training ? s.out : NULL));
  return s;
}

static void free_step(step *s) {
  ea_tensor_release(s->x);
  ea_tensor_release(s->y);
  ea_tensor_release(s->out);
  ea_graph_free(s->graph);
}

static void train(ea_loader *loader, int epochs, ea_tensor *values, ea_tensor *gradients) {
  step s = capture(BATCH, 1);
  int64_t total = ea_tensor_count(values), batches = ea_loader_batches(loader), done = 0;
  ea_tensor *momentum = zeros(EA_F32, 1, &total);
  int valid;
  for (int epoch = 0; epoch < epochs; epoch++) {
    double sum = 0, loss, start = ea_clock();
    check(ea_loader_seek(loader, (uint64_t)epoch, 0));
    for (;;) {
      int end = ea_loader_next(loader, s.x, s.y, NULL, 0, &valid);
      check(end);
      if (end) break;
      check(ea_graph_forward(s.graph, (uint64_t)done));
      check(ea_graph_backward(s.graph, 0));
      double lr = 0.1 * (1 - (double)done / (double)(epochs * batches)); /* down to 0 */
      check(ea_sgd(values, gradients, momentum, NULL, lr, 0.9, 0, 5e-4, 1, done == 0));
      check(ea_tensor_get(s.out, NULL, &loss));
      sum += loss;
      done++;
    }
    printf("epoch %d: loss %.4f, %.1f s\n", epoch + 1, sum / (double)batches, ea_clock() - start);
  }
  ea_tensor_release(momentum);
  free_step(&s);
}

/* Per cent of a part's images that the network puts into their class. */
static double accuracy(ea_loader *loader) {
  step s = capture(BATCH, 0);
  int64_t right = 0, all = 0;
  int valid;
  check(ea_loader_seek(loader, 0, 0));
  for (;;) {
    int end = ea_loader_next(loader, s.x, s.y, NULL, 0, &valid);
    check(end);
    if (end) break;
    check(ea_graph_forward(s.graph, 0));
    ea_tensor *best;
    check(ea_apply(ea_op_find("argmax"), 1, &s.out, 0, NULL, &best));
    const int32_t *guess = ea_tensor_data(best), *label = ea_tensor_data(s.y);
    for (int i = 0; i < valid; i++) right += guess[i] == label[i];
    all += valid;
    ea_tensor_release(best);
  }
  free_step(&s);
  return 100.0 * (double)right / (double)all;
}

/* ---- saving ---------------------------------------------------------------------------------- */

static void save(const char *path) {
  ea_archive *file;
  check(ea_archive_new(&file));
  for (int i = 0; i < PARAMETERS; i++)
    check(ea_archive_add(file, parameters[i].name, parameters[i].value));

  ea_graph *graph; /* what to compute with them: recorded, not run */
  ea_tensor *x, *scores;
  int64_t image[4] = {1, SIDE, SIDE, 1};
  char *text, number[32];
  check(ea_graph_begin(&graph));
  check(ea_graph_input(graph, EA_F32, 4, image, &x));
  scores = forward(x);
  check(ea_graph_describe(graph, 1, &scores, file, &text));
  ea_graph_abort(graph);
  ea_tensor_release(scores);
  ea_tensor_release(x);

  check(ea_archive_set_meta(file, "edgeai.graph", text));
  ea_buffer_free(text);
  snprintf(number, sizeof number, "%.8f", MEAN);
  check(ea_archive_set_meta(file, "mean", number));
  snprintf(number, sizeof number, "%.8f", STD);
  check(ea_archive_set_meta(file, "std", number));
  check(ea_archive_set_meta(file, "names",
                            "[\"T-shirt/top\", \"trouser\", \"pullover\", \"dress\", \"coat\", "
                            "\"sandal\", \"shirt\", \"sneaker\", \"bag\", \"ankle boot\"]"));
  /* For Lua's ea.nn.load, which builds the layers again. */
  check(ea_archive_set_meta(file, "edgeai.arch",
                            "{\"name\": \"lenet5\", \"options\": {\"classes\": 10}}"));
  check(ea_safetensors_save(path, file));
  ea_archive_free(file);
}

int main(int argc, char **argv) {
  if (argc != 3 && argc != 4) {
    fprintf(stderr, "usage: train FOLDER_OF_FASHION_MNIST NETWORK.safetensors [EPOCHS]\n");
    return 2;
  }
  int epochs = argc == 4 ? atoi(argv[3]) : 1;
  ea_tensor *values, *gradients;
  make_parameters(&values, &gradients);
  ea_loader *training = load(argv[1], "train", 1), *test = load(argv[1], "t10k", 0);
  train(training, epochs, values, gradients);
  printf("test accuracy: %.2f %%\n", accuracy(test));
  save(argv[2]);

  ea_loader_free(training);
  ea_loader_free(test);
  for (int i = 0; i < PARAMETERS; i++) ea_tensor_release(parameters[i].value);
  ea_tensor_release(values);
  ea_tensor_release(gradients);
  return 0;
}
