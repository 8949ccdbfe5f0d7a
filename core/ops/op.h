/* SPDX-License-Identifier: GPL-3.0-or-later
 * op.h - what an op is. One file per op (or per family of one formula) in core/ops holds the shape
 * rule, forward and backward side by side, and exports one `const ea_op ea_op_NAME`; its line in
 * ops.def makes it exist everywhere: C, Lua, tests, graphs.
 *
 * Rules for kernels
 *   - Inputs are contiguous and have the shapes and types that `shape` accepted. Outputs are
 *     contiguous, of the shapes that `shape` set. Kernels never allocate tensors.
 *   - Kernels are written for f32, bf16 (computed in f32, rounded once when stored) and f64 (for
 *     gradient checks) unless the op's comment says otherwise.
 *   - Work is split over ea_parallel by shape alone; sums are reduced in a fixed order.
 *   - `backward` writes gin[i] wherever gin[i] is not NULL (NULL: not wanted). It overwrites,
 *     unless bit i of `accumulate` is set, which happens only if the op has EA_OP_ACCUMULATES.
 *     gout[j] is NULL where no gradient flowed into output j (hidden outputs: always).
 *   - Temporary memory comes from ea_call_scratch: one block at a time, its contents gone when the
 *     kernel returns.
 */
#ifndef EA_OP_H
#define EA_OP_H

#include "../tensor/tensor.h"

typedef struct ea_call ea_call;

typedef struct ea_scratch {
  void *data;
  size_t bytes;
} ea_scratch;

typedef struct ea_op {
  const char *name;
  int nin_least, nin_most;
  int nout;          /* outputs the caller sees */
  int nhidden;       /* further outputs kept for backward, after the visible ones */
  const char *attrs; /* schema: see ea_op_attrs in edgeai.h */
  unsigned flags;    /* EA_OP_* */
  unsigned need_in;  /* bit i: backward reads in[i]; other inputs may be gone by then */
  unsigned need_out; /* bit j: backward reads out[j] (hidden outputs count from nout) */
  /* Checks inputs and attributes, then calls ea_call_output for each output. */
  int (*shape)(ea_call *c);
  int (*forward)(ea_call *c);
  int (*backward)(ea_call *c);           /* NULL: no gradient passes */
  double (*flops)(const ea_call *c, int backward); /* NULL: none worth counting */
  /* NULL, or: makes now all that forward (and, if c->needs_backward, backward) would make on their
   * first run (primitives, scratch), so that a graph's memory is known before it runs. */
  int (*prepare)(ea_call *c);
} ea_op;

enum {
  EA_OP_ALIAS = 1,       /* out[0] is in[0]'s memory under another shape (reshape); no forward work,
                            and the gradient is out's under in's shape */
  EA_OP_ACCUMULATES = 2, /* backward honours `accumulate` */
  EA_OP_NO_GRAD = 4,     /* outputs never require a gradient */
  EA_OP_RANDOM = 8       /* reads c->step */
};

struct ea_call {
  const ea_op *op;
  int nin, nout; /* nout counts hidden outputs too */
  ea_tensor *in[EA_MAX_IN];
  ea_tensor *out[EA_MAX_OUT];
  int nattr; /* with lists: fixed attributes first, the list's items after */
  double attr[EA_MAX_ATTR];
  /* what `shape` declares */
  struct { int dtype, ndim; int64_t size[EA_MAX_DIM]; } shape[EA_MAX_OUT];
  /* backward only */
  ea_tensor *gout[EA_MAX_OUT];
  ea_tensor *gin[EA_MAX_IN];
  unsigned accumulate;
  uint64_t step;
  int needs_backward; /* 0: inference, hidden outputs need not be filled */
  int fused_relu;     /* batch_norm only: out = relu(out); set by the graph's fusion */
  ea_scratch *scratch; /* a graph's calls share one; otherwise own_scratch is used */
  ea_scratch own_scratch;
  void *state; /* the op's own, e.g. oneDNN primitives; freed by free_state */
  void (*free_state)(void *state);
};

/* Declares output j. */
void ea_call_output(ea_call *c, int j, int dtype, int ndim, const int64_t *size);
/* At least `bytes`, 64-byte aligned, contents undefined; NULL on no memory (error set). A second
 * call may move the block: ask once for all that a kernel needs. */
void *ea_call_scratch(ea_call *c, size_t bytes);
/* Fails with "NAME: ..." before the sentence. */
int ea_call_fail(const ea_call *c, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Checks that in[i] is f32/bf16/f64. */
int ea_call_check_float(const ea_call *c, int i);
int ea_call_check_ndim(const ea_call *c, int i, int ndim);
int ea_call_check_dtype(const ea_call *c, int i, int dtype);
int ea_call_check_same_dtype(const ea_call *c); /* all inputs of one type */

static inline int64_t ea_attr_int(const ea_call *c, int k) { return (int64_t)c->attr[k]; }

const ea_op *ea_op_at(int op);

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
/* dst += src, same shape and type, contiguous. */
void ea_accumulate(ea_tensor *dst, const ea_tensor *src);

/* Splits n elements into fixed chunks and runs fn(arg, begin, end) on each in parallel. */
typedef void (*ea_range_fn)(void *arg, int64_t begin, int64_t end);
void ea_parallel_range(int64_t n, int64_t chunk, ea_range_fn fn, void *arg);
enum { EA_CHUNK = 16384 }; /* elements of a plain elementwise chunk */

/* Vectors of f32 out of and into f32 or bf16 memory, for kernels that compute in f32. */
void ea_load_f32(float *to, const void *from, int dtype, int64_t n);
void ea_store_f32(void *to, int dtype, const float *from, int64_t n);

#endif
