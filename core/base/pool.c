/* SPDX-License-Identifier: Apache-2.0
 * pool.c - the thread pool. Who waits looks for some microseconds whether it goes on, as between
 * the ops of a network, and then sleeps on a condition variable: waking takes longer than many an
 * op, but a thread that spins on steals the core of one that works. Shards are taken from one
 * counter, so a slow thread does not hold up the rest. What a shard computes never depends on who
 * runs it.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "base.h"

enum { MOST_THREADS = 64 };
static const double SPIN = 25e-6; /* seconds */

static struct {
  pthread_mutex_t lock;
  pthread_cond_t work, done;
  pthread_t thread[MOST_THREADS];
  int threads; /* wanted, with the caller; workers = started */
  int started;
  _Atomic int busy;     /* workers still inside the current job */
  _Atomic uint64_t job; /* number of the current job */
  uint64_t born;        /* the job before the one that the newest workers were started for */
  _Atomic int stop;
  ea_shard_fn fn;
  void *arg;
  int64_t shards;
  _Atomic int64_t next;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .work = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER,
          .threads = 1};

static _Thread_local int thread_index;

int ea_threads(void) { return pool.threads; }
int ea_thread_index(void) { return thread_index; }

static void take_shards(ea_shard_fn fn, void *arg, int64_t shards) {
  for (;;) {
    int64_t s = atomic_fetch_add(&pool.next, 1);
    if (s >= shards || ea_interrupt_stops()) return;
    fn(arg, s);
  }
}

static void breathe(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

static void spin_while_job_is(uint64_t seen) {
  for (double end = ea_clock() + SPIN; pool.job == seen && !pool.stop && ea_clock() < end;)
    for (int i = 0; i < 16 && pool.job == seen; i++) breathe();
}

static void spin_while_busy(void) {
  for (double end = ea_clock() + SPIN; pool.busy && ea_clock() < end;)
    for (int i = 0; i < 16 && pool.busy; i++) breathe();
}

static void *worker(void *number) {
  thread_index = (int)(intptr_t)number;
  pthread_mutex_lock(&pool.lock);
  uint64_t seen = pool.born;
  for (;;) {
    pthread_mutex_unlock(&pool.lock);
    spin_while_job_is(seen);
    pthread_mutex_lock(&pool.lock);
    while (!pool.stop && pool.job == seen) pthread_cond_wait(&pool.work, &pool.lock);
    if (pool.stop) break;
    seen = pool.job;
    ea_shard_fn fn = pool.fn;
    void *arg = pool.arg;
    int64_t shards = pool.shards;
    pthread_mutex_unlock(&pool.lock);
    take_shards(fn, arg, shards);
    pthread_mutex_lock(&pool.lock);
    if (--pool.busy == 0) pthread_cond_signal(&pool.done);
  }
  pthread_mutex_unlock(&pool.lock);
  return NULL;
}

static void stop_workers(void) {
  pthread_mutex_lock(&pool.lock);
  pool.stop = 1;
  pthread_cond_broadcast(&pool.work);
  pthread_mutex_unlock(&pool.lock);
  for (int i = 1; i <= pool.started; i++) pthread_join(pool.thread[i], NULL);
  pool.started = 0;
  pool.stop = 0;
}

int ea_set_threads(int n) {
  if (n < 1 || n > MOST_THREADS)
    return ea_fail(EA_ERR_ARG, "threads: expected 1 to %d, got %d", MOST_THREADS, n);
  if (n != pool.threads) stop_workers();
  pool.threads = n;
  return EA_OK;
}

/* Workers start with the first job that can use them. A worker that cannot be started leaves its
 * shards to the others. */
static void start_workers(void) {
  pool.born = pool.job;
  while (pool.started < pool.threads - 1) {
    intptr_t number = pool.started + 1;
    if (pthread_create(&pool.thread[number], NULL, worker, (void *)number)) break;
    pool.started++;
  }
}

void ea_parallel(int64_t shards, ea_shard_fn fn, void *arg) {
  if (shards <= 0) return;
  if (pool.threads == 1 || shards == 1) {
    for (int64_t s = 0; s < shards && !ea_interrupt_stops(); s++) fn(arg, s);
    return;
  }
  if (pool.started < pool.threads - 1) start_workers();
  pthread_mutex_lock(&pool.lock);
  pool.fn = fn;
  pool.arg = arg;
  pool.shards = shards;
  pool.next = 0;
  pool.busy = pool.started;
  pool.job++;
  pthread_cond_broadcast(&pool.work);
  pthread_mutex_unlock(&pool.lock);
  take_shards(fn, arg, shards);
  spin_while_busy();
  pthread_mutex_lock(&pool.lock);
  while (pool.busy) pthread_cond_wait(&pool.done, &pool.lock);
  pthread_mutex_unlock(&pool.lock);
}
