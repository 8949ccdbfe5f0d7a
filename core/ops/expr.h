/* SPDX-License-Identifier: GPL-3.0-or-later
 * expr.h - values computed block by block: the engine below all elementwise ops and reductions.
 *
 * An expression is a function of up to three operands over one index space. It is evaluated in
 * blocks of EA_BLOCK consecutive elements that stay in the first-level cache: operands that are
 * dense and of the computing type are read in place; all others (bf16, broadcast, integers) are
 * gathered into a small buffer first. So a kernel is one dense loop, written once, that the
 * compiler vectorises, and broadcasting and element types are nobody else's business.
 */
#ifndef EA_EXPR_H
#define EA_EXPR_H

#include "op.h"

enum { EA_BLOCK = 512, EA_EXPR_IN = 3 };

/* An array seen over the expression's index space: adjacent axes are merged, so a dense operand has
 * one axis of stride 1 and a scalar one axis of stride 0. data NULL: the slot is not used. */
typedef struct ea_operand {
  const void *data;
  int dtype, ndim;
  int64_t size[EA_MAX_DIM], stride[EA_MAX_DIM];
} ea_operand;

/* out[i] = f(in[0][i], in[1][i], in[2][i]; attr), all of one type: float or double. */
typedef void (*ea_kernel)(const void *const *in, void *out, int64_t n, const double *attr);

typedef struct ea_expr {
  int ndim;
  int64_t size[EA_MAX_DIM], count;
  ea_operand in[EA_EXPR_IN];
  ea_kernel f32, f64; /* NULL: the value is in[0] itself */
  int wide;           /* 1: compute in double whatever the types */
  double attr[2];
} ea_expr;

/* EA_KERNEL(name, EXPRESSION) defines name_f32 and name_f64. The expression may use x[i], y[i],
 * g[i] (operands 0, 1, 2), the attributes p and q, and the type `real`; with <tgmath.h> its
 * functions follow the type. */
#define EA_KERNEL_OF(function, type, ...)                                                 \
  static void function(const void *const *in, void *out, int64_t n, const double *attr) { \
    typedef type real;                                                                    \
    const real *x = in[0], *y = in[1], *g = in[2];                                        \
    const real p = (real)attr[0], q = (real)attr[1];                                      \
    real *o = out;                                                                        \
    (void)x, (void)y, (void)g, (void)p, (void)q;                                          \
    _Pragma("omp simd") for (int64_t i = 0; i < n; i++) o[i] = (__VA_ARGS__);             \
  }
#define EA_KERNEL(name, ...)                   \
  EA_KERNEL_OF(name##_f32, float, __VA_ARGS__) \
  EA_KERNEL_OF(name##_f64, double, __VA_ARGS__)

void ea_expr_init(ea_expr *e, int ndim, const int64_t *size, ea_kernel f32, ea_kernel f64);
/* Puts a contiguous array into a slot, broadcast as NumPy does (it must fit). */
void ea_expr_array(ea_expr *e, int slot, const void *data, int dtype, int ndim,
                   const int64_t *size);
void ea_expr_tensor(ea_expr *e, int slot, const ea_tensor *t);
/* Puts in the result of reducing the index space over the axes in mask. */
void ea_expr_reduced(ea_expr *e, int slot, const void *data, int dtype, unsigned mask);
/* Elements begin..begin+n-1 (n <= EA_BLOCK) in double; the result is in `to` or in an operand. */
const double *ea_expr_f64(const ea_expr *e, int64_t begin, int64_t n, double *to);
/* Evaluates all of it in parallel into out, or adds it to out. Computes in float unless wide or out
 * is f64; integers are rounded half to even and clamped. */
void ea_expr_store(const ea_expr *e, void *out, int dtype, int accumulate);

/* An attribute that is an axis (0-based, negative from the end) of a tensor of ndim axes. */
int ea_call_axis(const ea_call *c, double attr, int ndim, int *axis);

/* ops on NumPy-broadcast inputs: the output's sizes; the gradient of in[k], which is the expression
 * over the output's space, summed over the axes along which in[k] was broadcast */
int ea_broadcast_sizes(const ea_call *c, int first, int *ndim, int64_t *size);
int ea_broadcast_gradient(ea_call *c, int k, const ea_expr *e);

#endif
