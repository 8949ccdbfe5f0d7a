/* SPDX-License-Identifier: GPL-3.0-or-later
 * ssim "window:i=7 range:f=1" (x, y) - structural similarity of images (Wang et al. 2004, "Image
 * Quality Assessment: From Error Visibility to Structural Similarity"): {n,h,w,c} -> {n}.
 * Over every window x window square of every channel, with its means m, variances v and covariance
 * s (of N = window^2 pixels, over N),
 *   S = (2 mx my + C1)(2 s + C2) / ((mx^2 + my^2 + C1)(vx + vy + C2)),
 *   C1 = (0.01 range)^2, C2 = (0.03 range)^2;
 * an image's value is the mean of S: 1 where x = y, at most 1. y may be {1,h,w,c}, for all images.
 * range: how far values go, 1 for [0, 1]. Computed in f64.
 * Gradient (g of the value, per square): with A, B the factors above and D, E those below,
 *   dS/dx_i = (2 my B / (D E) - 2 mx S / D - 2 (x_i - mx) S / E + 2 (y_i - my) A / (D E)) / N,
 * and the same of y with x and y exchanged.
 */
#include <string.h>

#include <edgeai_op.h>

enum { WINDOW, RANGE };

typedef struct plan {
  ea_call *c;
  int64_t n, h, w, channels, pixels; /* pixels: numbers of an image */
  int64_t side, rows, columns;       /* of a square; squares down and across */
  int shared;                        /* one y for all */
  double c1, c2;
  double *room; /* for each image its x and y, backward their gradients, too */
} plan;

static plan plan_of(ea_call *c) {
  const ea_tensor *x = ea_call_in(c, 0), *y = ea_call_in(c, 1);
  double range = ea_call_attr(c, RANGE);
  plan p = {.c = c, .n = ea_tensor_size(x, 0), .h = ea_tensor_size(x, 1)};
  p.w = ea_tensor_size(x, 2), p.channels = ea_tensor_size(x, 3);
  p.pixels = p.h * p.w * p.channels;
  p.side = (int64_t)ea_call_attr(c, WINDOW);
  p.rows = p.h - p.side + 1, p.columns = p.w - p.side + 1;
  p.shared = ea_tensor_size(y, 0) == 1 && p.n != 1;
  p.c1 = 0.01 * range * 0.01 * range, p.c2 = 0.03 * range * 0.03 * range;
  return p;
}

static int shape(ea_call *c) {
  if (ea_call_check_float(c, 0) < 0 || ea_call_check_same_dtype(c) < 0) return EA_ERR_DTYPE;
  if (ea_call_check_ndim(c, 0, 4) < 0 || ea_call_check_ndim(c, 1, 4) < 0) return EA_ERR_SHAPE;
  const ea_tensor *x = ea_call_in(c, 0), *y = ea_call_in(c, 1);
  int fits = ea_tensor_size(y, 0) == ea_tensor_size(x, 0) || ea_tensor_size(y, 0) == 1;
  for (int d = 1; d < 4; d++) fits = fits && ea_tensor_size(y, d) == ea_tensor_size(x, d);
  if (!fits || ea_tensor_size(x, 3) == 0)
    return ea_call_fail(c, EA_ERR_SHAPE,
                        "the second images must be of the first ones' size, as many or one");
  double side = ea_call_attr(c, WINDOW);
  if (!(side >= 2 && side <= (double)ea_tensor_size(x, 1) && side <= (double)ea_tensor_size(x, 2)))
    return ea_call_fail(c, EA_ERR_ARG,
                        "window must be from 2 to the images' size %lld x %lld, got %g",
                        (long long)ea_tensor_size(x, 1), (long long)ea_tensor_size(x, 2), side);
  if (!(ea_call_attr(c, RANGE) > 0))
    return ea_call_fail(c, EA_ERR_ARG, "range must be above 0, got %g", ea_call_attr(c, RANGE));
  int64_t size[1] = {ea_tensor_size(x, 0)};
  return ea_call_output(c, 0, ea_tensor_dtype(x), 1, size);
}

/* One square at (row, column) of a channel. */
typedef struct square {
  double mx, my, a, b, d, e, s;
} square;

static square look(const plan *p, const double *x, const double *y) {
  double sx = 0, sy = 0, xx = 0, yy = 0, xy = 0, count = (double)(p->side * p->side);
  for (int64_t i = 0; i < p->side; i++)
    for (int64_t j = 0; j < p->side; j++) {
      int64_t at = (i * p->w + j) * p->channels;
      sx += x[at], sy += y[at];
    }
  square q = {.mx = sx / count, .my = sy / count};
  for (int64_t i = 0; i < p->side; i++)
    for (int64_t j = 0; j < p->side; j++) {
      int64_t at = (i * p->w + j) * p->channels;
      double u = x[at] - q.mx, v = y[at] - q.my;
      xx += u * u, yy += v * v, xy += u * v;
    }
  q.a = 2 * q.mx * q.my + p->c1, q.b = 2 * xy / count + p->c2;
  q.d = q.mx * q.mx + q.my * q.my + p->c1, q.e = (xx + yy) / count + p->c2;
  q.s = q.a * q.b / (q.d * q.e);
  return q;
}

/* Adds g/N times the derivative of S to a square of dx; (mx, x) and (my, y) may be exchanged. */
static void spread(const plan *p, const square *q, double mx, double my, const double *x,
                   const double *y, double g, double *dx) {
  double de = q->d * q->e, level = 2 * my * q->b / de - 2 * mx * q->s / q->d;
  double own = 2 * q->s / q->e, other = 2 * q->a / de;
  for (int64_t i = 0; i < p->side; i++)
    for (int64_t j = 0; j < p->side; j++) {
      int64_t at = (i * p->w + j) * p->channels;
      dx[at] += g * (level - own * (x[at] - mx) + other * (y[at] - my));
    }
}

static double *read_images(const plan *p, int64_t image, int parts) {
  double *x = p->room + image * parts * p->pixels;
  ea_tensor_read(ea_call_in(p->c, 0), image * p->pixels, p->pixels, x);
  ea_tensor_read(ea_call_in(p->c, 1), p->shared ? 0 : image * p->pixels, p->pixels, x + p->pixels);
  return x;
}

static void forward_range(void *arg, int64_t begin, int64_t end) {
  const plan *p = arg;
  for (int64_t image = begin; image < end; image++) {
    const double *x = read_images(p, image, 2), *y = x + p->pixels;
    double sum = 0;
    for (int64_t row = 0; row < p->rows; row++)
      for (int64_t k = 0; k < p->columns * p->channels; k++) {
        int64_t at = row * p->w * p->channels + k;
        sum += look(p, x + at, y + at).s;
      }
    sum /= (double)(p->rows * p->columns * p->channels);
    ea_tensor_write(ea_call_out(p->c, 0), image, 1, &sum);
  }
}

static int forward(ea_call *c) {
  plan p = plan_of(c);
  if (!(p.room = ea_call_scratch(c, (size_t)(p.n * 2 * p.pixels + 1) * sizeof *p.room)))
    return EA_ERR_MEMORY;
  ea_parallel_range(p.n, 1, forward_range, &p);
  return EA_OK;
}

static void backward_range(void *arg, int64_t begin, int64_t end) {
  const plan *p = arg;
  double count = (double)(p->rows * p->columns * p->channels) * (double)(p->side * p->side);
  for (int64_t image = begin; image < end; image++) {
    double *x = read_images(p, image, 4), *y = x + p->pixels, *dx = y + p->pixels,
           *dy = dx + p->pixels, g;
    ea_tensor_read(ea_call_gout(p->c, 0), image, 1, &g);
    memset(dx, 0, (size_t)(2 * p->pixels) * sizeof *dx);
    for (int64_t row = 0; row < p->rows; row++)
      for (int64_t k = 0; k < p->columns * p->channels; k++) {
        int64_t at = row * p->w * p->channels + k;
        square q = look(p, x + at, y + at);
        spread(p, &q, q.mx, q.my, x + at, y + at, g / count, dx + at);
        if (ea_call_gin(p->c, 1)) spread(p, &q, q.my, q.mx, y + at, x + at, g / count, dy + at);
      }
    if (ea_call_gin(p->c, 0))
      ea_tensor_write(ea_call_gin(p->c, 0), image * p->pixels, p->pixels, dx);
    if (ea_call_gin(p->c, 1) && !p->shared)
      ea_tensor_write(ea_call_gin(p->c, 1), image * p->pixels, p->pixels, dy);
  }
}

static int backward(ea_call *c) {
  plan p = plan_of(c);
  if (!(p.room = ea_call_scratch(c, (size_t)(p.n * 4 * p.pixels + 1) * sizeof *p.room)))
    return EA_ERR_MEMORY;
  ea_parallel_range(p.n, 1, backward_range, &p);
  if (p.shared && ea_call_gin(c, 1)) { /* one y: the images' gradients added up in their order */
    double *sum = p.room + 3 * p.pixels;
    for (int64_t image = 1; image < p.n; image++)
      for (int64_t i = 0; i < p.pixels; i++) sum[i] += p.room[(4 * image + 3) * p.pixels + i];
    if (p.n == 0) memset(p.room, 0, sizeof *p.room);
    if (p.n > 0) ea_tensor_write(ea_call_gin(c, 1), 0, p.pixels, sum);
  }
  return EA_OK;
}

static const ea_op ssim = {
    .name = "ssim",
    .nin_least = 2,
    .nin_most = 2,
    .nout = 1,
    .attrs = "window:i=7 range:f=1",
    .need_in = 3,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
EA_PLUGIN(&ssim);
