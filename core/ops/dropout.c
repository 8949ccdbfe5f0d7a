/* SPDX-License-Identifier: GPL-3.0-or-later
 * dropout - Srivastava et al. 2014, as it acts in training: y = x / (1-p) with probability 1-p,
 * else 0. x f32, bf16 or f64, any shape; 0 <= p <= 1.
 *
 * Whether element i stays depends on (seed, stream, step, i) alone: word i of the Philox sequence
 * (seed, stream, step), as a number in [0,1), is at least p. Backward draws the same words again.
 */
#include "../base/philox.h"
#include "real.h"

typedef struct job {
  const void *from;
  void *to;
  int dtype;
  double p, scale;
  uint64_t seed, stream, step;
} job;

EA_INLINE void run_range(const job *j, int dtype, int64_t begin, int64_t end) {
  uint32_t word[4];
  for (int64_t i = begin; i < end; i++) { /* begin is a multiple of 4 */
    if (i % 4 == 0) ea_philox(j->seed, j->stream, j->step, (uint64_t)i / 4, word);
    double keep = ea_unit_float(word[i % 4]) >= j->p ? j->scale : 0;
    ea_real_set(j->to, dtype, i, keep == 0 ? 0 : keep * ea_real(j->from, dtype, i));
  }
}

static void run_chunk(void *arg, int64_t begin, int64_t end) {
  const job *j = arg;
  EA_BY_DTYPE(j->dtype, run_range(j, D, begin, end));
}

static int shape(ea_call *c) {
  EA_TRY(ea_call_check_float(c, 0));
  if (!(c->attr[0] >= 0 && c->attr[0] <= 1))
    return ea_call_fail(c, EA_ERR_ARG, "p is %g, expected a probability, 0 to 1", c->attr[0]);
  ea_call_output(c, 0, c->in[0]->dtype, c->in[0]->ndim, c->in[0]->size);
  return EA_OK;
}

static int run(ea_call *c, const ea_tensor *from, ea_tensor *to) {
  double p = c->attr[0];
  job j = {ea_ptr(from),
           ea_ptr(to),
           from->dtype,
           p,
           p < 1 ? 1 / (1 - p) : 0,
           (uint64_t)ea_attr_int(c, 1),
           (uint64_t)ea_attr_int(c, 2),
           c->step};
  ea_parallel_range(ea_tensor_count(from), EA_CHUNK, run_chunk, &j);
  return EA_OK;
}

static int forward(ea_call *c) { return run(c, c->in[0], c->out[0]); }
static int backward(ea_call *c) { return run(c, c->gout[0], c->gin[0]); }

const ea_op ea_op_dropout = {.name = "dropout",
                             .nin_least = 1,
                             .nin_most = 1,
                             .nout = 1,
                             .attrs = "p:f=0.5 seed:i=0 stream:i=0",
                             .flags = EA_OP_RANDOM,
                             .shape = shape,
                             .forward = forward,
                             .backward = backward};
