/* SPDX-License-Identifier: GPL-3.0-or-later
 * png.c - PNG pictures through libpng (its only user).
 *
 * libpng reports an error by longjmp out of its own calls. Each function that calls setjmp keeps
 * everything it needs afterwards in a struct of its caller, so nothing hangs on clobbered locals.
 */
#include <png.h>

#include "../tensor/tensor.h"
#include "image.h"

typedef struct job {
  png_structp png;
  png_infop info;
  ea_source *source;
  ea_writer *writer;
  ea_tensor *image;
  int status;        /* of our own calls inside libpng's callbacks */
  char message[128]; /* libpng's complaint */
} job;

static void on_error(png_structp png, png_const_charp message) {
  job *j = png_get_error_ptr(png);
  snprintf(j->message, sizeof j->message, "%s", message);
  png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message) {
  (void)png;
  (void)message;
}

static png_voidp counted_malloc(png_structp png, png_alloc_size_t bytes) {
  job *j = png_get_mem_ptr(png);
  void *p = ea_alloc(bytes);
  if (!p) j->status = EA_ERR_MEMORY;
  return p;
}

static void counted_free(png_structp png, png_voidp p) {
  (void)png;
  ea_free(p);
}

/* ---- reading ---- */

static void read_bytes(png_structp png, png_bytep to, size_t bytes) {
  job *j = png_get_io_ptr(png);
  j->status = ea_source_read(j->source, to, bytes);
  if (j->status != EA_OK) png_error(png, "read");
}

/* Limits on what a file may make libpng do, and no look at chunks that do not change the pixels. */
static void set_limits(png_structp png) {
  static const png_byte skip[] = "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0"
                                 "sBIT\0sCAL\0sPLT\0sRGB\0sTER\0tEXt\0tIME\0zTXt";
  png_set_user_limits(png, EA_IMAGE_MOST_SIDE, EA_IMAGE_MOST_SIDE);
  png_set_chunk_cache_max(png, 64);
  png_set_chunk_malloc_max(png, 8 << 20);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, skip, (int)(sizeof skip / 5));
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* a fuzzer cannot guess checksums */
  png_set_crc_action(png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
  png_set_option(png, PNG_IGNORE_ADLER32, PNG_OPTION_ON);
#endif
}

/* Everything to 8 bits and 1, 3 or 4 channels. */
static void set_transforms(png_structp png, png_infop info) {
  png_set_expand(png); /* palettes, 1, 2 and 4 bits, transparent colours as alpha */
  png_set_scale_16(png);
  int color = png_get_color_type(png, info);
  int alpha = (color & PNG_COLOR_MASK_ALPHA) || png_get_valid(png, info, PNG_INFO_tRNS);
  if (alpha && !(color & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png);
}

static int make_image(job *j) {
  int64_t h = png_get_image_height(j->png, j->info), w = png_get_image_width(j->png, j->info);
  int64_t c = png_get_channels(j->png, j->info);
  if (h * w > EA_IMAGE_MOST_PIXELS)
    return ea_fail(EA_ERR_FORMAT, "%s is %lld x %lld; pictures of up to 2^26 pixels are read",
                   j->source->name, (long long)w, (long long)h);
  EA_TRY(ea_tensor_new(EA_U8, 3, (const int64_t[]){h, w, c}, &j->image));
  return EA_OK;
}

/* Runs under setjmp. Returns 0 if libpng jumped. */
static int read_png(job *j) {
  if (setjmp(png_jmpbuf(j->png))) return 0;
  set_limits(j->png);
  png_set_read_fn(j->png, j, read_bytes);
  png_read_info(j->png, j->info);
  /* Before the transformations: what the compressed pixels must unpack to. */
  j->status = ea_check_unpacked(j->source->name, j->source->bytes,
                                (int64_t)png_get_rowbytes(j->png, j->info) *
                                    png_get_image_height(j->png, j->info));
  if (j->status != EA_OK) return 0;
  set_transforms(j->png, j->info);
  int passes = png_set_interlace_handling(j->png);
  png_read_update_info(j->png, j->info);
  j->status = make_image(j);
  if (j->status != EA_OK) return 0;
  int64_t h = j->image->size[0], stride = j->image->stride[0];
  for (int pass = 0; pass < passes; pass++)
    for (int64_t y = 0; y < h; y++) png_read_row(j->png, ea_u8(j->image) + y * stride, NULL);
  png_read_end(j->png, NULL);
  return 1;
}

static int failure(const job *j, const char *name, const char *what) {
  if (j->status != EA_OK) return j->status; /* its sentence is there */
  return ea_fail(EA_ERR_FORMAT, "%s %s: %s", name, what, j->message);
}

int ea_png_parse(ea_source *s, int channels, ea_tensor **out) {
  EA_TRY(ea_image_check_channels(channels));
  job j = {.source = s};
  j.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning, &j,
                                   counted_malloc, counted_free);
  if (!j.png) return ea_fail(EA_ERR_MEMORY, "no memory for reading %s", s->name);
  j.info = png_create_info_struct(j.png);
  int done = 0;
  if (j.info) done = read_png(&j);
  else j.status = EA_ERR_MEMORY;
  png_destroy_read_struct(&j.png, &j.info, NULL);
  if (!done) {
    ea_tensor_release(j.image);
    return failure(&j, s->name, "is not a whole PNG picture");
  }
  return ea_image_channels(j.image, channels, out);
}

int ea_png_load(const char *path, int channels, ea_tensor **out) {
  ea_source s;
  EA_TRY(ea_source_open(path, &s));
  int status = ea_png_parse(&s, channels, out);
  ea_source_close(&s);
  return status;
}

/* ---- writing ---- */

static void write_bytes(png_structp png, png_bytep data, size_t bytes) {
  job *j = png_get_io_ptr(png);
  j->status = ea_writer_put(j->writer, data, bytes);
  if (j->status != EA_OK) png_error(png, "write");
}

static void flush_nothing(png_structp png) { (void)png; }

static int write_png(job *j) {
  static const int color[] = {0, PNG_COLOR_TYPE_GRAY, 0, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGBA};
  if (setjmp(png_jmpbuf(j->png))) return 0;
  const ea_tensor *t = j->image;
  png_set_write_fn(j->png, j, write_bytes, flush_nothing);
  png_set_IHDR(j->png, j->info, (png_uint_32)t->size[1], (png_uint_32)t->size[0], 8,
               color[t->size[2]], PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(j->png, j->info);
  for (int64_t y = 0; y < t->size[0]; y++)
    png_write_row(j->png, ea_u8(t) + y * t->size[1] * t->size[2]);
  png_write_end(j->png, NULL);
  return 1;
}

static int save_packed(const char *path, ea_tensor *image) {
  ea_writer w;
  EA_TRY(ea_writer_open(&w, path));
  job j = {.writer = &w, .image = image};
  int done = 0;
  j.png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning, &j,
                                    counted_malloc, counted_free);
  j.info = j.png ? png_create_info_struct(j.png) : NULL;
  if (j.info) done = write_png(&j);
  else j.status = ea_fail(EA_ERR_MEMORY, "no memory for writing %s", path);
  if (j.png) png_destroy_write_struct(&j.png, &j.info);
  if (done) return ea_writer_commit(&w);
  int status = failure(&j, path, "cannot be written as PNG");
  ea_writer_abort(&w);
  return status;
}

int ea_png_save(const char *path, const ea_tensor *image) {
  if (!image || ea_tensor_symbolic(image))
    return ea_fail(EA_ERR_ARG, "a PNG needs a tensor with values");
  int64_t c = image->ndim == 3 ? image->size[2] : 0;
  if (image->dtype != EA_U8 || (c != 1 && c != 3 && c != 4))
    return ea_fail(EA_ERR_SHAPE, "a PNG needs a u8 tensor {height, width, 1, 3 or 4}, got %s",
                   ea_shape_text(image));
  int64_t h = image->size[0], w = image->size[1];
  if (h < 1 || w < 1 || h > EA_IMAGE_MOST_SIDE || w > EA_IMAGE_MOST_SIDE ||
      h * w > EA_IMAGE_MOST_PIXELS)
    return ea_fail(EA_ERR_SHAPE, "a PNG has at least one pixel and at most 2^26, got %s",
                   ea_shape_text(image));
  ea_tensor *packed;
  EA_TRY(ea_tensor_clone(image, EA_U8, &packed));
  int status = save_packed(path, packed);
  ea_tensor_release(packed);
  return status;
}
