/* SPDX-License-Identifier: GPL-3.0-or-later
 * embedded.h - the Lua files inside the binary; the array is written by embed.lua at build time.
 */
#ifndef EA_CLI_EMBEDDED_H
#define EA_CLI_EMBEDDED_H

#include <stddef.h>

typedef struct ea_embedded_file {
  const char *path; /* "edgeai/nn/conv2d.lua" */
  const char *text;
  size_t bytes;
} ea_embedded_file;

extern const ea_embedded_file ea_embedded_files[]; /* sorted by path */
extern const size_t ea_embedded_count;

#endif
