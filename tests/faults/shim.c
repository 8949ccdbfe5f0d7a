/* SPDX-License-Identifier: GPL-3.0-or-later
 * shim.c - for LD_PRELOAD: a disk that fails. Of the calls that change files below $FAULT_DIR (or
 * below a relative path), the $FAULT_AT-th and all later ones fail with errno $FAULT_ERRNO; with
 * errno 0 only that one, and if it writes it writes half. When that happens, $FAULT_LOG is made.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static long count;

static int under(const char *path) {
  const char *dir = getenv("FAULT_DIR");
  return dir && path && (path[0] != '/' || strncmp(path, dir, strlen(dir)) == 0);
}

static int open_under(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n <= 0) return 0;
  path[n] = 0;
  return path[0] == '/' && under(path);
}

/* 0: go on; 1: errno is set, fail; 2: write half. */
static int fault(void) {
  const char *at = getenv("FAULT_AT"), *error = getenv("FAULT_ERRNO"), *log = getenv("FAULT_LOG");
  if (!at || !error || ++count < atol(at)) return 0;
  if (atoi(error) == 0 && count > atol(at)) return 0;
  if (log) {
    int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT, 0666);
    if (fd >= 0) syscall(SYS_close, fd);
  }
  if (atoi(error) == 0) return 2;
  errno = atoi(error);
  return 1;
}

#define REAL(result, name, ...)       \
  static result (*real)(__VA_ARGS__); \
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, name)

static int opened(const char *name, const char *path, int flags, mode_t mode) {
  int (*real)(const char *, int, ...);
  *(void **)&real = dlsym(RTLD_NEXT, name);
  if ((flags & O_ACCMODE) != O_RDONLY && under(path) && fault() == 1) return -1;
  return real(path, flags, mode);
}

#define OPEN(name)                                                 \
  int name(const char *path, int flags, ...) {                     \
    va_list rest;                                                  \
    va_start(rest, flags);                                         \
    mode_t mode = flags & O_CREAT ? (mode_t)va_arg(rest, int) : 0; \
    va_end(rest);                                                  \
    return opened(#name, path, flags, mode);                       \
  }
OPEN(open)
OPEN(open64)

#define PWRITE(name)                                                                      \
  ssize_t name(int fd, const void *data, size_t bytes, off_t at) {                        \
    REAL(ssize_t, #name, int, const void *, size_t, off_t);                               \
    int how = open_under(fd) ? fault() : 0;                                               \
    return how == 1 ? -1 : real(fd, data, how == 2 && bytes > 1 ? bytes / 2 : bytes, at); \
  }
PWRITE(pwrite)
PWRITE(pwrite64)

ssize_t write(int fd, const void *data, size_t bytes) {
  REAL(ssize_t, "write", int, const void *, size_t);
  int how = open_under(fd) ? fault() : 0;
  return how == 1 ? -1 : real(fd, data, how == 2 && bytes > 1 ? bytes / 2 : bytes);
}

int fsync(int fd) {
  REAL(int, "fsync", int);
  return open_under(fd) && fault() == 1 ? -1 : real(fd);
}

int rename(const char *from, const char *to) {
  REAL(int, "rename", const char *, const char *);
  return under(to) && fault() == 1 ? -1 : real(from, to);
}

int mkdir(const char *path, mode_t mode) {
  REAL(int, "mkdir", const char *, mode_t);
  return under(path) && fault() == 1 ? -1 : real(path, mode);
}

#define FOPEN(name)                                                                 \
  FILE *name(const char *path, const char *mode) {                                  \
    REAL(FILE *, #name, const char *, const char *);                                \
    return mode[0] != 'r' && under(path) && fault() == 1 ? NULL : real(path, mode); \
  }
FOPEN(fopen)
FOPEN(fopen64)

size_t fwrite(const void *data, size_t size, size_t n, FILE *file) {
  REAL(size_t, "fwrite", const void *, size_t, size_t, FILE *);
  return open_under(fileno(file)) && fault() == 1 ? 0 : real(data, size, n, file);
}

int fflush(FILE *file) {
  REAL(int, "fflush", FILE *);
  return file && open_under(fileno(file)) && fault() == 1 ? EOF : real(file);
}
