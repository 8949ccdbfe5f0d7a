/* SPDX-License-Identifier: Apache-2.0
 * file.c - files written atomically and read with care.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 1 << 16, TEMP_TRIES = 100 };

static int fail_errno(const char *what, const char *path) {
  return ea_fail(EA_ERR_IO, "cannot %s %s: %s", what, path, strerror(errno));
}

/* ---- fault injection ---- */

static int64_t fault_at;
static int fault_error;

void ea_file_fail_at(int64_t n, int error) {
  fault_at = n;
  fault_error = error;
}

/* 1 if this system call is the one to fail. */
static int fault(void) { return fault_at > 0 && --fault_at == 0; }

static int failing(void) {
  if (!fault() || fault_error == 0) return 0;
  errno = fault_error;
  return 1;
}

static ssize_t write_some(int fd, const char *data, size_t bytes, int64_t offset) {
  if (fault()) {
    if (fault_error == 0 && bytes > 1) return pwrite(fd, data, bytes / 2, offset);
    errno = fault_error ? fault_error : EINTR;
    return -1;
  }
  return pwrite(fd, data, bytes, offset);
}

/* ---- writer ---- */

/* The folder part of a path, "." if it has none: a new string. */
static char *folder_of(const char *path) {
  const char *slash = strrchr(path, '/');
  if (!slash) return ea_strdup(".");
  return ea_sprintf("%.*s", slash == path ? 1 : (int)(slash - path), path);
}

/* Creates the temporary file: ".name.pid-k.tmp" in the target's folder, hidden and unmistakable. */
static int create_temp(ea_writer *w) {
  char *folder = folder_of(w->path);
  if (!folder) return EA_ERR_MEMORY;
  const char *slash = strrchr(w->path, '/'), *base = slash ? slash + 1 : w->path;
  int status = EA_OK, error = EEXIST;
  for (int k = 0; k < TEMP_TRIES && error == EEXIST; k++) {
    w->temp = ea_sprintf("%s/.%.180s.%d-%d.tmp", folder, base, (int)getpid(), k);
    if (!w->temp) {
      status = EA_ERR_MEMORY;
      break;
    }
    w->fd = failing() ? -1 : open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (w->fd >= 0) break;
    error = errno;
    ea_free(w->temp);
    w->temp = NULL;
  }
  ea_free(folder);
  errno = error;
  return w->fd >= 0 || status != EA_OK ? status : fail_errno("write", w->name);
}

int ea_writer_open(ea_writer *w, const char *path) {
  memset(w, 0, sizeof *w);
  w->fd = -1;
  w->name = path;
  if (!path || !*path) return ea_fail(EA_ERR_ARG, "a file to write needs a path, not an empty one");
  char *real = realpath(path, NULL);
  w->path = ea_strdup(real ? real : path);
  free(real);
  if (!w->path) return EA_ERR_MEMORY;
  struct stat st;
  int there = stat(w->path, &st) == 0, status = EA_OK;
  if (there && S_ISDIR(st.st_mode))
    status = ea_fail(EA_ERR_IO, "cannot write %s: it is a folder; give a file's path", path);
  else if (there && !S_ISREG(st.st_mode)) /* A rename would replace the device or pipe by a file. */
    status = ea_fail(EA_ERR_IO, "cannot write %s: it is a device or pipe, not a file", path);
  else if (there && access(w->path, W_OK) != 0)
    status = fail_errno("write", path); /* a read-only file is meant to stay */
  if (status == EA_OK) status = create_temp(w);
  if (status == EA_OK && there && fchmod(w->fd, st.st_mode & 0777) != 0)
    status = fail_errno("write", path);
  if (status == EA_OK && !(w->buffer = ea_alloc(BUFFER))) status = EA_ERR_MEMORY;
  if (status != EA_OK) ea_writer_abort(w);
  return status;
}

static int put_through(ea_writer *w, const char *data, size_t bytes) {
  while (bytes > 0) {
    ssize_t n = write_some(w->fd, data, bytes, w->start);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      if (n == 0) errno = ENOSPC;
      return fail_errno("write", w->name);
    }
    data += n;
    bytes -= (size_t)n;
    w->start += n;
  }
  return EA_OK;
}

static int flush(ea_writer *w) {
  size_t used = w->used;
  w->used = 0;
  return put_through(w, w->buffer, used);
}

int ea_writer_put(ea_writer *w, const void *data, size_t bytes) {
  if (bytes == 0) return EA_OK;
  if (w->used + bytes > BUFFER) EA_TRY(flush(w));
  if (bytes >= BUFFER) return put_through(w, data, bytes);
  memcpy(w->buffer + w->used, data, bytes);
  w->used += bytes;
  return EA_OK;
}

int ea_writer_seek(ea_writer *w, int64_t offset) {
  EA_TRY(flush(w));
  w->start = offset;
  return EA_OK;
}

int64_t ea_writer_tell(const ea_writer *w) { return w->start + (int64_t)w->used; }

/* The rename is on the disk only when the folder is. */
static int sync_folder(const ea_writer *w) {
  char *folder = folder_of(w->path);
  if (!folder) return EA_ERR_MEMORY;
  int fd = failing() ? -1 : open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int bad = fd < 0 || failing() || fsync(fd) != 0;
  /* Some file systems cannot sync folders (EINVAL); a folder may be writable yet unreadable. */
  if (bad && errno != EINVAL && errno != EACCES) {
    if (fd >= 0) {
      int error = errno;
      close(fd);
      errno = error;
    }
    ea_free(folder);
    return ea_fail(EA_ERR_IO, "%s is written but may not survive a power failure: %s", w->name,
                   strerror(errno));
  }
  if (fd >= 0) close(fd);
  ea_free(folder);
  return EA_OK;
}

static int finish(ea_writer *w) {
  EA_TRY(flush(w));
  if (failing() || fsync(w->fd) != 0) return fail_errno("write", w->name);
  int fd = w->fd;
  w->fd = -1;
  if (close(fd) != 0) return fail_errno("write", w->name);
  if (failing() || rename(w->temp, w->path) != 0) return fail_errno("write", w->name);
  ea_free(w->temp);
  w->temp = NULL;
  return sync_folder(w);
}

int ea_writer_commit(ea_writer *w) {
  int status = finish(w);
  ea_writer_abort(w);
  return status;
}

void ea_writer_abort(ea_writer *w) {
  if (w->fd >= 0) close(w->fd);
  w->fd = -1;
  if (w->temp) unlink(w->temp);
  ea_free(w->temp);
  ea_free(w->path);
  ea_free(w->buffer);
  w->temp = w->path = w->buffer = NULL;
}

int ea_file_write(const char *path, const void *data, size_t bytes) {
  if (!data && bytes) return ea_fail(EA_ERR_ARG, "nothing to write to %s: data is NULL", path);
  ea_writer w;
  EA_TRY(ea_writer_open(&w, path));
  int status = ea_writer_put(&w, data, bytes);
  if (status == EA_OK) return ea_writer_commit(&w);
  ea_writer_abort(&w);
  return status;
}

/* ---- source ---- */

static int read_fd(ea_source *s, void *to, size_t bytes) {
  char *p = to;
  while (bytes > 0) {
    ssize_t n = read(s->fd, p, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read", s->name);
    if (n == 0) return ea_fail(EA_ERR_FORMAT, "%s became shorter while being read", s->name);
    p += n;
    bytes -= (size_t)n;
  }
  return EA_OK;
}

static int read_memory(ea_source *s, void *to, size_t bytes) {
  if (bytes) memcpy(to, s->data + s->at, bytes);
  return EA_OK;
}

int ea_source_open(const char *path, ea_source *s) {
  memset(s, 0, sizeof *s);
  s->fd = -1;
  if (!path || !*path) return ea_fail(EA_ERR_ARG, "a file to read needs a path, not an empty one");
  /* Without O_NONBLOCK, opening a named pipe would wait for its writer. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail_errno("read", path);
  struct stat st;
  int status = EA_OK;
  if (fstat(fd, &st) != 0) status = fail_errno("read", path);
  else if (S_ISDIR(st.st_mode))
    status = ea_fail(EA_ERR_IO, "cannot read %s: it is a folder; give a file's path", path);
  else if (!S_ISREG(st.st_mode))
    status = ea_fail(EA_ERR_IO, "cannot read %s: it is a device or pipe, not a regular file", path);
  if (status != EA_OK) {
    close(fd);
    return status;
  }
  s->name = path;
  s->bytes = st.st_size;
  s->fd = fd;
  s->read = read_fd;
  return EA_OK;
}

void ea_source_memory(const void *data, size_t bytes, const char *name, ea_source *s) {
  memset(s, 0, sizeof *s);
  s->fd = -1;
  s->name = name;
  s->data = data;
  s->bytes = (int64_t)bytes;
  s->read = read_memory;
}

int ea_source_read(ea_source *s, void *to, size_t bytes) {
  if ((uint64_t)bytes > (uint64_t)(s->bytes - s->at))
    return ea_fail(EA_ERR_FORMAT, "%s ends too early: %lld bytes, and at least %llu were expected",
                   s->name, (long long)s->bytes, (unsigned long long)s->at + bytes);
  EA_TRY(s->read(s, to, bytes));
  s->at += (int64_t)bytes;
  return EA_OK;
}

void ea_source_close(ea_source *s) {
  if (s->fd >= 0) close(s->fd);
  s->fd = -1;
}

int ea_file_read(const char *path, size_t most, char **data, size_t *bytes) {
  ea_source s;
  EA_TRY(ea_source_open(path, &s));
  size_t room = (size_t)s.bytes + 1, used = 0;
  char *buffer = NULL;
  int status = EA_OK;
  /* Files under /proc claim to be empty: read until the end, whatever the claim. */
  while (status == EA_OK) {
    if (EA_MAX(used, (size_t)s.bytes) > most) {
      status = ea_fail(EA_ERR_FORMAT, "%s is larger than the %zu bytes allowed here", path, most);
      break;
    }
    if (!buffer || used + 1 >= room) {
      if (buffer) room = room * 2 + 4096;
      char *wider = ea_alloc(room + 1);
      if (!wider) {
        status = EA_ERR_MEMORY;
        break;
      }
      if (buffer) memcpy(wider, buffer, used);
      ea_free(buffer);
      buffer = wider;
    }
    ssize_t n = read(s.fd, buffer + used, room - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) status = fail_errno("read", path);
    if (n <= 0) break;
    used += (size_t)n;
  }
  ea_source_close(&s);
  if (status != EA_OK) {
    ea_free(buffer);
    return status;
  }
  buffer[used] = 0;
  *data = buffer;
  if (bytes) *bytes = used;
  return EA_OK;
}

void ea_buffer_free(void *data) { ea_free(data); }

/* ---- helpers of readers ---- */

int ea_check_unpacked(const char *name, int64_t packed, int64_t unpacked) {
  const int64_t large = (int64_t)256 << 20;
  int64_t ratio = unpacked / (packed > 0 ? packed : 1);
  if (ratio <= 200 || (unpacked <= large && ratio <= 1032)) return EA_OK;
  if (unpacked < 4096) return EA_OK; /* containers' own bytes weigh more than this */
  return ea_fail(EA_ERR_FORMAT,
                 "%s claims to unpack to %lld bytes from %lld: damaged, or made to fill the memory",
                 name, (long long)unpacked, (long long)packed);
}

const char *ea_quote(const char *text) {
  static _Thread_local char buffers[4][72];
  static _Thread_local unsigned turn;
  char *out = buffers[turn++ % 4];
  size_t n = 0;
  out[n++] = '"';
  for (const char *p = text; *p; p++) {
    if (n >= 62) { /* cut between characters, not inside one */
      if (((unsigned char)*p & 0xC0) != 0x80 || n >= 65) {
        memcpy(out + n, "...", 3);
        n += 3;
        break;
      }
    }
    unsigned char c = (unsigned char)*p;
    out[n++] = (c < 32 || c == 127) ? '?' : (char)c;
  }
  out[n++] = '"';
  out[n] = 0;
  return out;
}
