/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * edgeai_op.h - for whoever writes an op: a plugin's C file, a program over libedgeai, and every
 * file of core/ops.
 *
 * An op is a constant ea_op: a name, a shape rule, forward, backward. Once in the table
 * (EA_PLUGIN, ea_ops_add, or its line in core/ops/ops.def) it runs eagerly, in captured graphs and
 * with gradients, in C and in Lua, as every other op.
 *
 * Rules for kernels
 *   - Inputs are contiguous and have the shapes and types that `shape` accepted. Outputs are
 *     contiguous, of the shapes that `shape` set. Kernels never allocate tensors.
 *   - `shape` sees sizes and types alone: there may be no data yet, and no outputs.
 *   - Kernels are written for f32, bf16 (computed wider, rounded once when stored) and f64 (for
 *     gradient checks) unless the op's comment says otherwise; `shape` refuses what they are not
 *     written for.
 *   - Work is split by shape alone, never by thread count; sums are made in a fixed order.
 *   - `backward` writes gin[i] wherever gin[i] is not NULL (NULL: not wanted). It overwrites,
 *     unless ea_call_accumulates(c, i), which happens only if the op has EA_OP_ACCUMULATES.
 *     gout[j] is NULL where no gradient flowed into output j (hidden outputs: always).
 *   - `backward` has in[i] and out[j] with their values only as far as need_in and need_out say.
 *   - Temporary memory comes from ea_call_scratch: one block at a time, its contents gone when the
 *     kernel returns.
 *   - A kernel does not print, exit or throw; what fails, fails by ea_call_fail in `shape`.
 *
 *     #include <edgeai_op.h>
 *
 *     enum { BLOCK = 256 };
 *     static int shape(ea_call *c) {
 *       const ea_tensor *x = ea_call_in(c, 0);
 *       if (ea_call_check_float(c, 0) < 0) return EA_ERR_DTYPE;
 *       return ea_call_output_like(c, 0, x);
 *     }
 *     static void forward_range(void *arg, int64_t begin, int64_t end) {
 *       double v[BLOCK];
 *       for (int64_t n; begin < end; begin += n) {
 *         n = end - begin < BLOCK ? end - begin : BLOCK;
 *         ea_tensor_read(ea_call_in(arg, 0), begin, n, v);
 *         for (int64_t i = 0; i < n; i++) v[i] = v[i] * v[i];
 *         ea_tensor_write(ea_call_out(arg, 0), begin, n, v);
 *       }
 *     }
 *     static int forward(ea_call *c) {
 *       ea_parallel_range(ea_tensor_count(ea_call_out(c, 0)), 16384, forward_range, c);
 *       return EA_OK;
 *     }
 *     ...
 *     static const ea_op my_square = {.name = "my_square", .nin_least = 1, .nin_most = 1,
 *       .nout = 1, .attrs = "", .need_in = 1, .shape = shape, .forward = forward,
 *       .backward = backward};
 *     EA_PLUGIN(&my_square);
 */
#ifndef EDGEAI_OP_H
#define EDGEAI_OP_H

#include "edgeai.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Grows with every change of what is below that a compiled plugin would notice. */
enum { EA_OP_ABI = 1 };

typedef struct ea_call ea_call; /* one application of an op */

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
  int (*backward)(ea_call *c); /* NULL: no gradient passes (an op from outside: EA_OP_NO_GRAD) */
  /* NULL (none worth counting), or: of forward, 2 per multiply-add. The gradient of each of the
   * first two inputs costs as much again. */
  double (*flops)(const ea_call *c);
  /* NULL, or: makes now all that forward (and, if ea_call_needs_backward, backward) would make on
   * their first run (primitives, scratch), so that a graph's memory is known before it runs. */
  int (*prepare)(ea_call *c);
} ea_op;

enum {
  EA_OP_ALIAS = 1,       /* core only: out[0] is in[0]'s memory under another shape (reshape); no
                            forward work, and the gradient is out's under in's shape */
  EA_OP_ACCUMULATES = 2, /* backward honours ea_call_accumulates */
  EA_OP_NO_GRAD = 4,     /* outputs never require a gradient */
  EA_OP_RANDOM = 8,      /* reads ea_call_step */
  EA_OP_BILINEAR = 16    /* linear in in[0] and in in[1]: the gradient of each reads the other, so
                            what need_in says of the two holds only where that is wanted */
};

/* ---- what a kernel asks ------------------------------------------------------------------------
 * Tensors are borrowed; ea_tensor_size, _ndim, _dtype, _count and _data of edgeai.h read them. */
EA_API int ea_call_inputs(const ea_call *c); /* how many */
EA_API ea_tensor *ea_call_in(const ea_call *c, int i);
EA_API ea_tensor *ea_call_out(const ea_call *c, int j);  /* hidden outputs count from nout */
EA_API ea_tensor *ea_call_gout(const ea_call *c, int j); /* backward only; NULL possible */
EA_API ea_tensor *ea_call_gin(const ea_call *c, int i);  /* backward only; NULL possible */
EA_API int ea_call_attrs(const ea_call *c);              /* how many, list items included */
EA_API double ea_call_attr(const ea_call *c, int k);     /* in the schema's order */
EA_API int ea_call_accumulates(const ea_call *c, int i); /* 1: add to gin[i] */
EA_API int ea_call_needs_backward(const ea_call *c);     /* 0: hidden ones may stay empty */
EA_API uint64_t ea_call_step(const ea_call *c);

/* Declares output j. Both return EA_OK. */
EA_API int ea_call_output(ea_call *c, int j, int dtype, int ndim, const int64_t *size);
EA_API int ea_call_output_like(ea_call *c, int j, const ea_tensor *like);
/* At least `bytes`, 64-byte aligned, contents undefined; NULL on no memory (error set: return
 * EA_ERR_MEMORY). A second call may move the block: ask once for all that a kernel needs. */
EA_API void *ea_call_scratch(ea_call *c, size_t bytes);
/* Records "NAME: sentence" for ea_error() and returns `code`, an ea_status. */
EA_API int ea_call_fail(const ea_call *c, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* EA_OK, or EA_ERR_* with a sentence: in[i] is f32, bf16 or f64; has ndim dimensions; is of that
 * type; all inputs are of one type. */
EA_API int ea_call_check_float(const ea_call *c, int i);
EA_API int ea_call_check_ndim(const ea_call *c, int i, int ndim);
EA_API int ea_call_check_dtype(const ea_call *c, int i, int dtype);
EA_API int ea_call_check_same_dtype(const ea_call *c);

/* Splits n elements (or rows, or images) into chunks and runs fn(arg, begin, end) on each, on up to
 * ea_threads() threads. Which thread runs which chunk is free: fn writes only what belongs to its
 * range, does not fail, and calls nothing here but the two below. */
typedef void (*ea_range_fn)(void *arg, int64_t begin, int64_t end);
EA_API void ea_parallel_range(int64_t n, int64_t chunk, ea_range_fn fn, void *arg);
/* Elements begin .. begin+n-1 of a contiguous tensor of any type as doubles, and back: floats are
 * rounded half to even, integers too and clamped to their range. */
EA_API void ea_tensor_read(const ea_tensor *t, int64_t begin, int64_t n, double *to);
EA_API void ea_tensor_write(ea_tensor *t, int64_t begin, int64_t n, const double *from);

/* ---- the table ---------------------------------------------------------------------------------
 * Adds ops, all or none, under the numbers *first .. *first + count - 1. They are checked, their
 * names must be new. The structs must live as long as the process. ea_op_remove takes one away. */
EA_API int ea_ops_add(int count, const ea_op *const *ops, int *first);

/* What a plugin's library exports under the name ea_plugin_entry, for ea_plugin_load. */
typedef struct ea_plugin {
  int abi, library_abi; /* EA_OP_ABI and EA_ABI of the headers it was built with */
  const char *source;   /* EA_PLUGIN_SOURCE: hash of the C file, "" if it was not given */
  int count;
  const ea_op *const *ops;
} ea_plugin;

#ifndef EA_PLUGIN_SOURCE
#define EA_PLUGIN_SOURCE ""
#endif
/* EA_PLUGIN(&op_a, &op_b); at the end of the C file. */
#define EA_PLUGIN(...)                                                                           \
  static const ea_op *const ea_plugin_ops[] = {__VA_ARGS__};                                     \
  EA_API const ea_plugin ea_plugin_entry = {EA_OP_ABI, EA_ABI, EA_PLUGIN_SOURCE,                 \
                                            (int)(sizeof ea_plugin_ops / sizeof *ea_plugin_ops), \
                                            ea_plugin_ops}

#ifdef __cplusplus
}
#endif
#endif
