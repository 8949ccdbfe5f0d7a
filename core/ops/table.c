/* SPDX-License-Identifier: GPL-3.0-or-later
 * table.c - the op table: the core's own ops from ops.def, and behind them ops from outside. Those
 * are checked on their way in, so that nobody else has to.
 */
#include <stdio.h>
#include <stdlib.h>

#include "op.h"

#define EA_OP(name) extern const ea_op ea_op_##name;
#include "ops.def"
#undef EA_OP

static const ea_op *const own[] = {
#define EA_OP(name) &ea_op_##name,
#include "ops.def"
#undef EA_OP
};
enum { OWN = sizeof own / sizeof *own, MOST_ADDED = 256 };

static const ea_op *added[MOST_ADDED]; /* NULL: free */
static int nadded;                     /* places in use, with free ones between them */

int ea_op_count(void) { return OWN + nadded; }

const ea_op *ea_op_at(int op) {
  if (op < 0 || op >= OWN + nadded) return NULL;
  return op < OWN ? own[op] : added[op - OWN];
}

const char *ea_op_name(int op) { return ea_op_at(op) ? ea_op_at(op)->name : NULL; }
int ea_op_outputs(int op) { return ea_op_at(op) ? ea_op_at(op)->nout : -1; }
const char *ea_op_attrs(int op) { return ea_op_at(op) ? ea_op_at(op)->attrs : NULL; }

int ea_op_inputs(int op, int *most) {
  if (!ea_op_at(op)) return -1;
  *most = ea_op_at(op)->nin_most;
  return ea_op_at(op)->nin_least;
}

int ea_op_find(const char *name) {
  for (int i = 0; i < OWN + nadded; i++)
    if (ea_op_at(i) && !strcmp(ea_op_at(i)->name, name)) return i;
  return -1;
}

/* ---- checking ---- */

enum { MOST_NAME = 63 };

/* Length of the word of small letters, digits and _ at s; 0 if there is none. */
static int word(const char *s) {
  int n = 0;
  while ((s[n] >= 'a' && s[n] <= 'z') || s[n] == '_' || (n && s[n] >= '0' && s[n] <= '9')) n++;
  return n;
}

static int bad(const ea_op *op, const char *sentence) {
  return ea_fail(EA_ERR_ARG, "the op '%s' cannot be added: %s", op->name, sentence);
}

static int check_name(const ea_op *op) {
  if (!op->name) return ea_fail(EA_ERR_ARG, "an op without a name cannot be added");
  int n = word(op->name);
  if (n && n <= MOST_NAME && !op->name[n]) return EA_OK;
  return bad(op, "a name is made of at most 63 small letters, digits and _");
}

/* "name:kind=default ..."; see ea_op_attrs. */
static int check_schema(const ea_op *op) {
  int count = 0, list = 0;
  for (const char *s = op->attrs; *s == ' ' || *s; count++) {
    while (*s == ' ') s++;
    if (!*s) break;
    int n = word(s);
    if (!n || s[n] != ':' || !s[n + 1] || !strchr("ifbxotLX", s[n + 1]) || list) {
      if (list) return bad(op, "a list (kind L or X) must be the last attribute");
      return bad(op, "attrs must be like \"stride:i=1 eps:f=1e-5\": see ea_op_attrs in edgeai.h");
    }
    list = s[n + 1] == 'L' || s[n + 1] == 'X';
    s += n + 2;
    if (*s == '=' && !list) {
      char *end;
      strtod(s + 1, &end);
      if (end == s + 1) return bad(op, "an attribute's default must be a number");
      s = end;
    }
    if (*s && *s != ' ') return bad(op, "attributes are separated by blanks");
  }
  return count <= EA_MAX_ATTR ? EA_OK : bad(op, "it has more than EA_MAX_ATTR attributes");
}

static int check(const ea_op *op) {
  enum { KNOWN = EA_OP_ACCUMULATES | EA_OP_NO_GRAD | EA_OP_RANDOM | EA_OP_BILINEAR };
  EA_TRY(check_name(op));
  if (op->nin_least < 1 || op->nin_most < op->nin_least || op->nin_most > EA_MAX_IN)
    return bad(op, "1 <= nin_least <= nin_most <= EA_MAX_IN must hold");
  if (op->nout < 1 || op->nhidden < 0 || op->nhidden > EA_MAX_OUT - op->nout)
    return bad(op, "nout must be at least 1, nout + nhidden at most EA_MAX_OUT");
  if (!op->attrs) return bad(op, "attrs is missing; it is \"\" where there are none");
  EA_TRY(check_schema(op));
  if (!op->shape || !op->forward) return bad(op, "shape and forward must be given");
  if (op->flags & ~(unsigned)KNOWN)
    return bad(op, "it has a flag that ops from outside cannot have");
  if (!op->backward != !!(op->flags & EA_OP_NO_GRAD))
    return bad(op, "it must have either a backward or EA_OP_NO_GRAD");
  if (op->need_in >> op->nin_most) return bad(op, "need_in names an input that it does not have");
  if (op->need_out >> (op->nout + op->nhidden))
    return bad(op, "need_out names an output that it does not have");
  return EA_OK;
}

static int check_all(int count, const ea_op *const *ops) {
  for (int i = 0; i < count; i++) {
    EA_TRY(check(ops[i]));
    int taken = ea_op_find(ops[i]->name) >= 0;
    for (int k = 0; k < i; k++) taken |= !strcmp(ops[k]->name, ops[i]->name);
    if (taken) return bad(ops[i], "there is an op of that name");
  }
  return EA_OK;
}

/* ---- adding and taking away ---- */

/* The first of `count` free places in a row, or MOST_ADDED. */
static int find_room(int count) {
  for (int at = 0, run = 0; at < MOST_ADDED; at++) {
    run = added[at] ? 0 : run + 1;
    if (run == count) return at + 1 - count;
  }
  return MOST_ADDED;
}

int ea_ops_add(int count, const ea_op *const *ops, int *first) {
  if (count < 1) return ea_fail(EA_ERR_ARG, "there are no ops to add");
  EA_TRY(check_all(count, ops));
  int at = count <= MOST_ADDED ? find_room(count) : MOST_ADDED;
  if (at == MOST_ADDED)
    return ea_fail(EA_ERR_UNSUPPORTED, "there is room for %d ops from outside, not for %d more",
                   MOST_ADDED, count);
  memcpy(added + at, ops, (size_t)count * sizeof *ops);
  nadded = EA_MAX(nadded, at + count);
  *first = OWN + at;
  return EA_OK;
}

int ea_op_remove(int op) {
  if (op < OWN || !ea_op_at(op))
    return ea_fail(EA_ERR_ARG, "%d is not the number of an op from outside", op);
  added[op - OWN] = NULL;
  while (nadded && !added[nadded - 1]) nadded--;
  return EA_OK;
}
