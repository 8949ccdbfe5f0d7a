/* SPDX-License-Identifier: GPL-3.0-or-later
 * amx.c - see amx.h. Linux lets a process use the tiles once it has asked: a thread that does keeps
 * 8 kB more on its stack of saved registers.
 */
#include "amx.h"

#if defined __x86_64__ && defined __linux__

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* arch_prctl's */

static int ask(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  unsigned tile = 1u << 24, bf16 = 1u << 22, f = 1u << 16, bw = 1u << 30, vl = 1u << 31;
  if ((d & (tile | bf16)) != (tile | bf16) || (b & (f | bw | vl)) != (f | bw | vl)) return 0;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a >> 5 & 1)) return 0; /* avx512_bf16 */
  return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

int ea_amx(void) {
  static int known = -1; /* only the thread that starts kernels asks */
  if (known < 0) known = ask();
  return known;
}

#else

int ea_amx(void) { return 0; }

#endif
