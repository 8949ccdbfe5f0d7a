/* SPDX-License-Identifier: GPL-3.0-or-later
 * graph.h - a captured graph: its values, its nodes, its plan. capture.c records, fuse.c,
 * fuse_norm.c and plan.c lay it out, execute.c runs.
 */
#ifndef EA_GRAPH_H
#define EA_GRAPH_H

#include "node.h"

enum { EA_NEVER = -1 };

/* One tensor of the graph. Data and gradient each live in a buffer; an alias names another value's
 * buffer (a reshape; the input of a fused ReLU; a sum and what it adds). */
typedef struct ea_value {
  ea_tensor *tensor; /* retained */
  int producer;      /* node, or EA_NEVER: an input or a leaf */
  int output;        /* which output of the producer */
  int leaf;          /* 1: a tensor from outside, used in place */
  int input;         /* 1: made by ea_graph_input */
  int keep;          /* 1: an output of the graph: lives for ever */
  int wants_grad;    /* some leaf below it requires a gradient */
  int has_grad;      /* ... and the loss depends on it */
  int uses;          /* gradient contributions: consumers that run backward */
  int data_of;       /* value whose buffer holds the data (itself if no alias) */
  int grad_of;       /* value whose gradient buffer is used */
  ea_tensor *grad;   /* retained, once planned */
  int written;       /* during backward: contributions so far */
} ea_value;

typedef struct ea_gnode {
  ea_call call;
  int custom;
  int in[EA_MAX_IN], out[EA_MAX_OUT]; /* values */
  int backward;                       /* 1: runs in the backward pass */
  int fused;                          /* 1: done by the node before it, backward too */
  int done_forward;                   /* 1: an add that a convolution does along */
  unsigned shared;                    /* bit k of an add: in[k]'s gradient is the output's memory */
  int lent;                           /* of moments: the batch_norm whose backward does this one's
                                         too, as a node's number from 1; 0: none */
  int alias;                          /* 1: no work: a reshape */
  ea_tensor *temp[EA_MAX_IN];         /* where a second contribution lands before it is added */
  double seconds[2];
} ea_gnode;

/* A buffer to lay out: bytes, alive in [first, last] of the schedule. */
typedef struct ea_buffer {
  int64_t bytes, offset;
  int first, last;
  ea_tensor *tensor; /* gets its storage here */
} ea_buffer;

struct ea_graph {
  int closed;
  ea_value *value;
  int nvalue, most_value;
  ea_gnode *node;
  int nnode, most_node;
  int loss; /* value, or EA_NEVER */
  ea_scratch scratch;
  ea_storage *arena;
  int64_t planned, outside;   /* bytes: the arena; leaves, their gradients and inputs */
  int at, waiting, direction; /* of the run in progress */
  int ran_forward, accumulate;
  int profile;
  uint64_t step;
};

static inline int ea_graph_is_op(const ea_gnode *n, const char *name) {
  return !strcmp(n->call.op->name, name);
}
/* The value at the end of a chain of aliases. */
static inline int ea_graph_data_root(const ea_graph *g, int v) {
  while (g->value[v].data_of != v) v = g->value[v].data_of;
  return v;
}
static inline int ea_graph_grad_root(const ea_graph *g, int v) {
  while (g->value[v].grad_of != v) v = g->value[v].grad_of;
  return v;
}

/* Marks what needs no work or memory of its own. */
void ea_graph_fuse(ea_graph *g);
void ea_graph_fuse_norms(ea_graph *g); /* the last of it */
/* Fuses, finds what backward needs, lays out and allocates the memory. */
int ea_graph_plan(ea_graph *g);

#endif
