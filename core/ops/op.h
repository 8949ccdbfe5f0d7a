/* SPDX-License-Identifier: GPL-3.0-or-later
 * op.h - what the core's own ops and the graph know of an op beyond edgeai_op.h: the call's insides
 * and helpers. One file per op (or per family of one formula) in core/ops holds the shape rule,
 * forward and backward side by side, and exports one `const ea_op ea_op_NAME`; its line in ops.def
 * makes it exist everywhere: C, Lua, tests, graphs. The rules for kernels are in edgeai_op.h.
 */
#ifndef EA_OP_H
#define EA_OP_H

#include "../edgeai_op.h"
#include "../tensor/tensor.h"

typedef struct ea_scratch {
  void *data;
  size_t bytes;
} ea_scratch;

struct ea_call {
  const ea_op *op;
  int nin, nout; /* nout counts hidden outputs too */
  ea_tensor *in[EA_MAX_IN];
  ea_tensor *out[EA_MAX_OUT];
  int nattr; /* with lists: fixed attributes first, the list's items after */
  double attr[EA_MAX_ATTR];
  /* what `shape` declares */
  struct {
    int dtype, ndim;
    int64_t size[EA_MAX_DIM];
  } shape[EA_MAX_OUT];
  /* backward only */
  ea_tensor *gout[EA_MAX_OUT];
  ea_tensor *gin[EA_MAX_IN];
  unsigned accumulate;
  uint64_t step;
  int needs_backward;     /* 0: inference, hidden outputs need not be filled */
  int fused_relu;         /* batch_norm only: out = relu(out); set by the graph's fusion */
  const ea_call *moments; /* batch_norm only: of the same x, whose gradient it adds; likewise */
  int deferred;           /* batch_norm only: it makes the statistics alone, likewise; */
  int grad_waits;         /* batch_norm only: the call that reads gin[0] makes it, likewise; */
  const ea_call *through; /* conv2d only: a deferred batch_norm that its in[0] goes through */
  ea_tensor *residual;    /* conv2d only: borrowed, of out's shape, is added to out; likewise */
  const ea_call *norm;    /* conv2d only: a batch_norm in evaluation mode that out goes through */
  ea_call *along[3];      /* conv2d only: what it does along for batch_norms: see conv2d_along.c */
  ea_scratch *scratch;    /* a graph's calls share one; otherwise own_scratch is used */
  ea_scratch own_scratch;
  void *state; /* the op's own, e.g. oneDNN primitives; freed by free_state */
  void (*free_state)(void *state);
};

static inline int64_t ea_attr_int(const ea_call *c, int k) { return (int64_t)c->attr[k]; }

const ea_op *ea_op_at(int op); /* NULL if there is none */

/* One attribute of a schema: "name:kind=default". */
typedef struct ea_schema_item {
  const char *name; /* not terminated: name_length bytes */
  int name_length;
  char kind;
  int is_list; /* the rest of the attributes are its items */
  int has_default;
  double value;
} ea_schema_item;
/* Reads the item at s; returns what follows it, NULL at the end. */
const char *ea_schema_next(const char *s, ea_schema_item *item);
/* Fills c->attr with `given` and the defaults of the op's schema. */
int ea_call_set_attrs(ea_call *c, int nattr, const double *given);
/* Frees scratch and state. */
void ea_call_clear(ea_call *c);
/* Runs c->op->forward or backward; an interrupt ends it early, as EA_ERR_INTERRUPTED. */
int ea_call_run(ea_call *c, int (*pass)(ea_call *c));
/* Inputs that backward reads, given whether gradients of in[0] and in[1] are wanted: bit i. */
unsigned ea_op_needed_inputs(const ea_op *op, int first, int second);
/* dst += src, same shape and type, contiguous. */
void ea_accumulate(ea_tensor *dst, const ea_tensor *src);

static inline size_t ea_round64(size_t n) { return (n + 63) / 64 * 64; }

enum { EA_CHUNK = 16384 }; /* elements of a plain elementwise chunk */

/* Vectors of f32 out of and into f32 or bf16 memory, for kernels that compute in f32. */
void ea_load_f32(float *to, const void *from, int dtype, int64_t n);
void ea_store_f32(void *to, int dtype, const float *from, int64_t n);

#endif
