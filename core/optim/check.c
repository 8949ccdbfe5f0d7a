/* SPDX-License-Identifier: GPL-3.0-or-later
 * check.c - an optimiser's arguments, looked at before anything is written.
 */
#include "optim.h"

int ea_optim_check(const char *where, const char *what, const ea_tensor *t, int dtype,
                   int64_t count) {
  if (!t) return ea_fail(EA_ERR_ARG, "%s: %s is missing", where, what);
  if (t->dtype != dtype)
    return ea_fail(EA_ERR_DTYPE, "%s: %s must be %s, but is %s; convert it first", where, what,
                   ea_dtype_name(dtype), ea_dtype_name(t->dtype));
  if (!t->storage)
    return ea_fail(EA_ERR_ARG,
                   "%s: %s is symbolic (a graph is being captured); optimise after "
                   "the capture",
                   where, what);
  if (!ea_tensor_contiguous(t))
    return ea_fail(EA_ERR_SHAPE, "%s: %s must be contiguous; clone it first", where, what);
  if (count >= 0 && ea_tensor_count(t) != count)
    return ea_fail(EA_ERR_SHAPE,
                   "%s: %s must have %lld elements like the parameters, but has "
                   "%lld",
                   where, what, (long long)count, (long long)ea_tensor_count(t));
  return EA_OK;
}

int ea_optim_check_range(const char *where, const char *what, double value, double low,
                         double high) {
  if (value >= low && value < high) return EA_OK;
  return ea_fail(EA_ERR_ARG, "%s: %s must be in [%g, %g), but is %g", where, what, low, high,
                 value);
}
