/* SPDX-License-Identifier: GPL-3.0-or-later
 * partition.c - the communities of a weighted graph.
 *
 *   cc partition.c $(pkg-config --cflags --libs edgeai) -o partition
 *   ./partition GRAPH.txt [RESOLUTION]
 *
 * GRAPH.txt has an edge on each line: two vertices, counted from 0, and a weight of at least 0.
 */
#include <edgeai.h>

#include <stdio.h>
#include <stdlib.h>

static void check(int status) {
  if (status >= 0) return;
  fprintf(stderr, "partition: %s\n", ea_error());
  exit(1);
}

static FILE *open_graph(const char *path) {
  FILE *file = fopen(path, "r");
  if (file) return file;
  perror(path);
  exit(1);
}

/* Reads the edges, twice: how many vertices there are, then the symmetric weights {n, n}. */
static ea_tensor *read_graph(const char *path) {
  FILE *file = open_graph(path);
  long long a, b, vertices = 0;
  double weight;
  while (fscanf(file, "%lld %lld %lf", &a, &b, &weight) == 3) {
    if (a < 0 || b < 0) break;
    if (a >= vertices) vertices = a + 1;
    if (b >= vertices) vertices = b + 1;
  }
  if (!feof(file) || vertices == 0) {
    fprintf(stderr, "partition: %s: expected lines of two vertices (from 0) and a weight\n", path);
    exit(1);
  }
  ea_tensor *w;
  int64_t size[2] = {vertices, vertices};
  check(ea_tensor_new(EA_F64, 2, size, &w));
  check(ea_tensor_fill(w, 0));
  double *p = ea_tensor_data(w);
  rewind(file);
  while (fscanf(file, "%lld %lld %lf", &a, &b, &weight) == 3)
    p[a * vertices + b] = p[b * vertices + a] = weight;
  fclose(file);
  return w;
}

int main(int argc, char **argv) {
  if (argc != 2 && argc != 3) {
    fprintf(stderr, "usage: partition GRAPH.txt [RESOLUTION]\n");
    return 2;
  }
  double resolution = argc == 3 ? atof(argv[2]) : 1;
  ea_tensor *w = read_graph(argv[1]);
  ea_partition found;
  check(ea_louvain(w, resolution, 1, 10, 60, &found)); /* the best of 10 seeds; 60 s each at most */

  printf("%d communities, modularity %.4f, agreement of 10 seeds %.2f\n", found.communities,
         found.modularity, found.agreement);
  const int32_t *member = ea_tensor_data(found.membership);
  for (int c = 0; c < found.communities; c++) {
    printf("%d:", c);
    for (int64_t v = 0; v < ea_tensor_count(found.membership); v++)
      if (member[v] == c) printf(" %lld", (long long)v);
    printf("\n");
  }
  ea_tensor_release(found.membership);
  ea_tensor_release(w);
  return 0;
}
