/* SPDX-License-Identifier: Apache-2.0
 * base.h - what every part of the core stands on: errors, counted memory, the thread pool.
 */
#ifndef EA_BASE_H
#define EA_BASE_H

#include "../edgeai.h"

/* Records the sentence of a failure for this thread and returns `code`. */
int ea_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts "prefix: " before the recorded sentence and returns `code`. */
int ea_fail_within(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* All memory of the core: counted, 64-byte aligned, failable. ea_alloc sets the error itself. */
void *ea_alloc(size_t bytes);
void *ea_alloc_zero(size_t bytes);
void ea_free(void *p); /* NULL is allowed */
/* EA_OK if the process could get this much more memory now; else EA_ERR_MEMORY. For asking before a
 * call into a library that crashes or waits for ever where it gets none. */
int ea_memory_room(size_t bytes, const char *whose);
char *ea_strdup(const char *s);
char *ea_sprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Runs fn(arg, shard) for shard 0..shards-1 on up to ea_threads() threads and returns when all are
 * done. Which thread runs a shard is free; so fn's results must depend on the shard alone. fn must
 * not fail and not call ea_parallel. Shards may be left out: see ea_interrupt_watch. */
typedef void (*ea_shard_fn)(void *arg, int64_t shard);
void ea_parallel(int64_t shards, ea_shard_fn fn, void *arg);
/* Number of this thread in the pool, 0..ea_threads()-1: for picking per-thread scratch. */
int ea_thread_index(void);

/* EA_OK, or EA_ERR_INTERRUPTED (with its sentence) if an interrupt is pending and not deferred. */
int ea_interrupt_check(void);
/* Between watch(1) and watch(0) runs an op whose results nobody sees if ea_interrupt_check fails
 * behind it: once an interrupt is pending, ea_parallel leaves out the shards that are left, and
 * whoever asks ea_interrupt_stops (1) may end early. */
void ea_interrupt_watch(int on);
int ea_interrupt_stops(void);

#define EA_TRY(call)                       \
  do {                                     \
    int ea_status_ = (call);               \
    if (ea_status_ < 0) return ea_status_; \
  } while (0)

#define EA_MIN(a, b) ((a) < (b) ? (a) : (b))
#define EA_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
