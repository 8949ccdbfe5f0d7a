/* SPDX-License-Identifier: Apache-2.0
 * text.c - a text that grows, and JSON strings into it.
 */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "file.h"

void ea_text_add(ea_text *t, const char *bytes, size_t n) {
  if (t->status != EA_OK) return;
  if (t->bytes + n + 1 > t->room) {
    size_t room = (t->bytes + n + 1) * 2;
    char *wider = ea_alloc(room);
    if (!wider) {
      t->status = EA_ERR_MEMORY;
      return;
    }
    if (t->bytes) memcpy(wider, t->data, t->bytes);
    ea_free(t->data);
    t->data = wider;
    t->room = room;
  }
  if (n) memcpy(t->data + t->bytes, bytes, n);
  t->bytes += n;
  t->data[t->bytes] = 0;
}

void ea_text_format(ea_text *t, const char *format, ...) {
  char line[512];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(line, sizeof line, format, args);
  va_end(args);
  if (n < 0 || n >= (int)sizeof line) {
    if (t->status == EA_OK) t->status = ea_fail(EA_ERR_ARG, "a formatted text is too long");
    return;
  }
  ea_text_add(t, line, (size_t)n);
}

/* Bytes of the UTF-8 character at p; 0 if there is none. */
static int utf8_length(const unsigned char *p) {
  if (p[0] < 0x80) return 1;
  int n = p[0] >= 0xC2 && p[0] < 0xE0   ? 2
          : p[0] >= 0xE0 && p[0] < 0xF0 ? 3
          : p[0] >= 0xF0 && p[0] < 0xF5 ? 4
                                        : 0;
  for (int i = 1; i < n; i++)
    if ((p[i] & 0xC0) != 0x80) return 0;
  if (p[0] == 0xE0 && p[1] < 0xA0) return 0; /* overlong */
  if (p[0] == 0xED && p[1] > 0x9F) return 0; /* surrogates */
  if (p[0] == 0xF0 && p[1] < 0x90) return 0;
  if (p[0] == 0xF4 && p[1] > 0x8F) return 0; /* beyond U+10FFFF */
  return n;
}

int ea_is_utf8(const char *string) {
  const unsigned char *p = (const unsigned char *)string;
  while (*p) {
    int n = utf8_length(p);
    if (!n) return 0;
    p += n;
  }
  return 1;
}

void ea_text_json(ea_text *t, const char *string) {
  if (t->status != EA_OK) return;
  if (!ea_is_utf8(string)) {
    t->status =
        ea_fail(EA_ERR_ARG, "%s is not UTF-8 text and cannot be stored as JSON", ea_quote(string));
    return;
  }
  ea_text_add(t, "\"", 1);
  for (const char *p = string; *p; p++) {
    unsigned char c = (unsigned char)*p;
    if (c == '"' || c == '\\') {
      ea_text_add(t, "\\", 1);
      ea_text_add(t, p, 1);
    } else if (c < 32) {
      ea_text_format(t, "\\u%04x", c);
    } else {
      ea_text_add(t, p, 1);
    }
  }
  ea_text_add(t, "\"", 1);
}

void ea_text_free(ea_text *t) {
  ea_free(t->data);
  memset(t, 0, sizeof *t);
}
