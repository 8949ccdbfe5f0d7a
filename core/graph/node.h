/* SPDX-License-Identifier: GPL-3.0-or-later
 * node.h - one applied op on the eager tape. An output tensor holds its node; the node holds only
 * what backward reads (never its own outputs, so there are no cycles), and its way to the leaves.
 */
#ifndef EA_NODE_H
#define EA_NODE_H

#include "../ops/op.h"

typedef struct ea_node {
  int32_t refs;
  int32_t custom; /* > 0: backward is done outside, under this id */
  int32_t spent;  /* backward has run; what it needed is freed */
  uint64_t mark;  /* of the traversal that saw it last */
  uint64_t order; /* grows with every node: a topological order */
  ea_call call;   /* in, out: what backward needs, else shapes without data */
  uint32_t version_in[EA_MAX_IN], version_out[EA_MAX_OUT]; /* of their storage when kept */
  struct ea_node *parent[EA_MAX_IN]; /* that made input i, if a gradient flows there; retained */
  int parent_output[EA_MAX_IN];
  ea_tensor *leaf[EA_MAX_IN]; /* or the leaf that wants the gradient; retained */
  struct ea_node *next;       /* of the list being freed */
} ea_node;

void ea_node_release(ea_node *n);
/* Frees what the node kept for backward. */
void ea_node_drop_saved(ea_node *n);

/* The capture in progress, or NULL. */
ea_graph *ea_capturing(void);
/* Appends a call (shape already run) to the capture; makes symbolic outputs. */
int ea_capture_call(ea_graph *g, const ea_call *call, int custom, ea_tensor **out);

/* Notes that a custom id's node is gone. */
void ea_custom_forget(int id);

/* A node whose kernels are outside. */
extern const ea_op ea_op_custom;

#endif
