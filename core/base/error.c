/* SPDX-License-Identifier: Apache-2.0
 * error.c - the sentence of a thread's last failure.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base.h"

static _Thread_local char message[1024];

const char *ea_error(void) { return message; }
const char *ea_version(void) { return EA_VERSION; }
int ea_abi(void) { return EA_ABI; }

int ea_fail(int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  return code;
}

int ea_fail_within(int code, const char *format, ...) {
  char inner[sizeof message], prefix[256];
  va_list args;
  va_start(args, format);
  vsnprintf(prefix, sizeof prefix, format, args);
  va_end(args);
  memcpy(inner, message, sizeof inner);
  snprintf(message, sizeof message, "%s: %.700s", prefix, inner);
  return code;
}
