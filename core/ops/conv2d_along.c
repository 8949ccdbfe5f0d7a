/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_along.c - what a convolution of a captured graph does along for the batch_norms beside it,
 * on images that are in the cache, so that memory is read less often. Which, the graph finds:
 *
 *   EA_ALONG_MOMENTS  of the batch_norm that reads y next: sums of y, behind an image's forward
 *   EA_ALONG_GRAD     of the batch_norm that ran last in backward: the gradient of y itself, before
 *                     an image's gradient of x
 *   EA_ALONG_SUMS     of the batch_norm that x is read through and that runs next in backward: sums
 *                     of the gradient of x, behind it
 *
 * An engine that does not do so leaves it to whoever asks next.
 */
#include "batch_norm.h"
#include "conv2d.h"

static ea_bn_state *state_of(const ea_call *c, int what) {
  return c->along[what] ? c->along[what]->state : NULL;
}

void ea_conv_along_begin(const ea_call *c, int pass) {
  int what = pass == EA_CONV_FORWARD ? EA_ALONG_MOMENTS : EA_ALONG_SUMS;
  if (c->along[what]) ea_bn_gather_begin(state_of(c, what), c->along[what]);
}

void ea_conv_along_grad(const ea_call *c) {
  ea_bn_state *s = state_of(c, EA_ALONG_GRAD);
  if (s && s->waits) ea_bn_grad_all(s);
}

ea_conv_maps ea_conv_find_maps(const ea_call *c, int pass) {
  int relu = c->norm && ea_bn_relu(c->norm);
  if (pass == EA_CONV_DATA) {
    ea_conv_maps m = {.from = ea_ptr(c->gout[0]), .to = ea_ptr(c->gin[0])};
    if (c->accumulate & 1) m.add = m.to;
    if (c->gin[1] || c->along[EA_ALONG_SUMS]) m.also = ea_ptr(c->in[0]);
    if (relu) m.cut = ea_ptr(c->out[0]);
    return m;
  }
  ea_conv_maps m = {.from = ea_ptr(c->in[0]), .line = ea_conv_line(c)};
  m.to = ea_ptr(pass == EA_CONV_WEIGHTS ? c->gout[0] : c->out[0]);
  if (pass == EA_CONV_WEIGHTS) return m;
  if (c->residual) m.add = ea_ptr(c->residual);
  if (c->nin == 3) m.bias = ea_f32(c->in[2]);
  m.relu = relu;
  return m;
}

ea_conv_along ea_conv_find_along(const ea_call *c, const ea_conv *v, int pass) {
  ea_conv_along a = {.pixels_x = v->h * v->w, .pixels_y = v->oh * v->ow};
  int64_t e = ea_dtype_size((int)v->dtype);
  a.x_bytes = a.pixels_x * v->c * e;
  a.y_bytes = a.pixels_y * v->o * e;
  if (pass == EA_CONV_FORWARD && c->along[EA_ALONG_MOMENTS]) {
    a.what = EA_ALONG_MOMENTS;
    a.gathers = state_of(c, EA_ALONG_MOMENTS);
    a.shard_bytes = ea_bn_partial_bytes(v->o);
    a.y = ea_ptr(c->out[0]);
  }
  if (pass != EA_CONV_DATA) return a;
  ea_bn_state *grad = state_of(c, EA_ALONG_GRAD);
  if (grad && grad->waits) a.grad = grad;
  if (!c->along[EA_ALONG_SUMS]) return a;
  a.what = EA_ALONG_SUMS;
  a.gathers = state_of(c, EA_ALONG_SUMS);
  a.shard_bytes = ea_bn_partial_bytes(v->c);
  a.x = ea_ptr(c->in[0]);
  a.gx = ea_ptr(c->gin[0]);
  return a;
}

void ea_conv_along_before(const ea_conv_along *a, int64_t image, int64_t images) {
  if (a->grad) ea_bn_grad_some(a->grad, image * a->pixels_y, images * a->pixels_y);
}

void ea_conv_along_behind(const ea_conv_along *a, int64_t shard, int first, int64_t image,
                          int64_t images) {
  if (!a->gathers) return;
  char *to = a->partial + (size_t)shard * a->shard_bytes;
  if (a->what == EA_ALONG_MOMENTS)
    ea_bn_gather_moments(a->gathers, to, first, a->y + image * a->y_bytes, images * a->pixels_y);
  else
    ea_bn_gather_sums(a->gathers, to, first, a->gx + image * a->x_bytes, a->x + image * a->x_bytes,
                      images * a->pixels_x);
}

void ea_conv_along_image(const ea_conv_along *a, int64_t images, int64_t shards, int64_t image) {
  int64_t shard = ((image + 1) * shards - 1) / images;
  ea_conv_along_behind(a, shard, image == ea_conv_first_image(images, shards, shard), image, 1);
}

ea_ahead ea_conv_along_ahead(const ea_conv_along *a, const ea_conv_maps *m, int64_t n,
                             int64_t images, int64_t from_bytes, int64_t to_bytes) {
  ea_ahead h = {.run = 0};
  const ea_bn_state *s = a->grad;
  int64_t from = n * from_bytes, to = n * to_bytes;
  if (s) ea_ahead_add(&h, s->x + from, images * from_bytes);
  if (s) ea_ahead_add(&h, s->g + from, images * from_bytes);
  if (!s || s->g != s->to) ea_ahead_add(&h, m->from + from, images * from_bytes);
  if (m->also) ea_ahead_add(&h, m->also + to, images * to_bytes);
  if (m->add) ea_ahead_add(&h, m->add + to, images * to_bytes);
  if (m->to != m->add) ea_ahead_add(&h, m->to + to, images * to_bytes);
  return h;
}

void ea_conv_along_end(const ea_conv_along *a, int64_t shards) {
  if (a->gathers && !ea_interrupt_stops()) ea_bn_gather_take(a->gathers, a->partial, shards);
}
