/* SPDX-License-Identifier: Apache-2.0
 * text.h - a text that grows.
 */
#ifndef EA_TEXT_H
#define EA_TEXT_H

#include "base.h"

typedef struct ea_text {
  char *data; /* NUL-terminated once anything was added */
  size_t bytes, room;
  int status; /* the first failure; later additions do nothing */
} ea_text;

/* Start from a zeroed struct; give back with ea_text_free. Look at `status` once, at the end. */
void ea_text_add(ea_text *t, const char *bytes, size_t n);
void ea_text_format(ea_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* As a JSON string, quoted and escaped. Text that is not UTF-8 is an EA_ERR_ARG. */
void ea_text_json(ea_text *t, const char *string);
void ea_text_free(ea_text *t);
/* 1 if the string is well-formed UTF-8 (no surrogates, no overlong forms). */
int ea_is_utf8(const char *string);

#endif
