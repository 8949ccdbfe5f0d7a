/* SPDX-License-Identifier: Apache-2.0
 * process.c - interrupts, the clock, the terminal, and what the core was compiled for.
 */
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base.h"

static volatile sig_atomic_t pending, deferred, in_op;

static void on_signal(int number) {
  if (pending == SIGINT && number == SIGINT) _exit(128 + SIGINT);
  pending = number;
}

int ea_signal_install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGINT, &action, NULL) || sigaction(SIGTERM, &action, NULL))
    return ea_fail(EA_ERR_IO, "cannot install the signal handlers");
  signal(SIGXFSZ, SIG_IGN); /* a write beyond `ulimit -f` is an error, not the end */
  return EA_OK;
}

int ea_interrupt_pending(void) { return pending; }
void ea_interrupt_clear(void) { pending = 0; }
void ea_interrupt_raise(int signum) { pending = signum; }
void ea_interrupt_defer(int on) { deferred = on; }

int ea_interrupt_stops(void) { return in_op && pending && !deferred; }

void ea_interrupt_watch(int on) { in_op = on; }

int ea_interrupt_check(void) {
  if (!pending || deferred) return EA_OK;
  return ea_fail(EA_ERR_INTERRUPTED, "interrupted");
}

double ea_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int ea_isatty(int fd) { return isatty(fd); }

int ea_terminal_width(void) {
  struct winsize w;
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) || w.ws_col == 0) return 80;
  return w.ws_col;
}

const char *ea_cpu_built_for(void) {
#if defined __AVX512BF16__
  return "avx512_bf16";
#elif defined __AVX512F__
  return "avx512f";
#elif defined __AVX2__
  return "avx2";
#elif defined __SSE2__
  return "sse2";
#elif defined __ARM_NEON
  return "asimd";
#else
  return "";
#endif
}
