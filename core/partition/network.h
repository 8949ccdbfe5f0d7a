/* SPDX-License-Identifier: GPL-3.0-or-later
 * network.h - a weighted undirected network without self-loops, as the partition code keeps it.
 */
#ifndef EA_NETWORK_H
#define EA_NETWORK_H

#include "../tensor/tensor.h"

typedef struct ea_network {
  int64_t n;
  int64_t edges;    /* pairs i < j with a weight above 0 */
  double *weight;   /* {n,n}: symmetric, zero diagonal, divided by the largest weight */
  double *strength; /* {n}: row sums */
  double total;     /* sum of the strengths, 2m */
} ea_network;

/* Reads and checks a weight tensor; `who` begins the sentence of a failure. */
int ea_network_load(const char *who, const ea_tensor *w, ea_network *out);
void ea_network_free(ea_network *net);
/* Modularity of labels 0..n-1; `scratch` holds n doubles. 0 for a network without edges. */
double ea_network_modularity(const ea_network *net, const int32_t *label, double resolution,
                             double *scratch);
/* Labels of any kind -> 0..k-1 by descending size, ties by smallest member. Returns k, or a
 * negative status. in and out may be the same. */
int ea_label_canonical(int64_t n, const int32_t *in, int32_t *out);
/* Adjusted Rand index of two labelings of n things. */
int ea_label_rand(int64_t n, const int32_t *a, const int32_t *b, double *out);

#endif
