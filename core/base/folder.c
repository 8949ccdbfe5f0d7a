/* SPDX-License-Identifier: Apache-2.0
 * folder.c - what is at a path and whose it is, making folders, listing them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base.h"

int ea_file_exists(const char *path) {
  struct stat st;
  if (!path || stat(path, &st) != 0) return 0;
  return S_ISDIR(st.st_mode) ? 2 : 1;
}

int ea_real_path(const char *path, char **out) {
  if (!path) return ea_fail(EA_ERR_ARG, "a path to follow must be given");
  char *real = realpath(path, NULL);
  if (!real) return ea_fail(EA_ERR_IO, "cannot find %s: %s", path, strerror(errno));
  char *copy = ea_strdup(real);
  free(real);
  if (!copy) return EA_ERR_MEMORY;
  *out = copy;
  return EA_OK;
}

int ea_file_foreign(const char *path) {
  struct stat st;
  if (!path) return ea_fail(EA_ERR_ARG, "a path to look at must be given");
  if (stat(path, &st) != 0) return ea_fail(EA_ERR_IO, "cannot find %s: %s", path, strerror(errno));
  if (st.st_mode & S_IWOTH) return 2;
  return geteuid() != 0 && st.st_uid != 0 && st.st_uid != geteuid();
}

int ea_make_folder(const char *path) {
  if (!path || !*path) return ea_fail(EA_ERR_ARG, "a folder to make needs a path");
  char *part = ea_strdup(path);
  if (!part) return EA_ERR_MEMORY;
  int status = EA_OK;
  for (char *p = part + 1; status == EA_OK; p++) {
    if (*p != '/' && *p != 0) continue;
    char end = *p;
    *p = 0;
    if (mkdir(part, 0777) != 0) {
      int error = errno, there = ea_file_exists(part);
      if (there == 1)
        status = ea_fail(EA_ERR_IO, "cannot make folder %s: %s is a file", path, part);
      else if (there == 0)
        status = ea_fail(EA_ERR_IO, "cannot make folder %s: %s", part, strerror(error));
    }
    *p = end;
    if (!end) break;
  }
  ea_free(part);
  return status;
}

static int not_dots(const struct dirent *e) {
  /* A name with a line break cannot be told from two names. */
  return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !strchr(e->d_name, '\n');
}

static int bytewise(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_folder(const char *path, const struct dirent *e) {
  if (e->d_type == DT_DIR) return 1;
  if (e->d_type != DT_UNKNOWN && e->d_type != DT_LNK) return 0;
  char *full = ea_sprintf("%s/%s", path, e->d_name);
  int folder = full && ea_file_exists(full) == 2;
  ea_free(full);
  return folder;
}

int ea_list_folder(const char *path, char **names) {
  if (!path || !*path) return ea_fail(EA_ERR_ARG, "a folder to list needs a path");
  struct dirent **entry = NULL;
  int n = scandir(path, &entry, not_dots, bytewise);
  if (n < 0) return ea_fail(EA_ERR_IO, "cannot list folder %s: %s", path, strerror(errno));
  size_t bytes = 1;
  for (int i = 0; i < n; i++) bytes += strlen(entry[i]->d_name) + 2;
  char *all = ea_alloc(bytes), *p = all;
  for (int i = 0; i < n; i++) {
    if (all) {
      if (i > 0) *p++ = '\n';
      p = stpcpy(p, entry[i]->d_name);
      if (is_folder(path, entry[i])) *p++ = '/';
    }
    free(entry[i]);
  }
  free(entry);
  if (!all) return EA_ERR_MEMORY;
  *p = 0;
  *names = all;
  return EA_OK;
}
