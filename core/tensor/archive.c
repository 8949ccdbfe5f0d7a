/* SPDX-License-Identifier: GPL-3.0-or-later
 * archive.c - named tensors and string metadata in order, found by name through a hash table.
 */
#include "../base/text.h"
#include "formats.h"

typedef struct entry {
  char *name;
  ea_tensor *tensor; /* of an entry of `tensors` */
  char *value;       /* of an entry of `meta` */
} entry;

typedef struct table {
  entry *entries;
  int32_t *slots; /* position + 1 of an entry, 0 where free; open addressing, at most half full */
  int count, room;
} table;

struct ea_archive {
  table tensors, meta;
};

static uint64_t hash_of(const char *s) {
  uint64_t h = 1469598103934665603u;
  for (; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
  return h ^ h >> 29;
}

/* The slot that holds the name, or the free one where it belongs. room > 0. */
static int32_t *slot_of(const table *t, const char *name) {
  uint64_t mask = (uint64_t)t->room * 2 - 1, at = hash_of(name) & mask;
  while (t->slots[at] && strcmp(t->entries[t->slots[at] - 1].name, name) != 0) at = (at + 1) & mask;
  return &t->slots[at];
}

static int find(const table *t, const char *name) { return t->room ? *slot_of(t, name) - 1 : -1; }

static int grow(table *t) {
  if (t->count < t->room) return EA_OK;
  if (t->room >= 1 << 26) return ea_fail(EA_ERR_MEMORY, "an archive holds at most 2^26 entries");
  table wider = {.count = t->count, .room = t->room ? t->room * 2 : 16};
  wider.entries = ea_alloc_zero((size_t)wider.room * sizeof *wider.entries);
  wider.slots = ea_alloc_zero((size_t)wider.room * 2 * sizeof *wider.slots);
  if (!wider.entries || !wider.slots) {
    ea_free(wider.entries);
    ea_free(wider.slots);
    return EA_ERR_MEMORY;
  }
  for (int i = 0; i < t->count; i++) {
    wider.entries[i] = t->entries[i];
    *slot_of(&wider, t->entries[i].name) = i + 1;
  }
  ea_free(t->entries);
  ea_free(t->slots);
  *t = wider;
  return EA_OK;
}

/* Appends an entry of that name (which is not there yet) and hands it out. */
static int append(table *t, const char *name, entry **out) {
  EA_TRY(grow(t));
  char *copy = ea_strdup(name);
  if (!copy) return EA_ERR_MEMORY;
  *slot_of(t, copy) = t->count + 1;
  *out = &t->entries[t->count++];
  (*out)->name = copy;
  return EA_OK;
}

static void table_free(table *t) {
  for (int i = 0; i < t->count; i++) {
    ea_free(t->entries[i].name);
    ea_free(t->entries[i].value);
    ea_tensor_release(t->entries[i].tensor);
  }
  ea_free(t->entries);
  ea_free(t->slots);
}

int ea_archive_new(ea_archive **out) {
  ea_archive *a = ea_alloc_zero(sizeof *a);
  if (!a) return EA_ERR_MEMORY;
  *out = a;
  return EA_OK;
}

void ea_archive_free(ea_archive *a) {
  if (!a) return;
  table_free(&a->tensors);
  table_free(&a->meta);
  ea_free(a);
}

int ea_archive_find(const ea_archive *a, const char *name) {
  return a && name ? find(&a->tensors, name) : -1;
}

const char *ea_archive_meta(const ea_archive *a, const char *key) {
  int i = a && key ? find(&a->meta, key) : -1;
  return i < 0 ? NULL : a->meta.entries[i].value;
}

int ea_archive_add(ea_archive *a, const char *name, ea_tensor *t) {
  if (!a || !name) return ea_fail(EA_ERR_ARG, "an archive and a name were expected, got NULL");
  EA_TRY(ea_check_savable(t));
  if (!ea_is_utf8(name))
    return ea_fail(EA_ERR_ARG, "the tensor name %s is not UTF-8 text", ea_quote(name));
  if (strcmp(name, "__metadata__") == 0)
    return ea_fail(EA_ERR_ARG, "a tensor cannot be called __metadata__, safetensors' own name");
  if (find(&a->tensors, name) >= 0)
    return ea_fail(EA_ERR_ARG, "there is a tensor called %s already; names must differ",
                   ea_quote(name));
  entry *e;
  EA_TRY(append(&a->tensors, name, &e));
  e->tensor = ea_tensor_retain(t);
  return EA_OK;
}

int ea_archive_set_meta(ea_archive *a, const char *key, const char *value) {
  if (!a || !key || !value)
    return ea_fail(EA_ERR_ARG, "an archive, a key and a text were expected, got NULL");
  if (!ea_is_utf8(key) || !ea_is_utf8(value))
    return ea_fail(EA_ERR_ARG, "the metadata %s is not UTF-8 text", ea_quote(key));
  char *copy = ea_strdup(value);
  if (!copy) return EA_ERR_MEMORY;
  int at = find(&a->meta, key);
  entry *e = at >= 0 ? &a->meta.entries[at] : NULL;
  int status = e ? EA_OK : append(&a->meta, key, &e);
  if (status != EA_OK) {
    ea_free(copy);
    return status;
  }
  ea_free(e->value);
  e->value = copy;
  return EA_OK;
}

static const entry *at(const table *t, int i) {
  static const entry none;
  return i >= 0 && i < t->count ? &t->entries[i] : &none;
}

int ea_archive_count(const ea_archive *a) { return a ? a->tensors.count : 0; }
const char *ea_archive_name(const ea_archive *a, int i) {
  return a ? at(&a->tensors, i)->name : NULL;
}
ea_tensor *ea_archive_tensor(const ea_archive *a, int i) {
  return a ? at(&a->tensors, i)->tensor : NULL;
}
int ea_archive_meta_count(const ea_archive *a) { return a ? a->meta.count : 0; }
const char *ea_archive_meta_key(const ea_archive *a, int i) {
  return a ? at(&a->meta, i)->name : NULL;
}
const char *ea_archive_meta_value(const ea_archive *a, int i) {
  return a ? at(&a->meta, i)->value : NULL;
}
