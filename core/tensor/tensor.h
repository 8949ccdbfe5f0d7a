/* SPDX-License-Identifier: GPL-3.0-or-later
 * tensor.h - the tensor's insides, for the core alone.
 */
#ifndef EA_TENSOR_H
#define EA_TENSOR_H

#include <string.h>

#include "../base/base.h"

typedef struct ea_storage {
  int32_t refs;
  uint32_t version; /* counts changes in place, which a tape that kept the values must notice */
  int64_t bytes;
  void *data;
} ea_storage;

struct ea_node; /* graph/node.h */
/* Set by the graph, which stands above the tensors: gives a node's reference back. */
extern void (*ea_tensor_release_node)(struct ea_node *node);

struct ea_tensor {
  int32_t refs;
  int32_t dtype;
  int32_t ndim;
  int32_t requires_grad;
  int64_t size[EA_MAX_DIM];
  int64_t stride[EA_MAX_DIM]; /* in elements */
  int64_t offset;             /* in elements */
  ea_storage *storage;        /* NULL: symbolic */
  ea_tensor *grad;            /* one reference, or NULL */
  struct ea_node *node;       /* the op that made it (one reference), or NULL: a leaf */
  int32_t output;             /* which output of node it is */
};

/* A tensor without storage (symbolic). */
int ea_tensor_new_symbolic(int dtype, int ndim, const int64_t *size, ea_tensor **out);
int ea_storage_new(int64_t bytes, ea_storage **out);
void ea_storage_retain(ea_storage *s);
void ea_storage_release(ea_storage *s);
/* A tensor over [offset..] of a storage, retained. */
int ea_tensor_on(ea_storage *s, int64_t offset, int dtype, int ndim, const int64_t *size,
                 ea_tensor **out);
int ea_tensor_same_shape(const ea_tensor *a, const ea_tensor *b);
/* "{2, 3} f32"; four static buffers per thread in turn. */
const char *ea_shape_text(const ea_tensor *t);
const char *ea_sizes_text(int ndim, const int64_t *size);
/* EA_OK if the sizes are legal: >= 0, product within 2^47. */
int ea_check_sizes(int ndim, const int64_t *size);

/* Whoever writes into a tensor that tapes may know says so. */
static inline void ea_changed(const ea_tensor *t) { t->storage->version++; }

static inline void *ea_ptr(const ea_tensor *t) {
  return (char *)t->storage->data + t->offset * ea_dtype_size(t->dtype);
}
static inline float *ea_f32(const ea_tensor *t) { return (float *)t->storage->data + t->offset; }
static inline double *ea_f64(const ea_tensor *t) { return (double *)t->storage->data + t->offset; }
static inline uint16_t *ea_bf16(const ea_tensor *t) {
  return (uint16_t *)t->storage->data + t->offset;
}
static inline int32_t *ea_i32(const ea_tensor *t) {
  return (int32_t *)t->storage->data + t->offset;
}
static inline uint8_t *ea_u8(const ea_tensor *t) { return (uint8_t *)t->storage->data + t->offset; }

static inline float ea_bf16_to_f32(uint16_t h) {
  uint32_t u = (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}
static inline uint16_t ea_f32_to_bf16(float f) { /* round half to even; NaN stays NaN */
  uint32_t u;
  memcpy(&u, &f, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40u);
  return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

#endif
