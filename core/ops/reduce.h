/* SPDX-License-Identifier: GPL-3.0-or-later
 * reduce.h - what the reductions share: their axes, and the shape of their result.
 */
#ifndef EA_REDUCE_H
#define EA_REDUCE_H

#include "fold.h"

/* The axes from attribute `first` on, as a mask; none given: all. Refuses one named twice. */
int ea_reduce_axes(const ea_call *c, int first, unsigned *mask);
/* Declares output 0: the reduced axes are dropped, or kept with size 1. */
void ea_reduce_output(ea_call *c, int dtype, unsigned mask, int keep);
/* Elements that go into each result. */
int64_t ea_reduce_length(const ea_tensor *x, unsigned mask);
/* An expression over in[0]'s space. */
void ea_reduce_expr(const ea_call *c, ea_expr *e, ea_kernel f32, ea_kernel f64);

#endif
