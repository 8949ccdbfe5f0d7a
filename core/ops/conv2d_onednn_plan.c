/* SPDX-License-Identifier: GPL-3.0-or-later
 * conv2d_onednn_plan.c - plans of convolutions by oneDNN: primitive, weight format, memory objects.
 * They are kept in one cache for the whole process, so that eager calls of a known shape create
 * nothing.
 */
#include "conv2d_onednn.h"

#if EA_WITH_ONEDNN

#include <stdio.h>

enum {
  PLANS = 512,
  ROOM = 32 << 20 /* bytes that must be left: without memory for code oneDNN crashes */
};

static struct {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  ea_dnnl_plan *plan[PLANS];
  int count;
  uint64_t clock;
  char name[32];
} lib;

int ea_dnnl_fail(const ea_call *c, const char *what, dnnl_status_t status) {
  return ea_call_fail(c, status == dnnl_out_of_memory ? EA_ERR_MEMORY : EA_ERR_UNSUPPORTED,
                      "oneDNN failed to %s (status %d); EDGEAI_CONV=portable avoids it", what,
                      (int)status);
}

const char *ea_conv_onednn_name(void) {
  if (!lib.name[0]) {
    const dnnl_version_t *v = dnnl_version();
    snprintf(lib.name, sizeof lib.name, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
  }
  return lib.name;
}

int ea_conv_onednn_has_bf16(void) {
  int bf16 = dnnl_cpu_isa_avx512_core_bf16;
  return ((int)dnnl_get_effective_cpu_isa() & bf16) == bf16;
}

dnnl_engine_t ea_dnnl_engine(void) { return lib.engine; }
dnnl_stream_t ea_dnnl_stream(void) { return lib.stream; }

/* ---- plans ---- */

static void plan_free(ea_dnnl_plan *p) {
  if (!p) return;
  if (p->conv) dnnl_primitive_destroy(p->conv);
  if (p->reorder) dnnl_primitive_destroy(p->reorder);
  for (int t = 0; t < EA_DNNL_THREADS; t++)
    for (int s = 0; s < SLOTS; s++)
      if (p->slot[t][s]) dnnl_memory_destroy(p->slot[t][s]);
  if (p->plain) dnnl_memory_destroy(p->plain);
  if (p->packed) dnnl_memory_destroy(p->packed);
  if (p->reorder_memory) dnnl_memory_destroy(p->reorder_memory);
  ea_free(p);
}

/* Memory descriptor of w: OIHW or anything the primitive likes. */
static dnnl_status_t describe_weights(const ea_conv *v, dnnl_data_type_t type, int plain,
                                      dnnl_memory_desc_t *md) {
  if (v->groups == 1) {
    dnnl_dims_t d = {v->o, v->c, v->kh, v->kw};
    return dnnl_memory_desc_init_by_tag(md, 4, d, type, plain ? dnnl_oihw : dnnl_format_tag_any);
  }
  dnnl_dims_t d = {v->groups, v->o / v->groups, v->c / v->groups, v->kh, v->kw};
  return dnnl_memory_desc_init_by_tag(md, 5, d, type, plain ? dnnl_goihw : dnnl_format_tag_any);
}

static dnnl_status_t describe_pass(ea_dnnl_plan *p, int pass, const dnnl_memory_desc_t *w,
                                   dnnl_convolution_desc_t *d) {
  const ea_conv *v = &p->shape;
  dnnl_dims_t stride = {v->stride, v->stride}, pad = {v->pad, v->pad};
  dnnl_dims_t dilate = {v->dilation - 1, v->dilation - 1};
  const dnnl_memory_desc_t *x = &p->md[SRC], *y = &p->md[DST];
  dnnl_alg_kind_t how = dnnl_convolution_direct;
  if (pass == EA_CONV_FORWARD)
    return dnnl_dilated_convolution_forward_desc_init(d, dnnl_forward_training, how, x, w,
                                                      p->bias ? &p->md[BIAS] : NULL, y, stride,
                                                      dilate, pad, pad);
  if (pass == EA_CONV_DATA)
    return dnnl_dilated_convolution_backward_data_desc_init(d, how, x, w, y, stride, dilate, pad,
                                                            pad);
  return dnnl_dilated_convolution_backward_weights_desc_init(d, how, x, w, NULL, y, stride, dilate,
                                                             pad, pad);
}

static dnnl_status_t make_conv(ea_dnnl_plan *p, dnnl_primitive_attr_t attr) {
  const ea_conv *v = &p->shape;
  dnnl_data_type_t type = v->dtype == EA_BF16 ? dnnl_bf16 : dnnl_f32;
  dnnl_dims_t x = {v->n, v->c, v->h, v->w}, y = {v->n, v->o, v->oh, v->ow}, b = {v->o};
  dnnl_memory_desc_init_by_tag(&p->md[SRC], 4, x, type, dnnl_nhwc);
  dnnl_memory_desc_init_by_tag(&p->md[DST], 4, y, type, dnnl_nhwc);
  dnnl_memory_desc_init_by_tag(&p->md[BIAS], 1, b, dnnl_f32, dnnl_a);
  dnnl_memory_desc_t w;
  dnnl_convolution_desc_t d;
  dnnl_primitive_desc_t hint = NULL, pd = NULL;
  dnnl_status_t status;
  if (p->pass != EA_CONV_FORWARD) {
    describe_weights(v, type, 0, &w);
    status = describe_pass(p, EA_CONV_FORWARD, &w, &d);
    if (!status) status = dnnl_primitive_desc_create(&hint, &d, attr, lib.engine, NULL);
    if (status) return status;
  }
  describe_weights(v, p->pass == EA_CONV_WEIGHTS ? dnnl_f32 : type, 0, &w);
  status = describe_pass(p, p->pass, &w, &d);
  if (!status) status = dnnl_primitive_desc_create(&pd, &d, attr, lib.engine, hint);
  if (hint) dnnl_primitive_desc_destroy(hint);
  if (status) return status;
  const char *name = "";
  dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
  p->fast = strncmp(name, "ref", 3) != 0;
  if (p->fast) {
    p->md[WEIGHTS] = *dnnl_primitive_desc_query_md(
        pd, p->pass == EA_CONV_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    p->md[SCRATCH] = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    p->weight_bytes = ea_round64(dnnl_memory_desc_get_size(&p->md[WEIGHTS]));
    p->scratch_bytes = ea_round64(dnnl_memory_desc_get_size(&p->md[SCRATCH]));
    status = dnnl_primitive_create(&p->conv, pd);
  }
  dnnl_primitive_desc_destroy(pd);
  return status;
}

static dnnl_status_t make_reorder(ea_dnnl_plan *p, dnnl_primitive_attr_t attr) {
  dnnl_memory_desc_t plain;
  describe_weights(&p->shape, dnnl_f32, 1, &plain);
  int back = p->pass == EA_CONV_WEIGHTS;
  const dnnl_memory_desc_t *from = back ? &p->md[WEIGHTS] : &plain;
  const dnnl_memory_desc_t *to = back ? &plain : &p->md[WEIGHTS];
  dnnl_primitive_desc_t pd;
  dnnl_status_t status =
      dnnl_reorder_primitive_desc_create(&pd, from, lib.engine, to, lib.engine, attr);
  if (status) return status;
  p->reorder_scratch = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
  p->scratch_bytes =
      EA_MAX(p->scratch_bytes, ea_round64(dnnl_memory_desc_get_size(&p->reorder_scratch)));
  status = dnnl_primitive_create(&p->reorder, pd);
  dnnl_primitive_desc_destroy(pd);
  if (!status) status = dnnl_memory_create(&p->plain, &plain, lib.engine, DNNL_MEMORY_NONE);
  if (!status)
    status = dnnl_memory_create(&p->packed, &p->md[WEIGHTS], lib.engine, DNNL_MEMORY_NONE);
  if (!status)
    status =
        dnnl_memory_create(&p->reorder_memory, &p->reorder_scratch, lib.engine, DNNL_MEMORY_NONE);
  return status;
}

static dnnl_status_t make_plan(ea_dnnl_plan *p) {
  dnnl_status_t status = dnnl_success;
  if (!lib.engine) status = dnnl_engine_create(&lib.engine, dnnl_cpu, 0);
  if (!status && !lib.stream)
    status = dnnl_stream_create(&lib.stream, lib.engine, dnnl_stream_default_flags);
  dnnl_primitive_attr_t attr = NULL;
  if (!status) status = dnnl_primitive_attr_create(&attr);
  if (status) return status;
  status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
  if (!status) status = make_conv(p, attr);
  if (!status && p->fast) status = make_reorder(p, attr);
  dnnl_primitive_attr_destroy(attr);
  if (status == dnnl_unimplemented || status == dnnl_invalid_arguments) {
    p->fast = 0; /* remembered: the portable path does it */
    return dnnl_success;
  }
  return status;
}

int ea_dnnl_find_plan(ea_call *c, const ea_conv *v, int64_t n, int pass, ea_dnnl_plan **out) {
  ea_conv key = *v;
  key.n = n;
  int bias = pass == EA_CONV_FORWARD && c->nin == 3, oldest = 0;
  for (int i = 0; i < lib.count; i++) {
    ea_dnnl_plan *p = lib.plan[i];
    if (p->pass == pass && p->bias == bias && memcmp(&p->shape, &key, sizeof key) == 0) {
      p->used = ++lib.clock;
      *out = p;
      return EA_OK;
    }
    if (p->used < lib.plan[oldest]->used) oldest = i;
  }
  EA_TRY(ea_memory_room(ROOM, "oneDNN"));
  ea_dnnl_plan *p = ea_alloc_zero(sizeof *p);
  if (!p) return EA_ERR_MEMORY;
  p->shape = key;
  p->pass = pass;
  p->bias = bias;
  dnnl_status_t status = make_plan(p);
  if (status) {
    plan_free(p);
    return ea_dnnl_fail(c, "make a convolution", status);
  }
  int at = lib.count < PLANS ? lib.count++ : oldest;
  plan_free(lib.plan[at]);
  lib.plan[at] = p;
  p->used = ++lib.clock;
  *out = p;
  return EA_OK;
}

#else

const char *ea_conv_onednn_name(void) { return NULL; }
int ea_conv_onednn_has_bf16(void) { return 0; }

#endif
