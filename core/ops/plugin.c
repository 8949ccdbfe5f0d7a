/* SPDX-License-Identifier: GPL-3.0-or-later
 * plugin.c - ops from a shared library: see edgeai_op.h. The only user of dlopen.
 */
#include <dlfcn.h>

#include "op.h"

static int check(const char *path, const ea_plugin *p, const char *source) {
  if (!p)
    return ea_fail(EA_ERR_FORMAT,
                   "%s is no plugin: it has no ea_plugin_entry; end its C file "
                   "with EA_PLUGIN(&op, ...);",
                   path);
  if (p->abi != EA_OP_ABI || p->library_abi != EA_ABI)
    return ea_fail(EA_ERR_UNSUPPORTED,
                   "%s was built for another edgeai (op ABI %d, library ABI "
                   "%d; here they are %d and %d); build it again",
                   path, p->abi, p->library_abi, EA_OP_ABI, EA_ABI);
  if (source && p->source && *p->source && strcmp(p->source, source))
    return ea_fail(EA_ERR_FORMAT,
                   "%s was built from another version of its C file; build it "
                   "again, and start anew if it was loaded before",
                   path);
  return EA_OK;
}

int ea_plugin_load(const char *path, const char *source, int *first, int *count) {
  char *whole = strchr(path, '/') ? NULL : ea_sprintf("./%s", path); /* else dlopen would search */
  if (!whole && !strchr(path, '/')) return EA_ERR_MEMORY;
  /* All symbols now: one that is missing must not end the process later. */
  void *library = dlopen(whole ? whole : path, RTLD_NOW | RTLD_LOCAL);
  ea_free(whole);
  if (!library) return ea_fail(EA_ERR_IO, "cannot load %s", dlerror());
  const ea_plugin *p = dlsym(library, "ea_plugin_entry");
  int status = check(path, p, source), at = 0;
  if (!status) status = ea_ops_add(p->count, p->ops, &at);
  if (status) {
    dlclose(library); /* nothing of it is in use */
    return status;
  }
  *first = at;
  *count = p->count;
  return EA_OK;
}
