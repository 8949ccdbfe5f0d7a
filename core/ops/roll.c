/* SPDX-License-Identifier: GPL-3.0-or-later
 * roll "axis:x shift:i" (x) - y[(i + shift) mod n] = x[i] along an axis. Any type.
 */
#include "axis.h"
#include "move.h"

static int shape(ea_call *c) {
  int dim = 0;
  EA_TRY(ea_call_axis(c, 0, c->in[0]->ndim, &dim));
  ea_call_output(c, 0, c->in[0]->dtype, c->in[0]->ndim, c->in[0]->size);
  return EA_OK;
}

static int roll(const ea_call *c, const ea_tensor *to, const ea_tensor *from, int sign) {
  ea_axis a = ea_axis_split(to, ea_attr_int(c, 0));
  if (a.len == 0) return EA_OK;
  int esize = ea_dtype_size(to->dtype);
  int64_t shift = sign * (ea_attr_int(c, 1) % a.len), row = a.len * a.inner;
  if (shift < 0) shift += a.len;
  int64_t front = shift * a.inner, back = row - front;
  ea_move_rows(esize, a.outer, back, ea_element(to, front), row, ea_ptr(from), row);
  ea_move_rows(esize, a.outer, front, ea_ptr(to), row, ea_element(from, back), row);
  return EA_OK;
}

static int forward(ea_call *c) { return roll(c, c->out[0], c->in[0], 1); }
static int backward(ea_call *c) { return roll(c, c->gin[0], c->gout[0], -1); }

const ea_op ea_op_roll = {
    .name = "roll",
    .nin_least = 1,
    .nin_most = 1,
    .nout = 1,
    .attrs = "axis:x shift:i",
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
