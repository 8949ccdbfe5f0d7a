/* SPDX-License-Identifier: GPL-3.0-or-later
 * formats.h - the readers of data sets, from any source.
 */
#ifndef EA_DATA_FORMATS_H
#define EA_DATA_FORMATS_H

#include "../base/file.h"

int ea_idx_parse(ea_source *s, ea_tensor **out);
int ea_cifar_parse(ea_source *s, int label_bytes, ea_tensor **images, ea_tensor **labels);

#endif
