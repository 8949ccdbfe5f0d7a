/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_onednn.h - what the users of oneDNN (2.6, C interface), conv2d_onednn.c and
 * conv2d_onednn_plan.c, tell each other.
 */
#ifndef EA_CONV2D_ONEDNN_H
#define EA_CONV2D_ONEDNN_H

#include "conv2d.h"

#if EA_WITH_ONEDNN

#include <oneapi/dnnl/dnnl.h>

enum { EA_DNNL_THREADS = 64 };
enum { SRC, WEIGHTS, DST, SCRATCH, BIAS, SLOTS }; /* memory objects of a thread */

typedef struct ea_dnnl_plan {
  ea_conv shape; /* n: images of one execution */
  int pass, bias;
  int fast; /* 0: oneDNN has only its reference code for this */
  dnnl_primitive_t conv, reorder;
  dnnl_memory_desc_t md[SLOTS], reorder_scratch;
  size_t weight_bytes, scratch_bytes; /* multiples of 64 */
  dnnl_memory_t slot[EA_DNNL_THREADS][SLOTS];
  dnnl_memory_t plain, packed, reorder_memory; /* the reorder's: f32 OIHW, the primitive's own */
  uint64_t used;
} ea_dnnl_plan;

/* The plan for `n` images of v, from the cache or new; the least recently used one makes room. */
int ea_dnnl_find_plan(ea_call *c, const ea_conv *v, int64_t n, int pass, ea_dnnl_plan **out);
dnnl_engine_t ea_dnnl_engine(void); /* there is a plan already */
dnnl_stream_t ea_dnnl_stream(void);

int ea_dnnl_fail(const ea_call *c, const char *what, dnnl_status_t status);
#define DNNL_TRY(c, what, call)                                             \
  do {                                                                      \
    dnnl_status_t status_ = (call);                                         \
    if (status_ != dnnl_success) return ea_dnnl_fail((c), (what), status_); \
  } while (0)

#endif
#endif
