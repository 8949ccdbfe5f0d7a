/* SPDX-License-Identifier: GPL-3.0-or-later
 * tensor.c - storage, tensors and views.
 */
#include "tensor.h"

#include <stdio.h>

void (*ea_tensor_release_node)(struct ea_node *node);

static const char *const dtype_names[] = {"f32", "f64", "bf16", "i32", "u8", "i8"};
static const int dtype_sizes[] = {4, 8, 2, 4, 1, 1};
enum { DTYPES = 6 };

const char *ea_dtype_name(int dtype) {
  return dtype >= 0 && dtype < DTYPES ? dtype_names[dtype] : NULL;
}
int ea_dtype_size(int dtype) { return dtype >= 0 && dtype < DTYPES ? dtype_sizes[dtype] : 0; }

/* ---- text ---- */

static char *text_buffer(void) {
  static _Thread_local char buffers[4][192];
  static _Thread_local int turn;
  return buffers[turn++ & 3];
}

const char *ea_sizes_text(int ndim, const int64_t *size) {
  char *s = text_buffer();
  int n = snprintf(s, 192, "{");
  for (int i = 0; i < ndim && n < 160; i++)
    n += snprintf(s + n, 192 - (size_t)n, "%s%lld", i ? ", " : "", (long long)size[i]);
  snprintf(s + n, 192 - (size_t)n, "}");
  return s;
}

const char *ea_shape_text(const ea_tensor *t) {
  char *s = text_buffer();
  snprintf(s, 192, "%.170s %s", ea_sizes_text(t->ndim, t->size), dtype_names[t->dtype]);
  return s;
}

/* ---- making ---- */

int ea_check_sizes(int ndim, const int64_t *size) {
  if (ndim < 0 || ndim > EA_MAX_DIM)
    return ea_fail(EA_ERR_SHAPE, "a tensor has 0 to %d dimensions, not %d", EA_MAX_DIM, ndim);
  int64_t n = 1;
  for (int i = 0; i < ndim; i++) {
    if (size[i] < 0)
      return ea_fail(EA_ERR_SHAPE, "a size cannot be negative: %s", ea_sizes_text(ndim, size));
    if (size[i] && n > ((int64_t)1 << 44) / size[i])
      return ea_fail(EA_ERR_SHAPE, "a tensor of %s is too large", ea_sizes_text(ndim, size));
    if (size[i]) n *= size[i]; /* of an empty tensor, too, the strides must not overflow */
  }
  return EA_OK;
}

int ea_storage_new(int64_t bytes, ea_storage **out) {
  ea_storage *s = ea_alloc(sizeof *s);
  if (!s) return EA_ERR_MEMORY;
  s->data = ea_alloc((size_t)bytes);
  if (!s->data) {
    ea_free(s);
    return EA_ERR_MEMORY;
  }
  s->refs = 1;
  s->version = 0;
  s->bytes = bytes;
  *out = s;
  return EA_OK;
}

void ea_storage_retain(ea_storage *s) { s->refs++; }

void ea_storage_release(ea_storage *s) {
  if (!s || --s->refs) return;
  ea_free(s->data);
  ea_free(s);
}

static void set_sizes(ea_tensor *t, int ndim, const int64_t *size) {
  t->ndim = ndim;
  int64_t stride = 1;
  for (int i = ndim - 1; i >= 0; i--) {
    t->size[i] = size[i];
    t->stride[i] = stride;
    stride *= size[i] ? size[i] : 1;
  }
}

int ea_tensor_new_symbolic(int dtype, int ndim, const int64_t *size, ea_tensor **out) {
  if (!ea_dtype_name(dtype))
    return ea_fail(EA_ERR_DTYPE, "there is no element type number %d", dtype);
  EA_TRY(ea_check_sizes(ndim, size));
  ea_tensor *t = ea_alloc_zero(sizeof *t);
  if (!t) return EA_ERR_MEMORY;
  t->refs = 1;
  t->dtype = dtype;
  set_sizes(t, ndim, size);
  *out = t;
  return EA_OK;
}

int ea_tensor_on(ea_storage *s, int64_t offset, int dtype, int ndim, const int64_t *size,
                 ea_tensor **out) {
  EA_TRY(ea_tensor_new_symbolic(dtype, ndim, size, out));
  ea_storage_retain(s);
  (*out)->storage = s;
  (*out)->offset = offset;
  return EA_OK;
}

int ea_tensor_new(int dtype, int ndim, const int64_t *size, ea_tensor **out) {
  ea_tensor *t;
  EA_TRY(ea_tensor_new_symbolic(dtype, ndim, size, &t));
  int status = ea_storage_new(ea_tensor_bytes(t), &t->storage);
  if (status) {
    ea_free(t);
    return status;
  }
  *out = t;
  return EA_OK;
}

ea_tensor *ea_tensor_retain(ea_tensor *t) {
  if (t) t->refs++;
  return t;
}

void ea_tensor_release(ea_tensor *t) {
  if (!t || --t->refs) return;
  ea_storage_release(t->storage);
  ea_tensor *grad = t->grad;
  struct ea_node *node = t->node;
  ea_free(t);
  ea_tensor_release(grad);
  if (node) ea_tensor_release_node(node);
}

/* ---- asking ---- */

int ea_tensor_dtype(const ea_tensor *t) { return t->dtype; }
int ea_tensor_ndim(const ea_tensor *t) { return t->ndim; }
int64_t ea_tensor_size(const ea_tensor *t, int dim) {
  return dim >= 0 && dim < t->ndim ? t->size[dim] : -1;
}
int64_t ea_tensor_stride(const ea_tensor *t, int dim) {
  return dim >= 0 && dim < t->ndim ? t->stride[dim] : 0;
}
int64_t ea_tensor_count(const ea_tensor *t) {
  int64_t n = 1;
  for (int i = 0; i < t->ndim; i++) n *= t->size[i];
  return n;
}
int64_t ea_tensor_bytes(const ea_tensor *t) { return ea_tensor_count(t) * dtype_sizes[t->dtype]; }
int ea_tensor_symbolic(const ea_tensor *t) { return t->storage == NULL; }
void *ea_tensor_data(const ea_tensor *t) { return t->storage ? ea_ptr(t) : NULL; }

int ea_tensor_contiguous(const ea_tensor *t) {
  int64_t stride = 1;
  for (int i = t->ndim - 1; i >= 0; i--) {
    if (t->size[i] == 0) return 1;
    if (t->size[i] != 1 && t->stride[i] != stride) return 0;
    stride *= t->size[i];
  }
  return 1;
}

int ea_tensor_same_shape(const ea_tensor *a, const ea_tensor *b) {
  if (a->ndim != b->ndim) return 0;
  for (int i = 0; i < a->ndim; i++)
    if (a->size[i] != b->size[i]) return 0;
  return 1;
}

static int need_data(const ea_tensor *t, const char *what) {
  if (!t) return ea_fail(EA_ERR_ARG, "%s: the tensor is missing", what);
  if (t->storage) return EA_OK;
  return ea_fail(EA_ERR_ARG, "%s: this tensor has no values yet: it is being captured into a graph",
                 what);
}

static int element(const ea_tensor *t, const int64_t *index, int64_t *at) {
  EA_TRY(need_data(t, "element"));
  int64_t o = 0;
  for (int i = 0; i < t->ndim; i++) {
    if (index[i] < 0 || index[i] >= t->size[i])
      return ea_fail(EA_ERR_ARG, "index %lld is outside dimension %d of a %s tensor",
                     (long long)index[i] + 1, i + 1, ea_shape_text(t));
    o += index[i] * t->stride[i];
  }
  *at = o;
  return EA_OK;
}

int ea_tensor_get(const ea_tensor *t, const int64_t *index, double *out) {
  int64_t o = 0;
  EA_TRY(element(t, index, &o));
  switch (t->dtype) {
    case EA_F32: *out = ea_f32(t)[o]; break;
    case EA_F64: *out = ea_f64(t)[o]; break;
    case EA_BF16: *out = ea_bf16_to_f32(ea_bf16(t)[o]); break;
    case EA_I32: *out = ea_i32(t)[o]; break;
    case EA_U8: *out = ea_u8(t)[o]; break;
    default: *out = ((int8_t *)ea_ptr(t))[o]; break;
  }
  return EA_OK;
}

int ea_tensor_set(ea_tensor *t, const int64_t *index, double value) {
  int64_t o = 0;
  EA_TRY(element(t, index, &o));
  ea_tensor one = *t;
  one.ndim = 0;
  one.offset = t->offset + o;
  return ea_tensor_fill(&one, value);
}

/* ---- views ---- */

static int view_of(ea_tensor *t, ea_tensor **out) {
  ea_tensor *v = ea_alloc_zero(sizeof *v);
  if (!v) return EA_ERR_MEMORY;
  v->refs = 1;
  v->dtype = t->dtype;
  v->ndim = t->ndim;
  memcpy(v->size, t->size, sizeof v->size);
  memcpy(v->stride, t->stride, sizeof v->stride);
  v->offset = t->offset;
  v->storage = t->storage;
  ea_storage_retain(v->storage);
  *out = v;
  return EA_OK;
}

static int check_dim(const ea_tensor *t, int dim, const char *what) {
  EA_TRY(need_data(t, what));
  if (dim >= 0 && dim < t->ndim) return EA_OK;
  return ea_fail(EA_ERR_SHAPE, "%s: there is no dimension %d in a %s tensor", what, dim + 1,
                 ea_shape_text(t));
}

int ea_tensor_narrow(ea_tensor *t, int dim, int64_t start, int64_t length, int64_t step,
                     ea_tensor **out) {
  EA_TRY(check_dim(t, dim, "narrow"));
  int64_t n = t->size[dim];
  if (step < 1) return ea_fail(EA_ERR_ARG, "narrow: the step must be at least 1");
  if (start < 0 || length < 0 || start > n || (length && length > (n - start - 1) / step + 1) ||
      (length && start >= n))
    return ea_fail(EA_ERR_ARG,
                   "narrow: %lld elements from %lld do not fit dimension %d of a %s tensor",
                   (long long)length, (long long)start + 1, dim + 1, ea_shape_text(t));
  EA_TRY(view_of(t, out));
  (*out)->offset += start * t->stride[dim];
  (*out)->size[dim] = length;
  if (length > 1) (*out)->stride[dim] *= step; /* or else a huge step might overflow it */
  return EA_OK;
}

int ea_tensor_select(ea_tensor *t, int dim, int64_t index, ea_tensor **out) {
  EA_TRY(check_dim(t, dim, "select"));
  if (index < 0 || index >= t->size[dim])
    return ea_fail(EA_ERR_ARG, "select: index %lld is outside dimension %d of a %s tensor",
                   (long long)index + 1, dim + 1, ea_shape_text(t));
  EA_TRY(view_of(t, out));
  ea_tensor *v = *out;
  v->offset += index * t->stride[dim];
  v->ndim--;
  for (int i = dim; i < v->ndim; i++) {
    v->size[i] = v->size[i + 1];
    v->stride[i] = v->stride[i + 1];
  }
  return EA_OK;
}

int ea_tensor_reshape(ea_tensor *t, int ndim, const int64_t *size, ea_tensor **out) {
  EA_TRY(need_data(t, "reshape"));
  EA_TRY(ea_check_sizes(ndim, size));
  int64_t n = 1;
  for (int i = 0; i < ndim; i++) n *= size[i];
  if (n != ea_tensor_count(t))
    return ea_fail(EA_ERR_SHAPE, "reshape: a %s tensor has %lld elements, %s has %lld",
                   ea_shape_text(t), (long long)ea_tensor_count(t), ea_sizes_text(ndim, size),
                   (long long)n);
  if (!ea_tensor_contiguous(t))
    return ea_fail(EA_ERR_SHAPE, "reshape: the tensor is not contiguous; make it so with :clone()");
  EA_TRY(view_of(t, out));
  set_sizes(*out, ndim, size);
  return EA_OK;
}

int ea_tensor_permute(ea_tensor *t, const int *dims, ea_tensor **out) {
  EA_TRY(need_data(t, "permute"));
  unsigned seen = 0;
  for (int i = 0; i < t->ndim; i++) {
    if (dims[i] < 0 || dims[i] >= t->ndim || (seen >> dims[i] & 1))
      return ea_fail(EA_ERR_ARG, "permute: expected each of the %d dimensions once", t->ndim);
    seen |= 1u << dims[i];
  }
  EA_TRY(view_of(t, out));
  for (int i = 0; i < t->ndim; i++) {
    (*out)->size[i] = t->size[dims[i]];
    (*out)->stride[i] = t->stride[dims[i]];
  }
  return EA_OK;
}

int ea_tensor_expand(ea_tensor *t, int ndim, const int64_t *size, ea_tensor **out) {
  EA_TRY(need_data(t, "expand"));
  EA_TRY(ea_check_sizes(ndim, size));
  int lead = ndim - t->ndim, fits = lead >= 0;
  for (int i = 0; fits && i < t->ndim; i++) fits = t->size[i] == size[lead + i] || t->size[i] == 1;
  if (!fits)
    return ea_fail(EA_ERR_SHAPE, "expand: a %s tensor cannot be expanded to %s", ea_shape_text(t),
                   ea_sizes_text(ndim, size));
  EA_TRY(view_of(t, out));
  ea_tensor *v = *out;
  v->ndim = ndim;
  for (int i = 0; i < ndim; i++) {
    v->size[i] = size[i];
    v->stride[i] = i < lead || t->size[i - lead] == 1 ? 0 : t->stride[i - lead];
  }
  return EA_OK;
}

int ea_tensor_detach(ea_tensor *t, ea_tensor **out) {
  EA_TRY(need_data(t, "detach"));
  return view_of(t, out);
}

int ea_tensor_rebase(ea_tensor *t, ea_tensor *of, int64_t offset) {
  EA_TRY(need_data(t, "rebase"));
  EA_TRY(need_data(of, "rebase"));
  int64_t n = ea_tensor_count(t);
  if (t->dtype != of->dtype || !ea_tensor_contiguous(t) || !ea_tensor_contiguous(of) ||
      offset < 0 || n > ea_tensor_count(of) || offset > ea_tensor_count(of) - n)
    return ea_fail(EA_ERR_SHAPE,
                   "rebase: a contiguous %s tensor does not fit at element %lld of %s",
                   ea_shape_text(t), (long long)offset, ea_shape_text(of));
  memmove((char *)ea_ptr(of) + offset * dtype_sizes[t->dtype], ea_ptr(t),
          (size_t)ea_tensor_bytes(t)); /* it may be there already */
  ea_storage_retain(of->storage);
  ea_storage_release(t->storage);
  t->storage = of->storage;
  t->offset = of->offset + offset;
  return EA_OK;
}
