/* SPDX-License-Identifier: GPL-3.0-or-later
 * tape.c - applying ops at once, and remembering them where a gradient may be asked for.
 */
#include "node.h"

static int grad_enabled = 1;
static uint64_t order, eager_step;

uint64_t ea_step(void) { return eager_step; }
void ea_set_step(uint64_t step) { eager_step = step; }

int ea_grad_enabled(void) { return grad_enabled; }
int ea_set_grad_enabled(int on) {
  int was = grad_enabled;
  grad_enabled = on != 0;
  return was;
}

/* ---- what a tensor knows of gradients ---- */

int ea_tensor_requires_grad(const ea_tensor *t) { return t->requires_grad; }
int ea_tensor_is_leaf(const ea_tensor *t) { return t->node == NULL; }
ea_tensor *ea_tensor_grad(const ea_tensor *t) { return t->grad; }

static int is_float(const ea_tensor *t) {
  return t->dtype == EA_F32 || t->dtype == EA_F64 || t->dtype == EA_BF16;
}

int ea_tensor_set_requires_grad(ea_tensor *t, int on) {
  if (t->node || !t->storage)
    return ea_fail(EA_ERR_ARG, "requires_grad can only be set on a leaf, not on the result of %s",
                   t->node ? t->node->call.op->name : "a captured op");
  if (on && !is_float(t))
    return ea_fail(EA_ERR_DTYPE, "only f32, f64 and bf16 tensors have gradients, got %s",
                   ea_shape_text(t));
  if (on && !ea_tensor_contiguous(t))
    return ea_fail(EA_ERR_SHAPE, "a leaf with a gradient must be contiguous; use :clone() first");
  t->requires_grad = on != 0;
  return EA_OK;
}

int ea_tensor_set_grad(ea_tensor *t, ea_tensor *grad) {
  if (grad && (!ea_tensor_same_shape(t, grad) || grad->dtype != t->dtype || !grad->storage ||
               !ea_tensor_contiguous(grad)))
    return ea_fail(EA_ERR_SHAPE, "the gradient of a %s tensor cannot be %s", ea_shape_text(t),
                   ea_shape_text(grad));
  ea_tensor_retain(grad);
  ea_tensor_release(t->grad);
  t->grad = grad;
  return EA_OK;
}

/* ---- nodes ---- */

void ea_node_drop_saved(ea_node *n) {
  for (int i = 0; i < n->call.nin; i++) {
    ea_tensor_release(n->call.in[i]);
    n->call.in[i] = NULL;
  }
  for (int j = 0; j < EA_MAX_OUT; j++) {
    ea_tensor_release(n->call.out[j]);
    ea_tensor_release(n->call.gout[j]);
    n->call.out[j] = n->call.gout[j] = NULL;
  }
  ea_call_clear(&n->call);
}

/* Frees along the chain without recursion: a long tape would overflow the stack. */
void ea_node_release(ea_node *n) {
  static ea_node *pending;
  static int running;
  if (!n || --n->refs) return;
  n->next = pending;
  pending = n;
  if (running) return;
  running = 1;
  while ((n = pending)) {
    pending = n->next;
    ea_node_drop_saved(n);
    for (int i = 0; i < n->call.nin; i++) {
      ea_node_release(n->parent[i]);
      ea_tensor_release(n->leaf[i]);
    }
    if (n->custom) ea_custom_forget(n->custom);
    ea_free(n);
  }
  running = 0;
}

/* The same memory without history; or only the shape. */
static int keep(const ea_tensor *t, int with_data, ea_tensor **out, uint32_t *version) {
  if (with_data) {
    *version = t->storage->version;
    return ea_tensor_on(t->storage, t->offset, t->dtype, t->ndim, t->size, out);
  }
  return ea_tensor_new_symbolic(t->dtype, t->ndim, t->size, out);
}

static void link_inputs(ea_node *n, ea_tensor *const *in) {
  for (int i = 0; i < n->call.nin; i++) {
    if (!in[i]->requires_grad) continue;
    if (in[i]->node) {
      n->parent[i] = in[i]->node;
      n->parent_output[i] = in[i]->output;
      n->parent[i]->refs++;
    } else {
      n->leaf[i] = ea_tensor_retain(in[i]);
    }
  }
}

/* Moves the call into a node that the first `visible` outputs hold. `in` is what the caller gave:
 * the way to the leaves. */
static int remember(ea_call *c, ea_tensor *const *in, int custom, int visible) {
  ea_tensor_release_node = ea_node_release;
  ea_node *n = ea_alloc_zero(sizeof *n);
  if (!n) return EA_ERR_MEMORY;
  n->refs = 1;
  n->order = ++order;
  n->call = *c;
  memset(n->call.in, 0, sizeof n->call.in);
  memset(n->call.out, 0, sizeof n->call.out);
  n->call.own_scratch = (ea_scratch){0}; /* backward asks again: a tape of scratch is too much */
  c->state = NULL;                       /* the node's from now on */
  c->free_state = NULL;
  int status = EA_OK;
  unsigned need_in = ea_op_needed_inputs(c->op, c->nin > 0 && in[0]->requires_grad,
                                         c->nin > 1 && in[1]->requires_grad);
  for (int i = 0; i < c->nin && !status; i++)
    status = keep(c->in[i], need_in >> i & 1, &n->call.in[i], &n->version_in[i]);
  for (int j = 0; j < c->nout && !status; j++)
    status = keep(c->out[j], c->op->need_out >> j & 1, &n->call.out[j], &n->version_out[j]);
  if (!status) {
    n->custom = custom;
    link_inputs(n, in);
    for (int j = 0; j < visible; j++) {
      if (!is_float(c->out[j])) continue;
      c->out[j]->requires_grad = 1;
      c->out[j]->node = n;
      c->out[j]->output = j;
      n->refs++;
    }
  }
  ea_node_release(n);
  return status;
}

static int wants_grad(int nin, ea_tensor *const *in) {
  if (!grad_enabled) return 0;
  for (int i = 0; i < nin; i++)
    if (in[i]->requires_grad) return 1;
  return 0;
}

/* ---- applying ---- */

static int make_outputs(ea_call *c) {
  for (int j = 0; j < c->nout; j++) {
    if (j == 0 && c->op->flags & EA_OP_ALIAS)
      EA_TRY(ea_tensor_on(c->in[0]->storage, c->in[0]->offset, c->shape[0].dtype, c->shape[0].ndim,
                          c->shape[0].size, &c->out[0]));
    else EA_TRY(ea_tensor_new(c->shape[j].dtype, c->shape[j].ndim, c->shape[j].size, &c->out[j]));
  }
  return EA_OK;
}

static int run_eager(ea_call *c, ea_tensor *const *in, ea_tensor **out) {
  EA_TRY(ea_interrupt_check());
  c->needs_backward = wants_grad(c->nin, in) && !(c->op->flags & EA_OP_NO_GRAD) &&
                      (c->op->backward || c->op->flags & EA_OP_ALIAS);
  int status = make_outputs(c);
  if (!status && c->op->forward) status = ea_call_run(c, c->op->forward);
  if (!status && c->needs_backward) status = remember(c, in, 0, c->op->nout);
  for (int j = 0; j < c->nout; j++) {
    if (!status && j < c->op->nout) out[j] = c->out[j];
    else ea_tensor_release(c->out[j]);
  }
  ea_call_clear(c);
  return status;
}

static int begin_call(ea_call *c, const ea_op *op, int nin, ea_tensor *const *in) {
  memset(c, 0, sizeof *c);
  c->op = op;
  if (nin < op->nin_least || nin > op->nin_most) {
    if (op->nin_least == op->nin_most)
      return ea_call_fail(c, EA_ERR_ARG, "expected %d tensor%s, got %d", op->nin_least,
                          op->nin_least == 1 ? "" : "s", nin);
    return ea_call_fail(c, EA_ERR_ARG, "expected %d to %d tensors, got %d", op->nin_least,
                        op->nin_most, nin);
  }
  c->nin = nin;
  c->step = eager_step; /* a graph sets its own each time it runs */
  c->nout = op->nout + op->nhidden;
  for (int i = 0; i < nin; i++) {
    if (!in[i]) return ea_call_fail(c, EA_ERR_ARG, "input %d is missing", i + 1);
    if (!in[i]->storage && !ea_capturing())
      return ea_call_fail(c, EA_ERR_ARG, "input %d belongs to a graph that is no longer captured",
                          i + 1);
    c->in[i] = in[i];
  }
  return EA_OK;
}

int ea_apply(int number, int nin, ea_tensor *const *in, int nattr, const double *attr,
             ea_tensor **out) {
  const ea_op *op = ea_op_at(number);
  if (!op) return ea_fail(EA_ERR_ARG, "there is no op number %d", number);
  ea_call c;
  EA_TRY(begin_call(&c, op, nin, in));
  EA_TRY(ea_call_set_attrs(&c, nattr, attr));
  EA_TRY(op->shape(&c));
  if (ea_capturing()) return ea_capture_call(ea_capturing(), &c, 0, out);
  ea_tensor *whole[EA_MAX_IN] = {0}; /* kernels want contiguous inputs */
  int status = EA_OK;
  for (int i = 0; i < nin && !status; i++) {
    if (ea_tensor_contiguous(in[i])) continue;
    status = ea_tensor_clone(in[i], in[i]->dtype, &whole[i]);
    c.in[i] = whole[i];
  }
  if (!status) status = run_eager(&c, in, out);
  for (int i = 0; i < nin; i++) ea_tensor_release(whole[i]);
  return status;
}

/* ---- custom nodes ---- */

static int custom_shape(ea_call *c) {
  (void)c;
  return EA_OK;
}
static int custom_backward(ea_call *c) {
  return ea_call_fail(c, EA_ERR_ARG, "its backward is the caller's to run");
}
const ea_op ea_op_custom = {.name = "custom",
                            .nin_least = 1,
                            .nin_most = EA_MAX_IN,
                            .attrs = "",
                            .shape = custom_shape,
                            .backward = custom_backward};

/* The caller's output as a tensor of its own, so that the caller's keeps no history. */
static int adopt(ea_tensor *t, ea_tensor **out) {
  if (!ea_tensor_contiguous(t)) return ea_tensor_clone(t, t->dtype, out);
  return ea_tensor_on(t->storage, t->offset, t->dtype, t->ndim, t->size, out);
}

int ea_custom(int id, int nin, ea_tensor *const *in, int nout, ea_tensor *const *prototype,
              ea_tensor **out) {
  if (id <= 0 || nout < 1 || nout > EA_MAX_OUT)
    return ea_fail(EA_ERR_ARG, "custom: expected an id above 0 and 1 to %d outputs, got %d and %d",
                   EA_MAX_OUT, id, nout);
  ea_call c;
  EA_TRY(begin_call(&c, &ea_op_custom, nin, in));
  c.nout = nout;
  for (int j = 0; j < nout; j++) {
    if (!prototype[j] || (!prototype[j]->storage && !ea_capturing()))
      return ea_fail(EA_ERR_ARG, "custom: output %d is missing or has no values", j + 1);
    ea_call_output(&c, j, prototype[j]->dtype, prototype[j]->ndim, prototype[j]->size);
  }
  if (ea_capturing()) return ea_capture_call(ea_capturing(), &c, id, out);
  int status = EA_OK;
  for (int j = 0; j < nout && !status; j++) status = adopt(prototype[j], &c.out[j]);
  if (!status && wants_grad(nin, in)) status = remember(&c, in, id, nout);
  else if (!status) ea_custom_forget(id);
  for (int j = 0; j < nout; j++) {
    if (status) ea_tensor_release(c.out[j]);
    else out[j] = c.out[j];
  }
  return status;
}

/* Ids whose node is gone, for whoever keeps something under them. */
static int *forgotten;
static int nforgotten, most_forgotten;

void ea_custom_forget(int id) {
  if (nforgotten == most_forgotten) {
    int most = most_forgotten ? 2 * most_forgotten : 64;
    int *more = ea_alloc((size_t)most * sizeof *more);
    if (!more) return; /* then the id is never handed back: only what is kept under it stays */
    if (nforgotten) memcpy(more, forgotten, (size_t)nforgotten * sizeof *more);
    ea_free(forgotten);
    forgotten = more;
    most_forgotten = most;
  }
  forgotten[nforgotten++] = id;
}

int ea_custom_forgotten(void) { return nforgotten ? forgotten[--nforgotten] : 0; }
