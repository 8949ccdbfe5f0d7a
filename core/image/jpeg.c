/* SPDX-License-Identifier: GPL-3.0-or-later
 * jpeg.c - JPEG pictures through libjpeg (its only user).
 *
 * libjpeg's own error handler ends the process; ours jumps back. Damage that libjpeg would paint
 * over (cut-off files, broken codes) counts as an error here: silent grey areas spoil training.
 */
#include <setjmp.h>
#include <stdio.h>

#include <jerror.h>
#include <jpeglib.h>

#include "../base/file.h"
#include "../tensor/tensor.h"
#include "image.h"

static const size_t MOST_FILE = (size_t)256 << 20;
/* Progressive files of many scans cost a pass over the picture each. */
enum { MOST_SCANS = 200 };
static const int64_t MOST_SCANNED = (int64_t)1 << 31; /* pixels, in all scans */

typedef struct job {
  struct jpeg_decompress_struct c;
  struct jpeg_error_mgr errors; /* c.err points here; client_data back to the job */
  struct jpeg_progress_mgr progress;
  jmp_buf jump;
  ea_tensor *image;
  unsigned char *row;
  const char *name;
  int status;
  char message[JMSG_LENGTH_MAX];
} job;

static void on_error(j_common_ptr c) {
  job *j = c->client_data;
  c->err->format_message(c, j->message);
  longjmp(j->jump, 1);
}

static void on_message(j_common_ptr c, int level) {
  if (level >= 0) return;
  int code = c->err->msg_code;
  if (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE ||
      code == JWRN_MUST_RESYNC || code == JWRN_BOGUS_PROGRESSION || code == JWRN_NOT_SEQUENTIAL)
    on_error(c);
}

static void on_output(j_common_ptr c) { (void)c; }

static void on_progress(j_common_ptr c) {
  job *j = c->client_data;
  int64_t scans = j->c.input_scan_number;
  if (scans <= MOST_SCANS && scans * j->c.image_width * j->c.image_height <= MOST_SCANNED) return;
  snprintf(j->message, sizeof j->message, "it has %d scans or more, too many for its size",
           (int)scans);
  longjmp(j->jump, 1);
}

static int make_image(job *j, size_t bytes) {
  int64_t h = j->c.image_height, w = j->c.image_width, c = j->c.num_components == 1 ? 1 : 3;
  if (h * w > EA_IMAGE_MOST_PIXELS)
    return ea_fail(EA_ERR_FORMAT, "%s is %lld x %lld; pictures of up to 2^26 pixels are read",
                   j->name, (long long)w, (long long)h);
  /* Each 8x8 block costs a bit at least: honest pictures stay below what deflate can do. */
  EA_TRY(ea_check_unpacked(j->name, (int64_t)bytes, h * w * c));
  EA_TRY(ea_tensor_new(EA_U8, 3, (const int64_t[]){h, w, c}, &j->image));
  j->row = ea_alloc((size_t)w * 4);
  return j->row ? EA_OK : EA_ERR_MEMORY;
}

/* Adobe's CMYK is stored inverted: 255 means no ink. */
static void cmyk_to_rgb(const unsigned char *from, unsigned char *to, int64_t n, int inverted) {
  for (int64_t i = 0; i < n; i++, from += 4, to += 3)
    for (int k = 0; k < 3; k++) {
      int ink = inverted ? from[k] : 255 - from[k], black = inverted ? from[3] : 255 - from[3];
      to[k] = (unsigned char)((ink * black + 127) / 255);
    }
}

/* Runs under setjmp. Returns 0 if libjpeg jumped. */
static int read_jpeg(job *j, const void *data, size_t bytes) {
  if (setjmp(j->jump)) return 0;
  jpeg_create_decompress(&j->c);
  j->c.client_data = j; /* jpeg_create_decompress keeps it, but let the order not matter */
  j->c.progress = &j->progress;
  j->c.mem->max_memory_to_use = 512L << 20;
  jpeg_mem_src(&j->c, data, bytes);
  jpeg_read_header(&j->c, TRUE);
  int cmyk = j->c.num_components == 4;
  j->c.out_color_space = cmyk ? JCS_CMYK : j->c.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  j->c.dct_method = JDCT_ISLOW;
  j->status = make_image(j, bytes);
  if (j->status != EA_OK) return 0;
  jpeg_start_decompress(&j->c);
  int64_t stride = j->image->stride[0], w = j->image->size[1];
  while (j->c.output_scanline < j->c.output_height) {
    unsigned char *to = ea_u8(j->image) + j->c.output_scanline * stride;
    JSAMPROW line = cmyk ? j->row : to;
    jpeg_read_scanlines(&j->c, &line, 1);
    if (cmyk) cmyk_to_rgb(j->row, to, w, j->c.saw_Adobe_marker);
  }
  jpeg_finish_decompress(&j->c);
  return 1;
}

static int decode(job *j, const void *data, size_t bytes, int channels, ea_tensor **out) {
  j->c.err = jpeg_std_error(&j->errors);
  j->errors.error_exit = on_error;
  j->errors.emit_message = on_message;
  j->errors.output_message = on_output;
  j->progress.progress_monitor = on_progress;
  j->c.client_data = j;
  int done = read_jpeg(j, data, bytes);
  jpeg_destroy_decompress(&j->c);
  ea_free(j->row);
  if (done) return ea_image_channels(j->image, channels, out);
  ea_tensor_release(j->image);
  if (j->status != EA_OK) return j->status;
  return ea_fail(EA_ERR_FORMAT, "%s is not a whole JPEG picture: %s", j->name, j->message);
}

int ea_jpeg_parse(const void *data, size_t bytes, const char *name, int channels, ea_tensor **out) {
  EA_TRY(ea_image_check_channels(channels));
  if (bytes < 4) return ea_fail(EA_ERR_FORMAT, "%s is not a JPEG picture: it is too short", name);
  job *j = ea_alloc_zero(sizeof *j);
  if (!j) return EA_ERR_MEMORY;
  j->name = name;
  int status = decode(j, data, bytes, channels, out);
  ea_free(j);
  return status;
}

int ea_jpeg_load(const char *path, int channels, ea_tensor **out) {
  char *data;
  size_t bytes;
  EA_TRY(ea_file_read(path, MOST_FILE, &data, &bytes));
  int status = ea_jpeg_parse(data, bytes, path, channels, out);
  ea_buffer_free(data);
  return status;
}
