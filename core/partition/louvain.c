/* SPDX-License-Identifier: GPL-3.0-or-later
 * louvain.c - communities and layouts of weighted networks; the only user of igraph.
 *
 * igraph 0.10 keeps its random generator, its handlers and its clean-up stack in globals and aborts
 * on errors by default. So every call goes through guarded(): one at a time, with handlers that
 * record instead of aborting.
 *
 * Its Louvain search can run for ever (igraph issue 2650, mended after 0.10.2): community sums are
 * kept by adding and subtracting, so rounding makes the modularity seem to grow on every pass.
 * Given whole numbers all sums are exact, the modularity is a function of the partition, and as
 * each pass must raise it, the search ends: so weights are rounded to whole multiples of 2^-30 (or
 * so) of the largest. In case that is not the only way to loop, a watch that igraph polls once per
 * pass stops a search after MOST_PASSES passes (the same on every machine) or at the deadline.
 *
 * Blondel et al., "Fast unfolding of communities in large networks", 2008.
 * Traag, Waltman, van Eck, "From Louvain to Leiden", 2019.
 */
#include <igraph/igraph.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>

#include "network.h"

enum {
  MOST_PASSES = 1000, /* real searches take tens */
  MOST_OVERRUNS = 3   /* seeds that may overrun before the search settles for what it has */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct watch {
  double until; /* ea_clock() */
  int64_t passes, most_passes;
  int overrun;     /* stopped by passes or deadline */
  int interrupted; /* stopped by the user */
  int broken;      /* igraph hit an internal failure once: its globals are not to be trusted */
  char reason[256];
  jmp_buf fatal;
} watch;

static void on_error(const char *reason, const char *file, int line, igraph_error_t code) {
  (void)file, (void)line;
  if (code != IGRAPH_INTERRUPTED && reason && reason[0] && !watch.reason[0])
    snprintf(watch.reason, sizeof watch.reason, "%s", reason);
  IGRAPH_FINALLY_FREE();
}

static void on_warning(const char *reason, const char *file, int line) {
  (void)reason, (void)file, (void)line;
}

/* igraph demands that this does not return. What it held is lost, not the process. */
static void on_fatal(const char *reason, const char *file, int line) {
  snprintf(watch.reason, sizeof watch.reason, "%s (%s:%d)", reason, file, line);
  watch.broken = 1;
  longjmp(watch.fatal, 1);
}

static igraph_error_t on_poll(void *data) {
  (void)data;
  if (ea_interrupt_pending() && ea_interrupt_check() < 0) watch.interrupted = 1;
  else if (++watch.passes > watch.most_passes || ea_clock() > watch.until) watch.overrun = 1;
  if (!watch.overrun && !watch.interrupted) return IGRAPH_SUCCESS;
  /* Now, while the frames live that own what is on the clean-up stack: igraph returns from them
   * without cleaning up, and on_error would find dangling entries. */
  IGRAPH_FINALLY_FREE();
  return IGRAPH_INTERRUPTED;
}

typedef igraph_error_t (*body_fn)(void *arg);

static int outcome(const char *who, igraph_error_t code) {
  if (watch.broken)
    return ea_fail(EA_ERR_UNSUPPORTED,
                   "%s: igraph failed an internal check (%s); start a new process", who,
                   watch.reason);
  if (code == IGRAPH_SUCCESS) return EA_OK;
  if (watch.interrupted) return EA_ERR_INTERRUPTED; /* ea_interrupt_check left its sentence */
  if (watch.overrun)
    return ea_fail(EA_ERR_INTERRUPTED,
                   "%s: the search did not end in time; raise the deadline or "
                   "try another seed",
                   who);
  if (code == IGRAPH_ENOMEM) return ea_fail(EA_ERR_MEMORY, "%s: igraph found no memory", who);
  return ea_fail(EA_ERR_UNSUPPORTED, "%s: igraph refused: %s", who,
                 watch.reason[0] ? watch.reason : igraph_strerror(code));
}

/* Runs body(arg) inside igraph's guard rails. `seed` starts its generator. */
static int guarded(const char *who, uint64_t seed, double deadline, int64_t most_passes,
                   body_fn body, void *arg) {
  pthread_mutex_lock(&lock);
  igraph_error_handler_t *old_error = igraph_set_error_handler(on_error);
  igraph_warning_handler_t *old_warning = igraph_set_warning_handler(on_warning);
  igraph_fatal_handler_t *old_fatal = igraph_set_fatal_handler(on_fatal);
  igraph_interruption_handler_t *old_poll = igraph_set_interruption_handler(on_poll);
  watch.until = ea_clock() + deadline;
  watch.passes = 0;
  watch.most_passes = most_passes;
  watch.overrun = watch.interrupted = 0;
  if (!watch.broken) watch.reason[0] = 0;
  volatile igraph_error_t code = IGRAPH_FAILURE;
  if (!watch.broken && setjmp(watch.fatal) == 0) {
    code = igraph_rng_seed(igraph_rng_default(), (igraph_uint_t)(uint32_t)(seed ^ seed >> 32));
    if (code == IGRAPH_SUCCESS) code = body(arg);
    if (code != IGRAPH_SUCCESS) IGRAPH_FINALLY_FREE();
  }
  igraph_set_interruption_handler(old_poll);
  igraph_set_fatal_handler(old_fatal);
  igraph_set_warning_handler(old_warning);
  igraph_set_error_handler(old_error);
  int status = outcome(who, code);
  pthread_mutex_unlock(&lock);
  return status;
}

/* ---- the network as igraph has it ------------------------------------------------------------ */

typedef struct job {
  const ea_network *net;
  igraph_t graph;
  igraph_vector_t weight, strength;
  igraph_vector_int_t membership;
  igraph_matrix_t place;
  int have;    /* how many of the above exist */
  double unit; /* the largest weight as a whole number; 0: weights as they are */
  double total;
  double resolution;
  igraph_integer_t rounds;
} job;

/* A power of two that leaves room for the sum of all weights in a double's 53 bits. */
static double whole_unit(const ea_network *net) {
  int bits = 52 - (int)ceil(log2(net->total));
  return ldexp(1, EA_MIN(30, bits));
}

static igraph_error_t build(void *arg) {
  job *j = arg;
  const ea_network *net = j->net;
  igraph_vector_int_t ends;
  igraph_error_t code;
  if ((code = igraph_vector_init(&j->weight, net->edges))) return code;
  j->have = 1;
  if ((code = igraph_vector_init(&j->strength, net->n))) return code;
  j->have = 2;
  if ((code = igraph_vector_int_init(&j->membership, net->n))) return code;
  j->have = 3;
  if ((code = igraph_matrix_init(&j->place, 0, 0))) return code;
  j->have = 4;
  if ((code = igraph_vector_int_init(&ends, 2 * net->edges))) return code;
  int64_t e = 0;
  j->total = 0;
  for (int64_t a = 0; a < net->n; a++) {
    for (int64_t b = a + 1; b < net->n; b++) {
      double w = net->weight[a * net->n + b];
      if (!(w > 0)) continue;
      if (j->unit > 0) w = fmax(1, rint(w * j->unit));
      VECTOR(j->strength)[a] += w;
      VECTOR(j->strength)[b] += w;
      j->total += 2 * w;
      VECTOR(ends)[2 * e] = a;
      VECTOR(ends)[2 * e + 1] = b;
      VECTOR(j->weight)[e++] = w;
    }
  }
  code = igraph_create(&j->graph, &ends, net->n, IGRAPH_UNDIRECTED);
  igraph_vector_int_destroy(&ends);
  if (code == IGRAPH_SUCCESS) j->have = 5;
  return code;
}

static void destroy(job *j) {
  if (j->have >= 5) igraph_destroy(&j->graph);
  if (j->have >= 4) igraph_matrix_destroy(&j->place);
  if (j->have >= 3) igraph_vector_int_destroy(&j->membership);
  if (j->have >= 2) igraph_vector_destroy(&j->strength);
  if (j->have >= 1) igraph_vector_destroy(&j->weight);
}

static igraph_error_t louvain(void *arg) {
  job *j = arg;
  return igraph_community_multilevel(&j->graph, &j->weight, j->resolution, &j->membership, NULL,
                                     NULL);
}

/* With strengths as node weights and resolution / 2m, Leiden's quality is the modularity. Rounds
 * are run one by one, so that the watch sees each and one that changes nothing ends the search. */
static igraph_error_t leiden(void *arg) {
  job *j = arg;
  double last = -INFINITY, quality;
  for (igraph_integer_t r = 0; r < j->rounds; r++) {
    igraph_error_t code =
        igraph_community_leiden(&j->graph, &j->weight, &j->strength, j->resolution / j->total, 0.01,
                                r > 0, 1, &j->membership, NULL, &quality);
    if (code != IGRAPH_SUCCESS) return code;
    if (on_poll(NULL) != IGRAPH_SUCCESS) return IGRAPH_INTERRUPTED;
    if (!(quality > last + 1e-12)) break;
    last = quality;
  }
  return IGRAPH_SUCCESS;
}

/* ---- best of several seeds ------------------------------------------------------------------- */

typedef struct found {
  int32_t *label; /* {tries, n} */
  double *scratch;
  int count, best;
  double quality;
  uint64_t seed;
} found;

/* Takes over the labels of a finished try. */
static int keep(const job *j, uint64_t seed, found *f) {
  int64_t n = j->net->n;
  int32_t *label = f->label + f->count * n;
  for (int64_t i = 0; i < n; i++) label[i] = (int32_t)VECTOR(j->membership)[i];
  EA_TRY(ea_label_canonical(n, label, label));
  double q = ea_network_modularity(j->net, label, j->resolution, f->scratch);
  if (f->count == 0 || q > f->quality) {
    f->quality = q;
    f->best = f->count;
    f->seed = seed;
  }
  f->count++;
  return EA_OK;
}

static int search(const char *who, job *j, body_fn method, uint64_t seed, int tries,
                  double deadline, found *f) {
  if (j->net->edges == 0) { /* every node alone; igraph would divide by 0 */
    for (int64_t i = 0; i < j->net->n; i++) f->label[i] = (int32_t)i;
    f->count = 1;
    f->seed = seed;
    return EA_OK;
  }
  j->unit = whole_unit(j->net);
  EA_TRY(guarded(who, seed, INFINITY, INT64_MAX, build, j));
  int overruns = 0;
  for (int done = 0; done < tries && overruns < MOST_OVERRUNS; seed++) {
    int status = guarded(who, seed, deadline, MOST_PASSES, method, j);
    if (status == EA_ERR_INTERRUPTED && watch.overrun) {
      overruns++; /* the next seed takes its place */
      continue;
    }
    EA_TRY(status);
    EA_TRY(keep(j, seed, f));
    done++;
  }
  if (f->count > 0) return EA_OK;
  return ea_fail(EA_ERR_INTERRUPTED,
                 "%s: %d seeds in a row did not end within %g s each; raise "
                 "the deadline or try another seed",
                 who, MOST_OVERRUNS, deadline);
}

static int report(const ea_network *net, const found *f, ea_partition *out) {
  const int32_t *best = f->label + f->best * net->n;
  double agreement = 0, rand_index;
  ea_tensor *membership;
  int32_t most = 0;
  for (int t = 0; t < f->count; t++) {
    if (t == f->best) continue;
    EA_TRY(ea_label_rand(net->n, f->label + t * net->n, best, &rand_index));
    agreement += rand_index;
  }
  EA_TRY(ea_tensor_new(EA_I32, 1, &net->n, &membership));
  memcpy(ea_i32(membership), best, (size_t)net->n * sizeof *best);
  for (int64_t i = 0; i < net->n; i++) most = EA_MAX(most, best[i]);
  *out = (ea_partition){.membership = membership,
                        .modularity = f->quality,
                        .communities = most + 1,
                        .seed = f->seed,
                        .agreement = f->count > 1 ? agreement / (f->count - 1) : 1};
  return EA_OK;
}

static int partition(const char *who, const ea_tensor *w, double resolution, uint64_t seed,
                     int tries, int rounds, double deadline, body_fn method, ea_partition *out) {
  if (!out) return ea_fail(EA_ERR_ARG, "%s: an argument is missing", who);
  if (!(resolution >= 0) || !isfinite(resolution))
    return ea_fail(EA_ERR_ARG, "%s: expected a resolution of 0 or more, got %g", who, resolution);
  if (tries < 1 || tries > 10000)
    return ea_fail(EA_ERR_ARG, "%s: expected 1 to 10000 tries, got %d", who, tries);
  if (rounds < 1)
    return ea_fail(EA_ERR_ARG, "%s: expected 1 or more iterations, got %d", who, rounds);
  if (!(deadline > 0))
    return ea_fail(EA_ERR_ARG, "%s: expected a deadline above 0 seconds, got %g", who, deadline);
  ea_network net;
  EA_TRY(ea_network_load(who, w, &net));
  job j = {.net = &net, .resolution = resolution, .rounds = rounds};
  found f = {0};
  int status = EA_ERR_MEMORY;
  f.label = ea_alloc((size_t)tries * (size_t)net.n * sizeof *f.label);
  if (f.label) f.scratch = ea_alloc((size_t)net.n * sizeof *f.scratch);
  if (f.scratch) status = search(who, &j, method, seed, tries, deadline, &f);
  if (status == EA_OK) status = report(&net, &f, out);
  destroy(&j);
  ea_free(f.label);
  ea_free(f.scratch);
  ea_network_free(&net);
  return status;
}

int ea_louvain(const ea_tensor *w, double resolution, uint64_t seed, int tries, double deadline,
               ea_partition *out) {
  return partition("louvain", w, resolution, seed, tries, 1, deadline, louvain, out);
}

int ea_leiden(const ea_tensor *w, double resolution, uint64_t seed, int tries, int iterations,
              double deadline, ea_partition *out) {
  return partition("leiden", w, resolution, seed, tries, iterations, deadline, leiden, out);
}

/* ---- layout ---------------------------------------------------------------------------------- */

static igraph_error_t lay_out(void *arg) {
  job *j = arg;
  return igraph_layout_fruchterman_reingold(&j->graph, &j->place, 0, j->rounds,
                                            sqrt((double)j->net->n) / 10, IGRAPH_LAYOUT_NOGRID,
                                            &j->weight, NULL, NULL, NULL, NULL);
}

/* Centres the drawing on 0 and scales its longer side to [-1, 1]. */
static void place_within_unit(const igraph_matrix_t *place, double *out, int64_t n) {
  double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
  for (int64_t i = 0; i < 2 * n; i++) {
    low[i % 2] = fmin(low[i % 2], MATRIX(*place, i / 2, i % 2));
    high[i % 2] = fmax(high[i % 2], MATRIX(*place, i / 2, i % 2));
  }
  double half = fmax(high[0] - low[0], high[1] - low[1]) / 2;
  for (int64_t i = 0; i < 2 * n; i++) {
    double centred = MATRIX(*place, i / 2, i % 2) - (low[i % 2] + high[i % 2]) / 2;
    out[i] = half > 0 ? centred / half : 0;
  }
}

int ea_graph_layout(const ea_tensor *w, uint64_t seed, int iterations, ea_tensor **out) {
  static const char *who = "layout";
  ea_network net;
  ea_tensor *t = NULL;
  if (!out) return ea_fail(EA_ERR_ARG, "%s: an argument is missing", who);
  if (iterations < 1)
    return ea_fail(EA_ERR_ARG, "%s: expected 1 or more iterations, got %d", who, iterations);
  EA_TRY(ea_network_load(who, w, &net));
  job j = {.net = &net, .rounds = iterations};
  int64_t size[2] = {net.n, 2};
  int status = guarded(who, seed, INFINITY, INT64_MAX, build, &j);
  if (status == EA_OK) status = guarded(who, seed, INFINITY, INT64_MAX, lay_out, &j);
  if (status == EA_OK) status = ea_tensor_new(EA_F64, 2, size, &t);
  if (status == EA_OK) {
    place_within_unit(&j.place, ea_f64(t), net.n);
    *out = t;
  }
  destroy(&j);
  ea_network_free(&net);
  return status;
}
