/* SPDX-License-Identifier: GPL-3.0-or-later
 * fuzz_json.c - libFuzzer target: the JSON reader, walking through all that it made.
 */
#include "fuzz.h"

static void walk(const ea_json *v, int depth) {
  size_t bytes;
  if (depth > 256) abort();
  const char *text = ea_json_string(v, &bytes);
  if ((ea_json_type(v) == 3) != (text != NULL) || (text && text[bytes] != 0)) abort();
  for (int64_t i = 0; i < ea_json_count(v); i++) {
    if ((ea_json_type(v) == 5) != (ea_json_key(v, i) != NULL)) abort();
    walk(ea_json_item(v, i), depth + 1);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  ea_json *v = NULL;
  int status = ea_json_parse((const char *)data, bytes, &v);
  if (status == EA_OK) walk(v, 0);
  ea_json_free(v);
  return finish_run(status);
}
