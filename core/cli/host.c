/* SPDX-License-Identifier: GPL-3.0-or-later
 * host.c - signals that also stop Lua code.
 *
 * ea_signal_install's handler sets the core's flag, which ops look at. Lua code that calls no op
 * would not notice; so behind it a debug hook is set (the one Lua call allowed in a handler, as in
 * luajit.c), which raises the same sentence from inside the running code. Compiled loops do not
 * look at hooks: at the prompt they ask (see lua/edgeai/repl/interruptible.lua), elsewhere a
 * second Ctrl-C ends the process.
 *
 * At the prompt, edgeai's own Lua code is never cut off between two instructions, where a tensor
 * could be owned by nobody: it ends at its next op or goes on until it returns to the user's code.
 * What was raised once can be caught, so that the user's code can tidy up; from the second Ctrl-C
 * on it is raised at every step, until the prompt is back. The sixth ends the process.
 */
#define _GNU_SOURCE /* pipe2 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

#include "../base/base.h"
#include "host.h"

enum { ONCE = 1, ALWAYS = 2, MOST_PRESSES = 6 };

static lua_State *main_state;
static struct sigaction core_action[2];
static int at_prompt;
static volatile sig_atomic_t stop; /* 0, ONCE or ALWAYS */
static volatile sig_atomic_t presses;
static int wake[2]; /* a pipe: what waits for keys sees that a signal came */

static void raise_interrupt(lua_State *L) {
  int always = stop == ALWAYS;
  if (!always) {
    lua_sethook(L, NULL, 0, 0);
    stop = 0;
  }
  if (always || ea_interrupt_check() < 0) luaL_error(L, "interrupted");
}

static void on_hook(lua_State *L, lua_Debug *where) {
  if (at_prompt) {
    lua_getinfo(L, "S", where);
    if (where->what[0] == 'C' || strncmp(where->source, "@edgeai/", 8) == 0) return;
  }
  raise_interrupt(L);
}

static void on_signal(int number) {
  int again = at_prompt && number == SIGINT && ea_interrupt_pending() == SIGINT;
  if (!again || ++presses >= MOST_PRESSES) core_action[number == SIGTERM].sa_handler(number);
  stop = again ? ALWAYS : ONCE;
  ssize_t written = write(wake[1], "", 1); /* a full pipe is as good */
  (void)written;
  lua_sethook(main_state, on_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

static int catch_signals(lua_State *L) {
  static const int numbers[2] = {SIGINT, SIGTERM};
  if (main_state) return 0;
  main_state = L;
  if (pipe2(wake, O_CLOEXEC | O_NONBLOCK) < 0) return luaL_error(L, "no more pipes can be opened");
  if (ea_signal_install() < 0) return luaL_error(L, "%s", ea_error());
  for (int i = 0; i < 2; i++) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(numbers[i], &action, &core_action[i]);
  }
  return 0;
}

static int interrupted(lua_State *L) {
  lua_pushinteger(L, ea_interrupt_pending());
  return 1;
}

/* ---- at the prompt --------------------------------------------------------------------------- */

static int stop_here(lua_State *L) {
  if (stop) raise_interrupt(L);
  return 0;
}

static int prompt(lua_State *L) {
  at_prompt = 1;
  lua_pushcfunction(L, stop_here);
  return 1;
}

int ea_host_wakes(void) { return wake[0]; }

static int calm(lua_State *L) {
  char drained[64];
  while (read(wake[0], drained, sizeof drained) > 0) continue;
  lua_sethook(L, NULL, 0, 0);
  stop = 0;
  presses = 0;
  if (ea_interrupt_pending() == SIGINT) ea_interrupt_clear();
  return 0;
}

static int open_module(lua_State *L) {
  static const luaL_Reg functions[] = {{"catch_signals", catch_signals},
                                       {"interrupted", interrupted},
                                       {"prompt", prompt},
                                       {"calm", calm},
                                       {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}

void ea_preload(lua_State *L, const char *name, lua_CFunction open) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "preload");
  lua_pushcfunction(L, open);
  lua_setfield(L, -2, name);
  lua_pop(L, 2);
}

void ea_host_open(lua_State *L) { ea_preload(L, "edgeai.cli.host", open_module); }
