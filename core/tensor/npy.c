/* SPDX-License-Identifier: GPL-3.0-or-later
 * npy.c - NumPy's .npy arrays (described in NumPy's manual under numpy.lib.format).
 *
 * "\x93NUMPY", version, header length, a Python dictionary {'descr', 'fortran_order', 'shape'},
 * then the elements. Little and big endian, C and Fortran order; never pickled objects.
 */
#include <stdio.h>

#include "formats.h"

enum { MOST_HEADER = 1 << 16 };

typedef struct header {
  int kind, swap, fortran, ndim;
  int64_t size[EA_MAX_DIM];
} header;

/* ---- the dictionary: a small strict parser of just what NumPy writes ---- */

typedef struct cursor {
  const char *p, *end;
} cursor;

static void skip_blanks(cursor *c) {
  while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r')) c->p++;
}

static int take(cursor *c, char wanted) {
  skip_blanks(c);
  if (c->p >= c->end || *c->p != wanted) return 0;
  c->p++;
  return 1;
}

static int take_word(cursor *c, const char *word) {
  size_t n = strlen(word);
  skip_blanks(c);
  if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n) != 0) return 0;
  c->p += n;
  return 1;
}

/* A quoted string of less than 32 plain characters. */
static int take_string(cursor *c, char out[32]) {
  skip_blanks(c);
  if (c->p >= c->end || (*c->p != '\'' && *c->p != '"')) return 0;
  char quote = *c->p++;
  for (int n = 0; n < 32 && c->p < c->end; c->p++) {
    if (*c->p == quote) {
      out[n] = 0;
      c->p++;
      return 1;
    }
    if (*c->p == '\\' || *c->p == 0) return 0;
    out[n++] = *c->p;
  }
  return 0;
}

static int take_size(cursor *c, int64_t *out) {
  skip_blanks(c);
  const char *start = c->p;
  int64_t n = 0;
  for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++)
    if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *c->p - '0', &n)) return 0;
  if (c->p == start) return 0;
  if (c->p < c->end && *c->p == 'L') c->p++; /* Python 2 */
  *out = n;
  return 1;
}

/* (), (3,), (2, 3) */
static int take_shape(cursor *c, header *h) {
  if (!take(c, '(')) return 0;
  while (!take(c, ')')) {
    if (h->ndim == EA_MAX_DIM || !take_size(c, &h->size[h->ndim])) return 0;
    h->ndim++;
    if (take(c, ',')) continue;
    return take(c, ')');
  }
  return 1;
}

static int read_descr(const ea_source *s, const char *descr, header *h) {
  static const struct {
    const char *code;
    int kind;
  } kinds[] = {{"f4", EA_FOREIGN_F32}, {"f8", EA_FOREIGN_F64}, {"f2", EA_FOREIGN_F16},
               {"i1", EA_FOREIGN_I8},  {"u1", EA_FOREIGN_U8},  {"i2", EA_FOREIGN_I16},
               {"u2", EA_FOREIGN_U16}, {"i4", EA_FOREIGN_I32}, {"u4", EA_FOREIGN_U32},
               {"i8", EA_FOREIGN_I64}, {"u8", EA_FOREIGN_U64}, {"b1", EA_FOREIGN_BOOL}};
  char order = descr[0];
  if (order == '<' || order == '>' || order == '|' || order == '=')
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
      if (strcmp(kinds[i].code, descr + 1) == 0) {
        h->kind = kinds[i].kind;
        h->swap = order == '>';
        return EA_OK;
      }
  if (strchr(descr, 'O'))
    return ea_fail(EA_ERR_UNSUPPORTED,
                   "%s holds pickled Python objects, which could run anything and are never read; "
                   "save plain numbers",
                   s->name);
  return ea_fail(EA_ERR_UNSUPPORTED,
                 "%s holds elements of type %s; save float32, float64, float16, integers or bool",
                 s->name, ea_quote(descr));
}

static int bad_header(const ea_source *s) {
  return ea_fail(EA_ERR_FORMAT,
                 "%s: its header is not what NumPy writes for up to 8 dimensions of plain numbers",
                 s->name);
}

static int read_dictionary(const ea_source *s, cursor c, header *h) {
  char key[32], descr[32];
  int seen = 0, bit;
  if (!take(&c, '{')) return bad_header(s);
  while (!take(&c, '}')) {
    if (!take_string(&c, key) || !take(&c, ':')) return bad_header(s);
    if (strcmp(key, "descr") == 0) {
      bit = 1;
      if (!take_string(&c, descr)) return bad_header(s);
    } else if (strcmp(key, "fortran_order") == 0) {
      bit = 2;
      h->fortran = take_word(&c, "True");
      if (!h->fortran && !take_word(&c, "False")) return bad_header(s);
    } else {
      bit = 4;
      if (strcmp(key, "shape") != 0 || seen & 4 || !take_shape(&c, h)) return bad_header(s);
    }
    if (seen & bit) return bad_header(s);
    seen |= bit;
    if (!take(&c, ',')) {
      if (!take(&c, '}')) return bad_header(s);
      break;
    }
  }
  skip_blanks(&c);
  if (c.p != c.end || seen != 7) return bad_header(s);
  return read_descr(s, descr, h);
}

static int read_header(ea_source *s, header *h) {
  unsigned char magic[8], length[4] = {0};
  EA_TRY(ea_source_read(s, magic, 8));
  if (memcmp(magic, "\x93NUMPY", 6) != 0)
    return ea_fail(EA_ERR_FORMAT, "%s is not a .npy file: it does not begin with \\x93NUMPY",
                   s->name);
  if (magic[6] < 1 || magic[6] > 3)
    return ea_fail(EA_ERR_UNSUPPORTED, "%s is of .npy version %d; 1 to 3 are read", s->name,
                   magic[6]);
  EA_TRY(ea_source_read(s, length, magic[6] == 1 ? 2 : 4));
  uint32_t n = length[0] | length[1] << 8 | length[2] << 16 | (uint32_t)length[3] << 24;
  if (n > MOST_HEADER) return bad_header(s);
  char *text = ea_alloc(n + 1);
  if (!text) return EA_ERR_MEMORY;
  int status = ea_source_read(s, text, n);
  if (status == EA_OK) status = read_dictionary(s, (cursor){text, text + n}, h);
  ea_free(text);
  return status;
}

/* ---- elements ---- */

/* A Fortran array is the C array of the reversed shape, transposed. */
static int transpose_back(ea_tensor *t, ea_tensor **out) {
  int dims[EA_MAX_DIM], ndim = ea_tensor_ndim(t);
  for (int d = 0; d < ndim; d++) dims[d] = ndim - 1 - d;
  ea_tensor *view;
  EA_TRY(ea_tensor_permute(t, dims, &view));
  int status = ea_tensor_clone(view, ea_tensor_dtype(t), out);
  ea_tensor_release(view);
  return status;
}

int ea_npy_parse(ea_source *s, ea_tensor **out) {
  header h = {0};
  EA_TRY(read_header(s, &h));
  int64_t bytes = ea_foreign_bytes(h.ndim, h.size, ea_foreign_size(h.kind));
  if (bytes < 0) return ea_fail(EA_ERR_FORMAT, "%s declares an impossible shape", s->name);
  if (bytes != s->bytes - s->at)
    return ea_fail(EA_ERR_FORMAT,
                   "%s declares %lld bytes of elements, %lld are there: it is damaged", s->name,
                   (long long)bytes, (long long)(s->bytes - s->at));
  if (h.fortran)
    for (int a = 0, b = h.ndim - 1; a < b; a++, b--) {
      int64_t n = h.size[a];
      h.size[a] = h.size[b];
      h.size[b] = n;
    }
  ea_tensor *t;
  EA_TRY(ea_tensor_new(ea_foreign_dtype(h.kind), h.ndim, h.size, &t));
  int status = ea_foreign_read(s, h.kind, h.swap, "an element", t);
  if (status == EA_OK && h.fortran && h.ndim > 1) {
    ea_tensor *straight;
    status = transpose_back(t, &straight);
    if (status == EA_OK) {
      ea_tensor_release(t);
      t = straight;
    }
  }
  if (status == EA_OK) *out = t;
  else ea_tensor_release(t);
  return status;
}

int ea_npy_load(const char *path, ea_tensor **out) {
  ea_source s;
  EA_TRY(ea_source_open(path, &s));
  int status = ea_npy_parse(&s, out);
  ea_source_close(&s);
  return status;
}

/* ---- writing ---- */

int ea_npy_header(const ea_tensor *t, char **out, size_t *bytes) {
  static const char *const descr[] = {"<f4", "<f8", "<f4", "<i4", "|u1", "|i1"};
  char text[256];
  int n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                   descr[ea_tensor_dtype(t)]);
  for (int d = 0; d < ea_tensor_ndim(t); d++)
    n += snprintf(text + n, sizeof text - (size_t)n, "%s%lld%s", d ? " " : "",
                  (long long)ea_tensor_size(t, d), d + 1 < ea_tensor_ndim(t) || d == 0 ? "," : "");
  n += snprintf(text + n, sizeof text - (size_t)n, "), }");
  size_t total = ((size_t)n + 1 + 10 + 63) / 64 * 64; /* the elements begin at a multiple of 64 */
  char *all = ea_alloc(total);
  if (!all) return EA_ERR_MEMORY;
  memset(all, ' ', total);
  memcpy(all, "\x93NUMPY\x01\x00", 8);
  all[8] = (char)((total - 10) & 255);
  all[9] = (char)((total - 10) >> 8);
  memcpy(all + 10, text, (size_t)n);
  all[total - 1] = '\n';
  *out = all;
  *bytes = total;
  return EA_OK;
}

static int put_array(ea_writer *w, const ea_tensor *t) {
  char *text;
  size_t n;
  EA_TRY(ea_npy_header(t, &text, &n));
  int status = ea_writer_put(w, text, n);
  ea_free(text);
  int64_t bytes = ea_tensor_bytes(t);
  if (status == EA_OK && bytes) status = ea_writer_put(w, ea_ptr(t), (size_t)bytes);
  return status;
}

int ea_npy_save(const char *path, const ea_tensor *t) {
  EA_TRY(ea_check_savable(t));
  int dtype = ea_tensor_dtype(t);
  ea_tensor *packed;
  EA_TRY(ea_tensor_packed(t, dtype == EA_BF16 ? EA_F32 : dtype, &packed));
  ea_writer w;
  int status = ea_writer_open(&w, path);
  if (status == EA_OK) {
    status = put_array(&w, packed);
    if (status == EA_OK) status = ea_writer_commit(&w);
    else ea_writer_abort(&w);
  }
  ea_tensor_release(packed);
  return status;
}
