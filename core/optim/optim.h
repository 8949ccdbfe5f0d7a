/* SPDX-License-Identifier: GPL-3.0-or-later
 * optim.h - what the optimisers share: the check of their flat buffers.
 */
#ifndef EA_OPTIM_H
#define EA_OPTIM_H

#include "../ops/op.h"

/* EA_OK if t is a contiguous `dtype` tensor with memory and `count` elements (count < 0: any).
 * `where` and `what` name the function and the argument in the sentence. */
int ea_optim_check(const char *where, const char *what, const ea_tensor *t, int dtype,
                   int64_t count);
/* EA_OK if low <= value < high; NaN fails. */
int ea_optim_check_range(const char *where, const char *what, double value, double low,
                         double high);

#endif
