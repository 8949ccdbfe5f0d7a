/* SPDX-License-Identifier: GPL-3.0-or-later
 * flip "axis:x" (x) - the order along an axis reversed. Any type.
 */
#include "axis.h"
#include "move.h"

static int shape(ea_call *c) {
  int dim = 0;
  EA_TRY(ea_call_axis(c, 0, c->in[0]->ndim, &dim));
  ea_call_output(c, 0, c->in[0]->dtype, c->in[0]->ndim, c->in[0]->size);
  return EA_OK;
}

static int flip(const ea_call *c, const ea_tensor *to, const ea_tensor *from) {
  ea_axis a = ea_axis_split(to, ea_attr_int(c, 0));
  int64_t size[3] = {a.outer, a.len, a.inner};
  int64_t ts[3] = {a.len * a.inner, a.inner, 1}, fs[3] = {a.len * a.inner, -a.inner, 1};
  if (a.len == 0) return EA_OK;
  ea_move(ea_dtype_size(to->dtype), 3, size, ea_ptr(to), ts,
          ea_element(from, (a.len - 1) * a.inner), fs);
  return EA_OK;
}

static int forward(ea_call *c) { return flip(c, c->out[0], c->in[0]); }
static int backward(ea_call *c) { return flip(c, c->gin[0], c->gout[0]); }

const ea_op ea_op_flip = {
    .name = "flip",
    .nin_least = 1,
    .nin_most = 1,
    .nout = 1,
    .attrs = "axis:x",
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
