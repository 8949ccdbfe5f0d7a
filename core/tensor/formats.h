/* SPDX-License-Identifier: GPL-3.0-or-later
 * formats.h - what the readers of tensor files share.
 */
#ifndef EA_FORMATS_H
#define EA_FORMATS_H

#include "../base/file.h"
#include "tensor.h"

/* Element types met in files. The first six are ours, in the order of ea_dtype. */
enum ea_foreign {
  EA_FOREIGN_F32,
  EA_FOREIGN_F64,
  EA_FOREIGN_BF16,
  EA_FOREIGN_I32,
  EA_FOREIGN_U8,
  EA_FOREIGN_I8,
  EA_FOREIGN_F16,
  EA_FOREIGN_I16,
  EA_FOREIGN_U16,
  EA_FOREIGN_U32,
  EA_FOREIGN_I64,
  EA_FOREIGN_U64,
  EA_FOREIGN_BOOL
};

int ea_foreign_size(int kind);  /* bytes of one element in the file */
int ea_foreign_dtype(int kind); /* the dtype it becomes: F16 f32; wider integers i32; BOOL u8 */
/* Reads t's elements (contiguous, of the dtype above) from the source; `swap` turns byte order.
 * EA_ERR_FORMAT if an integer does not fit i32. `what` names the tensor in sentences. */
int ea_foreign_read(ea_source *s, int kind, int swap, const char *what, ea_tensor *t);

/* Bytes of ndim sizes of `element` bytes each; -1 if one is negative or the product of those that
 * are not 0 passes 2^44 (as in NumPy, an empty array cannot be huge in its other sizes). */
int64_t ea_foreign_bytes(int ndim, const int64_t *size, int element);

/* t itself (retained) if contiguous and of `dtype`, else a contiguous copy of that dtype. */
int ea_tensor_packed(const ea_tensor *t, int dtype, ea_tensor **out);
/* Refuses NULL and symbolic tensors: there is nothing to save. */
int ea_check_savable(const ea_tensor *t);

int ea_safetensors_parse(ea_source *s, ea_archive **out);
int ea_npy_parse(ea_source *s, ea_tensor **out);
int ea_npz_parse(const void *data, size_t bytes, const char *name, ea_archive **out);

/* The .npy header of t (as it would be saved) in a new buffer: for npy.c and npz.c. */
int ea_npy_header(const ea_tensor *t, char **header, size_t *bytes);

#endif
