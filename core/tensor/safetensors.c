/* SPDX-License-Identifier: GPL-3.0-or-later
 * safetensors.c - https://github.com/huggingface/safetensors, read strictly.
 *
 * u64 length n of the header; the header, a JSON object {name: {dtype, shape, data_offsets}} with
 * string metadata under __metadata__; then the tensors' bytes. Offsets count from the end of the
 * header and must cover the rest of the file without holes or overlap.
 */
#include <stdlib.h>

#include "../base/text.h"
#include "formats.h"

static const uint64_t MOST_HEADER = 100000000;

static const struct dtype {
  const char *name;
  int kind;
} dtypes[] = {{"F32", EA_FOREIGN_F32},  {"F64", EA_FOREIGN_F64}, {"BF16", EA_FOREIGN_BF16},
              {"I32", EA_FOREIGN_I32},  {"U8", EA_FOREIGN_U8},   {"I8", EA_FOREIGN_I8},
              {"F16", EA_FOREIGN_F16},  {"I16", EA_FOREIGN_I16}, {"U16", EA_FOREIGN_U16},
              {"U32", EA_FOREIGN_U32},  {"I64", EA_FOREIGN_I64}, {"U64", EA_FOREIGN_U64},
              {"BOOL", EA_FOREIGN_BOOL}};

/* What the header says of a tensor. */
typedef struct record {
  const char *name;
  int kind, ndim, order; /* order: in the header */
  int64_t size[EA_MAX_DIM];
  int64_t begin, end;
} record;

/* ---- reading ---- */

static int bad(const ea_source *s, const record *r, const char *what) {
  return ea_fail(EA_ERR_FORMAT, "%s: tensor %s %s", s->name, ea_quote(r->name), what);
}

/* A JSON value as an integer 0..2^53; -1 if it is none. */
static int64_t whole(const ea_json *v) {
  double x = ea_json_number(v);
  if (ea_json_type(v) != 2 || !(x >= 0 && x <= 9007199254740992.0)) return -1;
  return (double)(int64_t)x == x ? (int64_t)x : -1;
}

static int read_dtype(const ea_source *s, const ea_json *v, record *r) {
  const char *name = ea_json_string(v, NULL);
  if (!name) return bad(s, r, "has no dtype");
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
    if (strcmp(dtypes[i].name, name) == 0) {
      r->kind = dtypes[i].kind;
      return EA_OK;
    }
  return ea_fail(EA_ERR_UNSUPPORTED,
                 "%s: tensor %s is of type %s; convert it to F32, F64, BF16, F16, I32, U8 or I8",
                 s->name, ea_quote(r->name), ea_quote(name));
}

static int read_record(const ea_source *s, const ea_json *v, int64_t room, record *r) {
  if (ea_json_type(v) != 5) return bad(s, r, "is not described by a JSON object");
  const ea_json *dtype = NULL, *shape = NULL, *offsets = NULL;
  for (int64_t i = 0; i < ea_json_count(v); i++) {
    const char *key = ea_json_key(v, i);
    if (strcmp(key, "dtype") == 0) dtype = ea_json_item(v, i);
    else if (strcmp(key, "shape") == 0) shape = ea_json_item(v, i);
    else if (strcmp(key, "data_offsets") == 0) offsets = ea_json_item(v, i);
    else return bad(s, r, "has a key besides dtype, shape and data_offsets");
  }
  EA_TRY(read_dtype(s, dtype, r));
  if (ea_json_type(shape) != 4) return bad(s, r, "has no shape");
  if (ea_json_count(shape) > EA_MAX_DIM) return bad(s, r, "has more than 8 dimensions");
  r->ndim = (int)ea_json_count(shape);
  for (int d = 0; d < r->ndim; d++)
    if ((r->size[d] = whole(ea_json_item(shape, d))) < 0)
      return bad(s, r, "has an impossible shape");
  if (ea_json_type(offsets) != 4 || ea_json_count(offsets) != 2)
    return bad(s, r, "needs two data_offsets");
  r->begin = whole(ea_json_item(offsets, 0));
  r->end = whole(ea_json_item(offsets, 1));
  if (r->begin < 0 || r->end < r->begin || r->end > room)
    return bad(s, r, "lies outside of the file, which may be cut off");
  int64_t bytes = ea_foreign_bytes(r->ndim, r->size, ea_foreign_size(r->kind));
  if (bytes < 0) return bad(s, r, "has an impossible shape");
  if (bytes != r->end - r->begin) return bad(s, r, "has data_offsets that do not fit its shape");
  return EA_OK;
}

static int by_offset(const void *a, const void *b) {
  const record *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  if (x->end != y->end) return x->end < y->end ? -1 : 1;
  return x->order - y->order;
}

static int by_order(const void *a, const void *b) {
  return ((const record *)a)->order - ((const record *)b)->order;
}

/* records must be sorted by offset. */
static int check_cover(const ea_source *s, const record *r, int n, int64_t room) {
  int64_t at = 0;
  for (int i = 0; i < n; i++) {
    if (r[i].begin < at) return bad(s, &r[i], "overlaps another one");
    if (r[i].begin > at) return bad(s, &r[i], "lies behind bytes that belong to no tensor");
    at = r[i].end;
  }
  if (at != room)
    return ea_fail(EA_ERR_FORMAT, "%s: %lld bytes at the end belong to no tensor", s->name,
                   (long long)(room - at));
  return EA_OK;
}

static int read_meta(const ea_source *s, const ea_json *v, ea_archive *a) {
  if (ea_json_type(v) != 5)
    return ea_fail(EA_ERR_FORMAT, "%s: __metadata__ is not a JSON object of strings", s->name);
  for (int64_t i = 0; i < ea_json_count(v); i++) {
    size_t bytes;
    const char *text = ea_json_string(ea_json_item(v, i), &bytes);
    if (!text || strlen(text) != bytes)
      return ea_fail(EA_ERR_FORMAT, "%s: the metadata %s is not a text", s->name,
                     ea_quote(ea_json_key(v, i)));
    EA_TRY(ea_archive_set_meta(a, ea_json_key(v, i), text));
  }
  return EA_OK;
}

/* All tensors' bytes in file order (the source only goes forward), then into the archive in the
 * header's order. */
static int read_tensors(ea_source *s, record *r, int n, ea_archive *a) {
  ea_tensor **t = ea_alloc_zero(EA_MAX((size_t)n, (size_t)1) * sizeof *t);
  if (!t) return EA_ERR_MEMORY;
  int status = EA_OK;
  for (int i = 0; i < n && status == EA_OK; i++) {
    ea_tensor **mine = &t[r[i].order];
    status = ea_tensor_new(ea_foreign_dtype(r[i].kind), r[i].ndim, r[i].size, mine);
    if (status == EA_OK) status = ea_foreign_read(s, r[i].kind, 0, ea_quote(r[i].name), *mine);
  }
  if (status == EA_OK) qsort(r, (size_t)n, sizeof *r, by_order);
  for (int i = 0; i < n && status == EA_OK; i++) status = ea_archive_add(a, r[i].name, t[i]);
  for (int i = 0; i < n; i++) ea_tensor_release(t[i]);
  ea_free(t);
  return status;
}

static int read_archive(ea_source *s, const ea_json *header, record *r, ea_archive *a) {
  int64_t room = s->bytes - s->at;
  int n = 0;
  for (int64_t i = 0; i < ea_json_count(header); i++) {
    const char *name = ea_json_key(header, i);
    if (strcmp(name, "__metadata__") == 0) {
      EA_TRY(read_meta(s, ea_json_item(header, i), a));
      continue;
    }
    r[n].name = name;
    r[n].order = n;
    EA_TRY(read_record(s, ea_json_item(header, i), room, &r[n]));
    n++;
  }
  qsort(r, (size_t)n, sizeof *r, by_offset);
  EA_TRY(check_cover(s, r, n, room));
  return read_tensors(s, r, n, a);
}

/* The JSON object at the file's beginning. */
static int read_header(ea_source *s, ea_json **out) {
  uint64_t n;
  char *text = NULL;
  if (s->bytes < 10)
    return ea_fail(EA_ERR_FORMAT, "%s is not a safetensors file: only %lld bytes", s->name,
                   (long long)s->bytes);
  EA_TRY(ea_source_read(s, &n, 8));
  if (n > MOST_HEADER || n < 2)
    return ea_fail(EA_ERR_FORMAT, "%s is not a safetensors file: its header would be %llu bytes",
                   s->name, (unsigned long long)n);
  if (n > (uint64_t)(s->bytes - 8))
    return ea_fail(EA_ERR_FORMAT, "%s ends within its header: the file is cut off", s->name);
  if (!(text = ea_alloc(n))) return EA_ERR_MEMORY;
  int status = ea_source_read(s, text, n);
  if (status == EA_OK && text[0] != '{')
    status = ea_fail(EA_ERR_FORMAT, "%s is not a safetensors file: its header is no JSON object",
                     s->name);
  if (status == EA_OK) {
    status = ea_json_parse(text, n, out);
    if (status != EA_OK) ea_fail_within(status, "%s: safetensors header", s->name);
  }
  ea_free(text);
  return status;
}

int ea_safetensors_parse(ea_source *s, ea_archive **out) {
  ea_json *header = NULL;
  ea_archive *a = NULL;
  record *r = NULL;
  int status = read_header(s, &header);
  if (status == EA_OK) status = ea_archive_new(&a);
  if (status == EA_OK) {
    r = ea_alloc_zero(((size_t)ea_json_count(header) + 1) * sizeof *r);
    status = r ? read_archive(s, header, r, a) : EA_ERR_MEMORY;
  }
  ea_free(r);
  ea_json_free(header);
  if (status == EA_OK) *out = a;
  else ea_archive_free(a);
  return status;
}

int ea_safetensors_load(const char *path, ea_archive **out) {
  ea_source s;
  EA_TRY(ea_source_open(path, &s));
  int status = ea_safetensors_parse(&s, out);
  ea_source_close(&s);
  return status;
}

/* ---- writing ---- */

/* Bytes in the file are ordered by falling element size, as the reference writer does, so that each
 * tensor is aligned. width: 8, 4, 2, 1. */
static int64_t offset_before(const ea_archive *a, int width) {
  int64_t bytes = 0;
  for (int i = 0; i < ea_archive_count(a); i++) {
    const ea_tensor *t = ea_archive_tensor(a, i);
    if (ea_dtype_size(ea_tensor_dtype(t)) > width) bytes += ea_tensor_bytes(t);
  }
  return bytes;
}

static void add_record(ea_text *text, const char *name, const ea_tensor *t, int64_t begin) {
  ea_text_json(text, name);
  ea_text_format(text, ":{\"dtype\":\"%s\",\"shape\":[", dtypes[ea_tensor_dtype(t)].name);
  for (int d = 0; d < ea_tensor_ndim(t); d++)
    ea_text_format(text, "%s%lld", d ? "," : "", (long long)ea_tensor_size(t, d));
  ea_text_format(text, "],\"data_offsets\":[%lld,%lld]}", (long long)begin,
                 (long long)(begin + ea_tensor_bytes(t)));
}

static void make_header(ea_text *text, const ea_archive *a) {
  ea_text_add(text, "{", 1);
  int first = 1;
  if (ea_archive_meta_count(a) > 0) {
    ea_text_format(text, "\"__metadata__\":{");
    for (int i = 0; i < ea_archive_meta_count(a); i++) {
      if (i) ea_text_add(text, ",", 1);
      ea_text_json(text, ea_archive_meta_key(a, i));
      ea_text_add(text, ":", 1);
      ea_text_json(text, ea_archive_meta_value(a, i));
    }
    ea_text_add(text, "}", 1);
    first = 0;
  }
  int64_t next[9];
  for (int width = 1; width <= 8; width *= 2) next[width] = offset_before(a, width);
  for (int i = 0; i < ea_archive_count(a); i++, first = 0) {
    const ea_tensor *t = ea_archive_tensor(a, i);
    int64_t *begin = &next[ea_dtype_size(ea_tensor_dtype(t))];
    if (!first) ea_text_add(text, ",", 1);
    add_record(text, ea_archive_name(a, i), t, *begin);
    *begin += ea_tensor_bytes(t);
  }
  ea_text_add(text, "}", 1);
  while (text->status == EA_OK && text->bytes % 8) ea_text_add(text, " ", 1);
}

static int put_tensor(ea_writer *w, const ea_tensor *t) {
  ea_tensor *packed;
  EA_TRY(ea_tensor_packed(t, ea_tensor_dtype(t), &packed));
  int64_t bytes = ea_tensor_bytes(packed);
  int status = bytes ? ea_writer_put(w, ea_ptr(packed), (size_t)bytes) : EA_OK;
  ea_tensor_release(packed);
  return status;
}

static int put_archive(ea_writer *w, const ea_text *header, const ea_archive *a) {
  uint64_t n = header->bytes;
  EA_TRY(ea_writer_put(w, &n, 8));
  EA_TRY(ea_writer_put(w, header->data, header->bytes));
  for (int width = 8; width >= 1; width /= 2)
    for (int i = 0; i < ea_archive_count(a); i++) {
      const ea_tensor *t = ea_archive_tensor(a, i);
      if (ea_dtype_size(ea_tensor_dtype(t)) == width) EA_TRY(put_tensor(w, t));
    }
  return EA_OK;
}

int ea_safetensors_save(const char *path, const ea_archive *a) {
  if (!a) return ea_fail(EA_ERR_ARG, "an archive to save was expected, got NULL");
  ea_text header = {0};
  ea_writer w;
  make_header(&header, a);
  int status = header.status;
  if (status == EA_OK && header.bytes > MOST_HEADER)
    status = ea_fail(EA_ERR_ARG,
                     "%s: names and metadata of %zu bytes are more than safetensors' "
                     "100 MB",
                     path, header.bytes);
  if (status == EA_OK) status = ea_writer_open(&w, path);
  if (status == EA_OK) {
    status = put_archive(&w, &header, a);
    if (status == EA_OK) status = ea_writer_commit(&w);
    else ea_writer_abort(&w);
  }
  ea_text_free(&header);
  return status;
}
