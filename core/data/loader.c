/* SPDX-License-Identifier: GPL-3.0-or-later
 * loader.c - batches of training images, assembled by one background thread.
 *
 * Two slots: batch b of an epoch is made in slot b % 2 while the caller works on the batch before.
 * A seek, or a change of the element type, raises `generation`; what the thread is making at that
 * moment is then thrown away. The thread allocates nothing and cannot fail: everything that could
 * be wrong is checked, and everything it needs is allocated, in ea_loader_new.
 *
 * Nothing of a batch depends on its neighbours or on how one got to it: the order of an epoch comes
 * from (seed, "shuffle", epoch), an image's augmentation from (seed, epoch, position in images).
 */
#include <pthread.h>
#include <signal.h>

#include "../base/philox.h"
#include "../tensor/tensor.h"
#include "augment.h"

typedef struct slot {
  void *x; /* {batch,h,w,c} of f32 or bf16 */
  int32_t *label;
  int32_t *image;
  int valid;
  int ready;
} slot;

struct ea_loader {
  ea_tensor *images, *labels; /* retained */
  ea_painter painter;         /* used by the thread only, once it runs */
  int32_t *choice;            /* {count}: positions in images */
  int32_t *order;             /* {count}: choice in the order of order_epoch; the thread's */
  uint64_t order_epoch;
  int order_known;
  int64_t count, batches;
  int batch, shuffle;
  uint64_t seed;

  pthread_t thread;
  pthread_mutex_t lock; /* guards all below */
  pthread_cond_t changed;
  int running, stop;
  int dtype; /* what the caller takes; -1 before the first batch is asked for */
  uint64_t generation;
  uint64_t epoch;
  int64_t make, take; /* next batch to make, next batch to hand out */
  slot slots[2];
};

/* ---- the thread ------------------------------------------------------------------------------ */

/* Fisher-Yates over `choice`; four swaps for each call of the generator. */
static void make_order(ea_loader *l, uint64_t epoch) {
  if (l->order_known && (!l->shuffle || l->order_epoch == epoch)) return;
  memcpy(l->order, l->choice, (size_t)l->count * sizeof *l->order);
  if (l->shuffle) {
    uint64_t stream = ea_stream_id("shuffle");
    uint32_t word[4];
    for (int64_t i = l->count - 1, drawn = 0; i > 0; i--, drawn++) {
      if (drawn % 4 == 0) ea_philox(l->seed, stream, epoch, (uint64_t)drawn / 4, word);
      int64_t j = ea_below(word[drawn % 4], (uint32_t)i + 1);
      int32_t held = l->order[i];
      l->order[i] = l->order[j];
      l->order[j] = held;
    }
  }
  l->order_epoch = epoch;
  l->order_known = 1;
}

static void make_batch(ea_loader *l, slot *s, uint64_t epoch, int64_t number, int dtype) {
  ea_painter *p = &l->painter;
  int64_t pixels = (int64_t)p->height * p->width * p->channels;
  int64_t first = number * l->batch;
  const uint8_t *images = ea_u8(l->images);
  const int32_t *labels = ea_i32(l->labels);
  make_order(l, epoch);
  s->valid = (int)EA_MIN((int64_t)l->batch, l->count - first);
  for (int i = 0; i < l->batch; i++) {
    int32_t image = l->order[first + i % s->valid]; /* an incomplete batch starts over */
    ea_pose pose;
    ea_pose_draw(&p->augment, l->seed, epoch, image, p->height, p->width, &pose);
    if (dtype == EA_F32)
      ea_paint_f32(p, &pose, images + image * pixels, (float *)s->x + i * pixels);
    else ea_paint_bf16(p, &pose, images + image * pixels, (uint16_t *)s->x + i * pixels);
    s->label[i] = labels[image];
    s->image[i] = image;
  }
}

static int work_waits(const ea_loader *l) {
  return l->dtype >= 0 && l->make < l->batches && !l->slots[l->make % 2].ready;
}

static void *loader_main(void *arg) {
  ea_loader *l = arg;
  pthread_mutex_lock(&l->lock);
  for (;;) {
    while (!l->stop && !work_waits(l)) pthread_cond_wait(&l->changed, &l->lock);
    if (l->stop) break;
    uint64_t generation = l->generation, epoch = l->epoch;
    int64_t number = l->make;
    int dtype = l->dtype;
    slot *s = &l->slots[number % 2];
    pthread_mutex_unlock(&l->lock);
    make_batch(l, s, epoch, number, dtype);
    pthread_mutex_lock(&l->lock);
    if (generation == l->generation) {
      s->ready = 1;
      l->make++;
      pthread_cond_broadcast(&l->changed);
    }
  }
  pthread_mutex_unlock(&l->lock);
  return NULL;
}

/* Signals are the caller's: a handler must not run on this thread. */
static int start_thread(ea_loader *l) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&l->thread, NULL, loader_main, l);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error) return ea_fail(EA_ERR_MEMORY, "loader: cannot start its thread: %s", strerror(error));
  l->running = 1;
  return EA_OK;
}

/* ---- making and freeing ---------------------------------------------------------------------- */

static int check_tensors(const ea_tensor *images, const ea_tensor *labels, const ea_tensor *index) {
  if (!images || !labels) return ea_fail(EA_ERR_ARG, "loader: images and labels must be given");
  if (images->dtype != EA_U8 || images->ndim != 4)
    return ea_fail(EA_ERR_SHAPE, "loader: images must be u8 {n,h,w,c}, got %s",
                   ea_shape_text(images));
  if (labels->dtype != EA_I32 || labels->ndim != 1 || labels->size[0] != images->size[0])
    return ea_fail(EA_ERR_SHAPE, "loader: labels must be i32 {%lld}, one for each image, got %s",
                   (long long)images->size[0], ea_shape_text(labels));
  if (index && (index->dtype != EA_I32 || index->ndim != 1))
    return ea_fail(EA_ERR_SHAPE, "loader: index must be i32 {m}, got %s", ea_shape_text(index));
  if (!images->storage || !labels->storage || (index && !index->storage))
    return ea_fail(EA_ERR_ARG, "loader: images, labels and index must hold data, one is symbolic");
  if (!ea_tensor_contiguous(images) || !ea_tensor_contiguous(labels) ||
      (index && !ea_tensor_contiguous(index)))
    return ea_fail(EA_ERR_ARG, "loader: images, labels and index must be contiguous; clone them");
  for (int d = 0; d < 4; d++)
    if (images->size[d] < 1 || images->size[d] > (d == 0 ? INT32_MAX : 1 << 16))
      return ea_fail(EA_ERR_SHAPE,
                     "loader: images of %s: need at least one image, and sides and "
                     "channels of 1..65536",
                     ea_shape_text(images));
  return EA_OK;
}

/* Which images: a copy of index after checking it, or all of them. */
static int fill_choice(ea_loader *l, const ea_tensor *index, int64_t images) {
  l->choice = ea_alloc((size_t)l->count * sizeof *l->choice);
  l->order = l->choice ? ea_alloc((size_t)l->count * sizeof *l->order) : NULL;
  if (!l->order) return EA_ERR_MEMORY;
  for (int64_t i = 0; i < l->count; i++) {
    int32_t at = index ? ea_i32(index)[i] : (int32_t)i;
    if (at < 0 || at >= images)
      return ea_fail(EA_ERR_ARG,
                     "loader: index[%lld] is %d, but there are %lld images (positions "
                     "0..%lld)",
                     (long long)i, at, (long long)images, (long long)images - 1);
    l->choice[i] = at;
  }
  return EA_OK;
}

static int fill_slots(ea_loader *l) {
  int64_t pixels = (int64_t)l->painter.height * l->painter.width * l->painter.channels;
  if (l->batch > ((int64_t)1 << 40) / pixels)
    return ea_fail(EA_ERR_ARG, "loader: a batch of %d images of %lld bytes is too large", l->batch,
                   (long long)pixels);
  for (int i = 0; i < 2; i++) {
    slot *s = &l->slots[i];
    s->x = ea_alloc((size_t)(l->batch * pixels) * sizeof(float));
    s->label = s->x ? ea_alloc((size_t)l->batch * sizeof *s->label) : NULL;
    s->image = s->label ? ea_alloc((size_t)l->batch * sizeof *s->image) : NULL;
    if (!s->image) return EA_ERR_MEMORY;
  }
  return EA_OK;
}

static int build(ea_loader *l, const ea_tensor *index, const double *mean, const double *std,
                 const ea_augment *augment, int drop_last) {
  const int64_t *size = l->images->size;
  l->count = index ? index->size[0] : size[0];
  l->batches = drop_last ? l->count / l->batch : (l->count + l->batch - 1) / l->batch;
  if (l->batches < 1)
    return ea_fail(EA_ERR_ARG, "loader: %lld images make no batch of %d%s", (long long)l->count,
                   l->batch, l->count ? "; use a smaller batch or drop_last = 0" : "");
  EA_TRY(
      ea_painter_init(&l->painter, (int)size[1], (int)size[2], (int)size[3], mean, std, augment));
  EA_TRY(fill_choice(l, index, size[0]));
  EA_TRY(fill_slots(l));
  return start_thread(l);
}

int ea_loader_new(ea_tensor *images, ea_tensor *labels, ea_tensor *index, int batch,
                  const double *mean, const double *std, const ea_augment *augment, int shuffle,
                  int drop_last, uint64_t seed, ea_loader **out) {
  if (!out || !mean || !std) return ea_fail(EA_ERR_ARG, "loader: mean, std and out must be given");
  EA_TRY(check_tensors(images, labels, index));
  if (batch < 1) return ea_fail(EA_ERR_ARG, "loader: batch must be at least 1, got %d", batch);
  ea_loader *l = ea_alloc_zero(sizeof *l);
  if (!l) return EA_ERR_MEMORY;
  l->images = ea_tensor_retain(images);
  l->labels = ea_tensor_retain(labels);
  l->batch = batch;
  l->shuffle = shuffle != 0;
  l->seed = seed;
  l->dtype = -1;
  pthread_mutex_init(&l->lock, NULL);
  pthread_cond_init(&l->changed, NULL);
  int status = build(l, index, mean, std, augment, drop_last);
  if (status < 0) {
    ea_loader_free(l);
    return status;
  }
  *out = l;
  return EA_OK;
}

void ea_loader_free(ea_loader *l) {
  if (!l) return;
  if (l->running) {
    pthread_mutex_lock(&l->lock);
    l->stop = 1;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
  }
  for (int i = 0; i < 2; i++) {
    ea_free(l->slots[i].x);
    ea_free(l->slots[i].label);
    ea_free(l->slots[i].image);
  }
  ea_painter_clear(&l->painter);
  ea_free(l->choice);
  ea_free(l->order);
  ea_tensor_release(l->images);
  ea_tensor_release(l->labels);
  pthread_mutex_destroy(&l->lock);
  pthread_cond_destroy(&l->changed);
  ea_free(l);
}

/* ---- the caller's side ----------------------------------------------------------------------- */

int64_t ea_loader_batches(const ea_loader *l) { return l ? l->batches : 0; }

/* Throws away what was made ahead; the next batch is `batch`. The lock is held. */
static void restart_at(ea_loader *l, int64_t batch) {
  l->generation++;
  l->make = l->take = batch;
  l->slots[0].ready = l->slots[1].ready = 0;
  pthread_cond_broadcast(&l->changed);
}

int ea_loader_seek(ea_loader *l, uint64_t epoch, int64_t batch) {
  if (!l) return ea_fail(EA_ERR_ARG, "loader: NULL given");
  if (batch < 0 || batch > l->batches)
    return ea_fail(EA_ERR_ARG, "loader: seek to batch %lld, but an epoch has batches 0..%lld",
                   (long long)batch, (long long)l->batches - 1);
  pthread_mutex_lock(&l->lock);
  if (epoch != l->epoch || batch != l->take) {
    l->epoch = epoch;
    restart_at(l, batch);
  }
  pthread_mutex_unlock(&l->lock);
  return EA_OK;
}

static int check_targets(const ea_loader *l, const ea_tensor *x, const ea_tensor *y,
                         const ea_tensor *id) {
  const ea_painter *p = &l->painter;
  if (!x || !y) return ea_fail(EA_ERR_ARG, "loader: x and y must be given");
  if ((x->dtype != EA_F32 && x->dtype != EA_BF16) || x->ndim != 4 || x->size[0] != l->batch ||
      x->size[1] != p->height || x->size[2] != p->width || x->size[3] != p->channels)
    return ea_fail(EA_ERR_SHAPE, "loader: x must be f32 or bf16 {%d, %d, %d, %d}, got %s", l->batch,
                   p->height, p->width, p->channels, ea_shape_text(x));
  if (y->dtype != EA_I32 || y->ndim != 1 || y->size[0] != l->batch)
    return ea_fail(EA_ERR_SHAPE, "loader: y must be i32 {%d}, got %s", l->batch, ea_shape_text(y));
  if (id && (id->dtype != EA_I32 || id->ndim != 1 || id->size[0] != l->batch))
    return ea_fail(EA_ERR_SHAPE, "loader: id must be i32 {%d}, got %s", l->batch,
                   ea_shape_text(id));
  if (!x->storage || !y->storage || (id && !id->storage) || !ea_tensor_contiguous(x) ||
      !ea_tensor_contiguous(y) || (id && !ea_tensor_contiguous(id)))
    return ea_fail(EA_ERR_ARG, "loader: x, y and id must be contiguous and hold data");
  return EA_OK;
}

int ea_loader_next(ea_loader *l, ea_tensor *x, ea_tensor *y, ea_tensor *id, int base, int *valid) {
  if (!l) return ea_fail(EA_ERR_ARG, "loader: NULL given");
  EA_TRY(check_targets(l, x, y, id));
  pthread_mutex_lock(&l->lock);
  if (l->take >= l->batches) {
    pthread_mutex_unlock(&l->lock);
    return 1;
  }
  if (x->dtype != l->dtype) {
    l->dtype = x->dtype;
    restart_at(l, l->take);
  }
  slot *s = &l->slots[l->take % 2];
  while (!s->ready) pthread_cond_wait(&l->changed, &l->lock);
  pthread_mutex_unlock(&l->lock);

  ea_changed(x);
  ea_changed(y);
  if (id) ea_changed(id);
  memcpy(ea_ptr(x), s->x, (size_t)ea_tensor_bytes(x)); /* a ready slot is the caller's */
  for (int i = 0; i < l->batch; i++) ea_i32(y)[i] = s->label[i] + base;
  for (int i = 0; id && i < l->batch; i++) ea_i32(id)[i] = s->image[i] + base;
  if (valid) *valid = s->valid;

  pthread_mutex_lock(&l->lock);
  s->ready = 0;
  l->take++;
  pthread_cond_broadcast(&l->changed);
  pthread_mutex_unlock(&l->lock);
  return EA_OK;
}
