/* SPDX-License-Identifier: GPL-3.0-or-later
 * idx.c - the IDX files of MNIST and its relatives, gzipped or not (the only user of zlib).
 *
 * Two zero bytes, the element type (8: unsigned bytes), the number of dimensions, each dimension as
 * a big-endian u32, then the elements. http://yann.lecun.com/exdb/mnist/
 */
#include <zlib.h>

#include "../tensor/tensor.h"
#include "formats.h"

enum { CHUNK = 1 << 15 };

/* A source of the bytes that a gzip member of another source unpacks to. */
typedef struct gunzip {
  z_stream z;
  ea_source *packed;
  int done; /* the member's end and checksum were seen */
  unsigned char in[CHUNK];
} gunzip;

static voidpf zalloc_counted(voidpf opaque, uInt items, uInt size) {
  (void)opaque;
  return ea_alloc((size_t)items * size);
}

static void zfree_counted(voidpf opaque, voidpf p) {
  (void)opaque;
  ea_free(p);
}

/* Unpacks until `bytes` are there or the member ends; how many came goes to *got. */
static int inflate_some(gunzip *g, void *to, size_t bytes, size_t *got) {
  *got = 0;
  while (*got < bytes && !g->done) {
    if (g->z.avail_in == 0) {
      size_t n = (size_t)EA_MIN((int64_t)CHUNK, g->packed->bytes - g->packed->at);
      if (n == 0) break;
      EA_TRY(ea_source_read(g->packed, g->in, n));
      g->z.next_in = g->in;
      g->z.avail_in = (uInt)n;
    }
    uInt room = (uInt)EA_MIN(bytes - *got, (size_t)1 << 30);
    g->z.next_out = (unsigned char *)to + *got;
    g->z.avail_out = room;
    int z = inflate(&g->z, Z_NO_FLUSH);
    *got += room - g->z.avail_out;
    if (z == Z_MEM_ERROR) return EA_ERR_MEMORY;
    if (z == Z_STREAM_END) g->done = 1;
    else if (z != Z_OK && z != Z_BUF_ERROR)
      return ea_fail(EA_ERR_FORMAT, "%s is damaged: %s", g->packed->name,
                     g->z.msg ? g->z.msg : "not gzip data");
  }
  return EA_OK;
}

static int read_gunzip(ea_source *s, void *to, size_t bytes) {
  size_t got;
  EA_TRY(inflate_some(s->context, to, bytes, &got));
  if (got == bytes) return EA_OK;
  return ea_fail(EA_ERR_FORMAT, "%s ends too early: it is cut off or damaged; fetch it again",
                 s->name);
}

static int not_idx(const ea_source *s, const char *why) {
  return ea_fail(EA_ERR_FORMAT, "%s is not an IDX file of bytes: %s", s->name, why);
}

/* s->bytes is what the file could hold at most; `exact` that it holds just that. */
static int read_idx(ea_source *s, int64_t packed, int exact, ea_tensor **out) {
  unsigned char magic[4], dim[4];
  int64_t size[4], bytes = 1;
  EA_TRY(ea_source_read(s, magic, 4));
  if (magic[0] || magic[1]) return not_idx(s, "it does not begin with two zero bytes");
  if (magic[2] != 8) return not_idx(s, "its elements are of another type");
  if (magic[3] < 1 || magic[3] > 4) return not_idx(s, "it has not 1 to 4 dimensions");
  for (int d = 0; d < magic[3]; d++) {
    EA_TRY(ea_source_read(s, dim, 4));
    size[d] = (int64_t)dim[0] << 24 | dim[1] << 16 | dim[2] << 8 | dim[3];
    if (__builtin_mul_overflow(bytes, size[d], &bytes)) return not_idx(s, "its size is impossible");
  }
  if (exact && bytes != s->bytes - s->at)
    return ea_fail(EA_ERR_FORMAT, "%s: its header promises %lld bytes of data, %lld are there",
                   s->name, (long long)bytes, (long long)(s->bytes - s->at));
  EA_TRY(ea_check_unpacked(s->name, packed, bytes));
  ea_tensor *t;
  EA_TRY(ea_tensor_new(EA_U8, magic[3], size, &t));
  int status = bytes ? ea_source_read(s, ea_u8(t), (size_t)bytes) : EA_OK;
  if (status == EA_OK) *out = t;
  else ea_tensor_release(t);
  return status;
}

/* What a source of `packed` bytes may unpack to. */
static int64_t most_unpacked(int64_t packed) {
  return EA_MIN(packed, INT64_MAX / 2048) * 1040 + 64;
}

static int read_packed(ea_source *s, ea_tensor **out) {
  gunzip *g = ea_alloc_zero(sizeof *g);
  if (!g) return EA_ERR_MEMORY;
  g->packed = s;
  g->z.zalloc = zalloc_counted;
  g->z.zfree = zfree_counted;
  if (inflateInit2(&g->z, 15 + 16) != Z_OK) {
    ea_free(g);
    return EA_ERR_MEMORY;
  }
  ea_source inner = {.name = s->name,
                     .bytes = most_unpacked(s->bytes),
                     .read = read_gunzip,
                     .context = g,
                     .fd = -1};
  ea_tensor *t = NULL;
  int status = read_idx(&inner, s->bytes, 0, &t);
  char more;
  size_t got = 0;
  if (status == EA_OK) status = inflate_some(g, &more, 1, &got); /* sees the checksum, too */
  if (status == EA_OK && got)
    status = ea_fail(EA_ERR_FORMAT, "%s holds more data than its header promises", s->name);
  if (status == EA_OK && !g->done)
    status = ea_fail(EA_ERR_FORMAT, "%s ends too early: it is cut off; fetch it again", s->name);
  if (status == EA_OK) *out = t;
  else ea_tensor_release(t);
  inflateEnd(&g->z);
  ea_free(g);
  return status;
}

/* The two bytes already looked at, then the rest: sources only go forward. */
typedef struct peeked {
  ea_source *source;
  unsigned char first[2];
} peeked;

static int read_peeked(ea_source *s, void *to, size_t bytes) {
  peeked *p = s->context;
  unsigned char *q = to;
  for (int64_t at = s->at; at < 2 && bytes > 0; at++, bytes--) *q++ = p->first[at];
  return bytes ? ea_source_read(p->source, q, bytes) : EA_OK;
}

int ea_idx_parse(ea_source *s, ea_tensor **out) {
  peeked p = {.source = s};
  if (s->bytes < 5) return not_idx(s, "it is too short");
  EA_TRY(ea_source_read(s, p.first, 2));
  ea_source all = {
      .name = s->name, .bytes = s->bytes, .read = read_peeked, .context = &p, .fd = -1};
  if (p.first[0] == 0x1f && p.first[1] == 0x8b) return read_packed(&all, out);
  return read_idx(&all, s->bytes, 1, out);
}

int ea_idx_load(const char *path, ea_tensor **out) {
  ea_source s;
  EA_TRY(ea_source_open(path, &s));
  int status = ea_idx_parse(&s, out);
  ea_source_close(&s);
  return status;
}
