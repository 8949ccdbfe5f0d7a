/* SPDX-License-Identifier: Apache-2.0
 * file.h - how the core reads and writes files: atomic writers, checked sequential readers.
 */
#ifndef EA_FILE_H
#define EA_FILE_H

#include "base.h"

/* ---- writing -----------------------------------------------------------------------------------
 * A writer fills a temporary file beside its target; commit syncs it and renames it over the
 * target, so that whoever opens the target sees the old file or the whole new one. After a failure
 * call ea_writer_abort (harmless after commit too): the old file is untouched, the temporary is
 * gone. */
typedef struct ea_writer {
  const char *name; /* the path as the caller gave it (borrowed), for sentences */
  char *path;       /* the same with symbolic links resolved: a link is kept, its target replaced */
  char *temp;       /* NULL once renamed or removed */
  int fd;
  char *buffer;
  size_t used;
  int64_t start; /* where in the file the buffer begins */
} ea_writer;

int ea_writer_open(ea_writer *w, const char *path);
int ea_writer_put(ea_writer *w, const void *data, size_t bytes);
int ea_writer_seek(ea_writer *w, int64_t offset); /* from the beginning of the file */
int64_t ea_writer_tell(const ea_writer *w);
int ea_writer_commit(ea_writer *w);
void ea_writer_abort(ea_writer *w);

/* Testing: the n-th system call of a writer from now (1 = the next) fails with errno `error`; with
 * error 0 a write merely comes back short. n = 0 switches it off. */
void ea_file_fail_at(int64_t n, int error);

/* ---- reading -----------------------------------------------------------------------------------
 * A source is read from front to back, from a file or from memory. `bytes` is known before the
 * first read, so that a reader can hold what a header claims against what is there. */
typedef struct ea_source ea_source;
struct ea_source {
  const char *name;                                  /* borrowed, for sentences */
  int64_t bytes;                                     /* all of it */
  int64_t at;                                        /* how much has been read */
  int (*read)(ea_source *s, void *to, size_t bytes); /* exactly that many bytes */
  void *context;                                     /* of `read` */
  const unsigned char *data;
  int fd;
};

int ea_source_open(const char *path, ea_source *s); /* a regular file */
void ea_source_memory(const void *data, size_t bytes, const char *name, ea_source *s);
/* Reads exactly `bytes`; EA_ERR_FORMAT ("... ends too early") if there are fewer. */
int ea_source_read(ea_source *s, void *to, size_t bytes);
void ea_source_close(ea_source *s);

/* EA_ERR_FORMAT if no honest file of `packed` bytes unpacks to `unpacked` bytes: beyond what
 * deflate can do (1032:1), or both large (over 256 MiB) and suspiciously dense (over 200:1). */
int ea_check_unpacked(const char *name, int64_t packed, int64_t unpacked);

/* A name out of a foreign file, made fit for a sentence: quoted, shortened, no control characters.
 * Four static buffers per thread in turn. */
const char *ea_quote(const char *text);

#endif
