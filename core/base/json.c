/* SPDX-License-Identifier: Apache-2.0
 * json.c - JSON from outside, parsed by jansson (its only user) into an array-like tree.
 *
 * Everything of one document, jansson's objects included, lives in one arena with a budget: a text
 * made of "[[],[],..." costs 40 times its size, and must not take the machine's memory.
 */
#include <jansson.h>
#include <pthread.h>
#include <string.h>

#include "file.h"

enum { MAX_DEPTH = 256, CHUNK = 1 << 16 };
static const size_t BUDGET = (size_t)192 << 20;

typedef struct chunk {
  struct chunk *next;
  size_t used, room;
  max_align_t data[];
} chunk;

typedef struct arena {
  chunk *first;
  size_t total;
  int status; /* why an allocation failed */
} arena;

struct ea_json {
  int type;
  int64_t count;
  double number;
  const char *string;
  size_t bytes;
  ea_json *items;
  const char **keys;
};

typedef struct document {
  ea_json root; /* first: the caller's handle is its address */
  arena memory;
} document;

/* ---- arena ---- */

static void *arena_alloc(arena *a, size_t bytes) {
  bytes = (bytes + 15) & ~(size_t)15;
  chunk *c = a->first;
  if (!c || c->room - c->used < bytes) {
    size_t room = EA_MAX(bytes, (size_t)CHUNK);
    if (room > BUDGET || a->total + room > BUDGET) {
      a->status =
          ea_fail(EA_ERR_FORMAT, "JSON text needs more than %zu MiB when read", BUDGET >> 20);
      return NULL;
    }
    c = ea_alloc(sizeof *c + room);
    if (!c) {
      a->status = EA_ERR_MEMORY;
      return NULL;
    }
    c->room = room;
    c->used = 0;
    c->next = a->first;
    a->first = c;
    a->total += room;
  }
  void *p = (char *)c->data + c->used;
  c->used += bytes;
  return p;
}

static void arena_free(arena *a) {
  for (chunk *c = a->first, *next; c; c = next) {
    next = c->next;
    ea_free(c);
  }
}

/* jansson has one allocator for the whole process: ours is in place only while parsing. */
static pthread_mutex_t jansson_lock = PTHREAD_MUTEX_INITIALIZER;
static arena *jansson_arena;
static void *jansson_malloc(size_t bytes) { return arena_alloc(jansson_arena, bytes); }
static void jansson_free(void *p) { (void)p; }

static json_t *parse(arena *a, const char *text, size_t bytes, json_error_t *error) {
  json_malloc_t old_malloc;
  json_free_t old_free;
  pthread_mutex_lock(&jansson_lock);
  json_get_alloc_funcs(&old_malloc, &old_free);
  jansson_arena = a;
  json_set_alloc_funcs(jansson_malloc, jansson_free);
  json_t *v = json_loadb(
      text, bytes,
      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, error);
  json_set_alloc_funcs(old_malloc, old_free);
  jansson_arena = NULL;
  pthread_mutex_unlock(&jansson_lock);
  return v;
}

/* ---- tree ---- */

static int convert(arena *a, const json_t *from, ea_json *to, int depth);

static int convert_items(arena *a, const json_t *from, ea_json *to, int depth) {
  int object = json_is_object(from);
  size_t n = object ? json_object_size(from) : json_array_size(from);
  to->type = object ? 5 : 4;
  to->count = (int64_t)n;
  if (depth >= MAX_DEPTH)
    return ea_fail(EA_ERR_FORMAT, "JSON text is nested more than %d deep", MAX_DEPTH);
  if (n == 0) return EA_OK;
  to->items = arena_alloc(a, n * sizeof *to->items);
  if (!to->items) return a->status;
  if (!object) {
    for (size_t i = 0; i < n; i++)
      EA_TRY(convert(a, json_array_get(from, i), &to->items[i], depth + 1));
    return EA_OK;
  }
  to->keys = arena_alloc(a, n * sizeof *to->keys);
  if (!to->keys) return a->status;
  void *it = json_object_iter((json_t *)from);
  for (size_t i = 0; it; i++, it = json_object_iter_next((json_t *)from, it)) {
    to->keys[i] = json_object_iter_key(it);
    EA_TRY(convert(a, json_object_iter_value(it), &to->items[i], depth + 1));
  }
  return EA_OK;
}

static int convert(arena *a, const json_t *from, ea_json *to, int depth) {
  memset(to, 0, sizeof *to);
  switch (json_typeof(from)) {
    case JSON_NULL: to->type = 0; break;
    case JSON_TRUE: to->number = 1; /* fall through */
    case JSON_FALSE: to->type = 1; break;
    case JSON_INTEGER:
    case JSON_REAL:
      to->type = 2;
      to->number = json_number_value(from);
      break;
    case JSON_STRING:
      to->type = 3;
      to->string = json_string_value(from);
      to->bytes = json_string_length(from);
      break;
    default: return convert_items(a, from, to, depth);
  }
  return EA_OK;
}

/* The parser's complaint may quote the text, control characters and all. */
static int complain(json_error_t *error) {
  for (char *p = error->text; *p; p++)
    if ((unsigned char)*p < 32 || *p == 127) *p = '?';
  return ea_fail(EA_ERR_FORMAT, "not valid JSON: line %d, column %d: %s", error->line,
                 error->column, error->text);
}

int ea_json_parse(const char *text, size_t bytes, ea_json **out) {
  if (!text && bytes) return ea_fail(EA_ERR_ARG, "no JSON text to read: it is NULL");
  document *d = ea_alloc_zero(sizeof *d);
  if (!d) return EA_ERR_MEMORY;
  json_error_t error;
  json_t *v = parse(&d->memory, text ? text : "", bytes, &error);
  int status = d->memory.status;
  if (status == EA_OK) status = v ? convert(&d->memory, v, &d->root, 0) : complain(&error);
  if (status != EA_OK) {
    ea_json_free(&d->root);
    return status;
  }
  *out = &d->root;
  return EA_OK;
}

void ea_json_free(ea_json *root) {
  document *d = (document *)root;
  if (!d) return;
  arena_free(&d->memory);
  ea_free(d);
}

int ea_json_type(const ea_json *v) { return v ? v->type : 0; }
int64_t ea_json_count(const ea_json *v) { return v ? v->count : 0; }

const ea_json *ea_json_item(const ea_json *v, int64_t i) {
  return v && i >= 0 && i < v->count ? &v->items[i] : NULL;
}

const char *ea_json_key(const ea_json *v, int64_t i) {
  return v && v->keys && i >= 0 && i < v->count ? v->keys[i] : NULL;
}

double ea_json_number(const ea_json *v) { return v ? v->number : 0; }

const char *ea_json_string(const ea_json *v, size_t *bytes) {
  if (bytes) *bytes = v ? v->bytes : 0;
  return v ? v->string : NULL;
}
