/* SPDX-License-Identifier: GPL-3.0-or-later
 * npz.c - NumPy's .npz: a zip file of .npy members, through libzip (its only user).
 *
 * Saved uncompressed with a fixed date, so that the same arrays give the same bytes.
 */
#include <errno.h>
#include <zip.h>

#include "formats.h"

enum { EMPTY_ZIP = 22 }; /* bytes of a zip of no members */

/* ---- reading ---- */

static int fail_zip(const char *name, zip_error_t *error) {
  int code = zip_error_code_zip(error) == ZIP_ER_MEMORY ? EA_ERR_MEMORY : EA_ERR_FORMAT;
  return ea_fail(code, "%s is not a whole .npz file: %s", name, zip_error_strerror(error));
}

static int read_member(ea_source *s, void *to, size_t bytes) {
  char *p = to;
  while (bytes > 0) {
    zip_int64_t n = zip_fread(s->context, p, bytes);
    if (n < 0) return fail_zip(s->name, zip_file_get_error(s->context));
    if (n == 0) return ea_fail(EA_ERR_FORMAT, "%s ends too early: it is damaged", s->name);
    p += n;
    bytes -= (size_t)n;
  }
  return EA_OK;
}

/* Sizes of a member, if it is one that NumPy could have written. */
static int member_stat(zip_t *z, zip_int64_t i, const char *name, zip_stat_t *st) {
  const zip_uint64_t wanted = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE |
                              ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
  if (zip_stat_index(z, (zip_uint64_t)i, ZIP_FL_ENC_RAW, st) != 0)
    return fail_zip(name, zip_get_error(z));
  if ((st->valid & wanted) != wanted || st->size > (zip_uint64_t)1 << 47)
    return ea_fail(EA_ERR_FORMAT, "%s: member %lld does not say what it is", name, (long long)i);
  if (st->encryption_method != ZIP_EM_NONE ||
      (st->comp_method != ZIP_CM_STORE && st->comp_method != ZIP_CM_DEFLATE))
    return ea_fail(EA_ERR_UNSUPPORTED,
                   "%s: %s is encrypted or compressed by other means than NumPy's", name,
                   ea_quote(st->name));
  size_t n = strlen(st->name);
  if (n < 4 || strcmp(st->name + n - 4, ".npy") != 0)
    return ea_fail(EA_ERR_FORMAT, "%s: %s is not an array (.npy)", name, ea_quote(st->name));
  return EA_OK;
}

static int check_members(zip_t *z, const char *name, int64_t packed) {
  int64_t unpacked = 0;
  for (zip_int64_t i = 0; i < zip_get_num_entries(z, 0); i++) {
    zip_stat_t st;
    EA_TRY(member_stat(z, i, name, &st));
    if (__builtin_add_overflow(unpacked, (int64_t)st.size, &unpacked))
      return ea_fail(EA_ERR_FORMAT, "%s declares an impossible size", name);
  }
  /* Of the whole: members may share the same compressed bytes. */
  return ea_check_unpacked(name, packed, unpacked);
}

static int read_array(zip_file_t *file, const zip_stat_t *st, const char *path, ea_tensor **out) {
  char *name = ea_sprintf("%s: %s", path, ea_quote(st->name));
  if (!name) return EA_ERR_MEMORY;
  ea_source s = {
      .name = name, .bytes = (int64_t)st->size, .read = read_member, .context = file, .fd = -1};
  ea_tensor *t = NULL;
  int status = ea_npy_parse(&s, &t);
  char more;
  if (status == EA_OK) { /* libzip compares length and checksum when it meets the end */
    zip_int64_t n = zip_fread(file, &more, 1);
    if (n < 0) status = fail_zip(name, zip_file_get_error(file));
    if (n > 0) status = ea_fail(EA_ERR_FORMAT, "%s is longer than it declares", name);
  }
  if (status == EA_OK) *out = t;
  else ea_tensor_release(t);
  ea_free(name);
  return status;
}

/* "/x", "../x", "x/../y": no honest archive has them, and names become those of files. */
static int leads_out(const char *name) {
  for (const char *p = name; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
    if (strncmp(p, "../", 3) == 0) return 1;
  return name[0] == '/';
}

static int read_entry(zip_t *z, zip_int64_t i, const char *path, ea_archive *a) {
  zip_stat_t st;
  EA_TRY(member_stat(z, i, path, &st));
  if (leads_out(st.name))
    return ea_fail(EA_ERR_FORMAT, "%s: the member %s leads out of the archive", path,
                   ea_quote(st.name));
  zip_file_t *file = zip_fopen_index(z, (zip_uint64_t)i, 0);
  if (!file) return fail_zip(path, zip_get_error(z));
  ea_tensor *t = NULL;
  int status = read_array(file, &st, path, &t);
  zip_fclose(file);
  EA_TRY(status);
  char *name = ea_sprintf("%.*s", (int)(strlen(st.name) - 4), st.name);
  status = name ? ea_archive_add(a, name, t) : EA_ERR_MEMORY;
  if (status == EA_ERR_ARG) { /* a duplicate, or no text: the file's fault, not the caller's */
    ea_fail_within(EA_ERR_FORMAT, "%s", path);
    status = EA_ERR_FORMAT;
  }
  ea_free(name);
  ea_tensor_release(t);
  return status;
}

/* Closes (frees) the source, whatever happens. */
static int read_zip(zip_source_t *source, const char *name, int64_t packed, ea_archive **out) {
  zip_error_t error;
  zip_error_init(&error);
  zip_t *z = NULL;
  if (packed < EMPTY_ZIP) zip_error_set(&error, ZIP_ER_NOZIP, 0); /* to libzip, 0 bytes are one */
  else z = zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
  if (!z) {
    int status = fail_zip(name, &error);
    zip_source_free(source);
    zip_error_fini(&error);
    return status;
  }
  zip_error_fini(&error);
  ea_archive *a = NULL;
  int status = check_members(z, name, packed);
  if (status == EA_OK) status = ea_archive_new(&a);
  for (zip_int64_t i = 0; status == EA_OK && i < zip_get_num_entries(z, 0); i++)
    status = read_entry(z, i, name, a);
  zip_discard(z);
  if (status == EA_OK) *out = a;
  else ea_archive_free(a);
  return status;
}

int ea_npz_parse(const void *data, size_t bytes, const char *name, ea_archive **out) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t *source = zip_source_buffer_create(data, bytes, 0, &error);
  int status = source ? EA_OK : fail_zip(name, &error);
  zip_error_fini(&error);
  return source ? read_zip(source, name, (int64_t)bytes, out) : status;
}

int ea_npz_load(const char *path, ea_archive **out) {
  ea_source s; /* only to see that it is a regular file, and how large */
  EA_TRY(ea_source_open(path, &s));
  int64_t bytes = s.bytes;
  ea_source_close(&s);
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t *source = zip_source_file_create(path, 0, -1, &error);
  int status = source ? EA_OK : fail_zip(path, &error);
  zip_error_fini(&error);
  return source ? read_zip(source, path, bytes, out) : status;
}

/* ---- writing: libzip writes through one of our atomic writers ---- */

typedef struct target {
  ea_writer writer;
  const char *path;
  zip_error_t error;
  int status; /* of the writer's last call */
} target;

static zip_int64_t give_stat(target *t, void *data, zip_uint64_t bytes) {
  zip_stat_t *st = ZIP_SOURCE_GET_ARGS(zip_stat_t, data, bytes, &t->error);
  if (!st) return -1;
  zip_stat_init(st);
  st->valid |= ZIP_STAT_SIZE;
  st->size = 0;
  return sizeof *st;
}

static zip_int64_t put_bytes(target *t, const void *data, zip_uint64_t bytes) {
  t->status = ea_writer_put(&t->writer, data, bytes);
  return t->status == EA_OK ? (zip_int64_t)bytes : -1;
}

static zip_int64_t seek_to(target *t, void *data, zip_uint64_t bytes) {
  zip_source_args_seek_t *to = ZIP_SOURCE_GET_ARGS(zip_source_args_seek_t, data, bytes, &t->error);
  if (!to) return -1;
  if (to->whence == SEEK_END) { /* libzip never does; the writer does not know its end */
    zip_error_set(&t->error, ZIP_ER_SEEK, 0);
    return -1;
  }
  int64_t from = to->whence == SEEK_CUR ? ea_writer_tell(&t->writer) : 0;
  t->status = ea_writer_seek(&t->writer, from + to->offset);
  return t->status == EA_OK ? 0 : -1;
}

static zip_int64_t serve(void *state, void *data, zip_uint64_t bytes, zip_source_cmd_t command) {
  target *t = state;
  zip_int64_t result = 0;
  switch (command) {
    case ZIP_SOURCE_SUPPORTS:
      return zip_source_make_command_bitmap(
          ZIP_SOURCE_STAT, ZIP_SOURCE_BEGIN_WRITE, ZIP_SOURCE_WRITE, ZIP_SOURCE_SEEK_WRITE,
          ZIP_SOURCE_TELL_WRITE, ZIP_SOURCE_COMMIT_WRITE, ZIP_SOURCE_ROLLBACK_WRITE,
          ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
          ZIP_SOURCE_REMOVE, ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, -1);
    case ZIP_SOURCE_STAT: return give_stat(t, data, bytes);
    case ZIP_SOURCE_ERROR: return zip_error_to_data(&t->error, data, bytes);
    case ZIP_SOURCE_BEGIN_WRITE:
      t->status = ea_writer_open(&t->writer, t->path);
      result = t->status == EA_OK ? 0 : -1;
      break;
    case ZIP_SOURCE_WRITE: result = put_bytes(t, data, bytes); break;
    case ZIP_SOURCE_SEEK_WRITE: result = seek_to(t, data, bytes); break;
    case ZIP_SOURCE_TELL_WRITE: return ea_writer_tell(&t->writer);
    case ZIP_SOURCE_COMMIT_WRITE:
      t->status = ea_writer_commit(&t->writer);
      result = t->status == EA_OK ? 0 : -1;
      break;
    case ZIP_SOURCE_ROLLBACK_WRITE: ea_writer_abort(&t->writer); break;
    default: break; /* opening, reading (nothing) and closing an empty file */
  }
  if (result < 0 && t->status != EA_OK) zip_error_set(&t->error, ZIP_ER_WRITE, EIO);
  return result;
}

/* Adds t as a member. The header goes to *header, to be freed once the zip is closed. */
static int add_member(zip_t *z, const char *path, const char *name, const ea_tensor *t,
                      char **header) {
  zip_buffer_fragment_t parts[2] = {{0}};
  size_t bytes;
  EA_TRY(ea_npy_header(t, header, &bytes));
  parts[0].data = (zip_uint8_t *)*header;
  parts[0].length = bytes;
  parts[1].data = ea_tensor_bytes(t) ? ea_ptr(t) : NULL;
  parts[1].length = (zip_uint64_t)ea_tensor_bytes(t);
  char *member = ea_sprintf("%s.npy", name);
  if (!member) return EA_ERR_MEMORY;
  zip_source_t *source = zip_source_buffer_fragment(z, parts, parts[1].length ? 2 : 1, 0);
  zip_int64_t i = source ? zip_file_add(z, member, source, ZIP_FL_ENC_UTF_8) : -1;
  if (i < 0) zip_source_free(source);
  ea_free(member);
  if (i < 0 || zip_set_file_compression(z, (zip_uint64_t)i, ZIP_CM_STORE, 0) != 0 ||
      zip_file_set_dostime(z, (zip_uint64_t)i, 0, 0x21 /* 1980-01-01 */, 0) != 0)
    return ea_fail(EA_ERR_IO, "cannot write %s: %s", path, zip_strerror(z));
  return EA_OK;
}

/* What has to live until the zip is closed, for one member. */
typedef struct member {
  ea_tensor *tensor;
  char *header;
} member;

static int fill_zip(zip_t *z, const char *path, const ea_archive *a, member *m) {
  for (int i = 0; i < ea_archive_count(a); i++) {
    const ea_tensor *t = ea_archive_tensor(a, i);
    int dtype = ea_tensor_dtype(t);
    EA_TRY(ea_tensor_packed(t, dtype == EA_BF16 ? EA_F32 : dtype, &m[i].tensor));
    EA_TRY(add_member(z, path, ea_archive_name(a, i), m[i].tensor, &m[i].header));
  }
  return EA_OK;
}

static int save_zip(target *t, const ea_archive *a, member *m) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t *source = zip_source_function_create(serve, t, &error);
  zip_t *z = source ? zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, &error) : NULL;
  if (!z) {
    if (source) zip_source_free(source);
    zip_error_fini(&error);
    return ea_fail(EA_ERR_MEMORY, "no memory for writing %s", t->path);
  }
  zip_error_fini(&error);
  int status = fill_zip(z, t->path, a, m);
  if (status == EA_OK && zip_close(z) == 0) return EA_OK;
  if (status == EA_OK) status = t->status;
  if (status == EA_OK) status = ea_fail(EA_ERR_IO, "cannot write %s: %s", t->path, zip_strerror(z));
  zip_discard(z);
  return status;
}

/* libzip would rather remove the file than write a zip of no members. */
static int save_empty(const char *path) {
  static const char end[EMPTY_ZIP] = "PK\5\6";
  return ea_file_write(path, end, sizeof end);
}

int ea_npz_save(const char *path, const ea_archive *a) {
  if (!a) return ea_fail(EA_ERR_ARG, "an archive to save was expected, got NULL");
  int n = ea_archive_count(a);
  if (n == 0) return save_empty(path);
  member *m = ea_alloc_zero((size_t)n * sizeof *m);
  if (!m) return EA_ERR_MEMORY;
  target t = {.path = path, .writer = {.fd = -1}};
  zip_error_init(&t.error);
  int status = save_zip(&t, a, m);
  zip_error_fini(&t.error);
  for (int i = 0; i < n; i++) {
    ea_tensor_release(m[i].tensor);
    ea_free(m[i].header);
  }
  ea_free(m);
  return status;
}
