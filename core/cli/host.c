/* SPDX-License-Identifier: GPL-3.0-or-later
 * host.c - signals that also stop Lua code, and the line editor.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <readline/history.h>
#include <readline/readline.h>

#include "../base/base.h"
#include "host.h"

/* ---- signals ----------------------------------------------------------------------------------
 * ea_signal_install's handler sets the core's flag, which ops look at. Lua code that calls no op
 * would not notice; so behind it a debug hook is set (the one Lua call allowed in a handler, as in
 * luajit.c), which raises the same sentence from inside the running code. Compiled loops do not
 * look at hooks: there a second Ctrl-C ends the process. */
static lua_State *main_state;
static struct sigaction core_action[2];

static void on_hook(lua_State *L, lua_Debug *where) {
  (void)where;
  lua_sethook(L, NULL, 0, 0);
  if (ea_interrupt_check() < 0) luaL_error(L, "%s", ea_error());
}

static void on_signal(int number) {
  core_action[number == SIGTERM].sa_handler(number);
  lua_sethook(main_state, on_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

static int catch_signals(lua_State *L) {
  static const int numbers[2] = {SIGINT, SIGTERM};
  if (main_state) return 0;
  main_state = L;
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

/* ---- lines ----------------------------------------------------------------------------------- */

static char *finished_line;
static int line_is_finished;

static void on_line(char *line) {
  finished_line = line;
  line_is_finished = 1;
  rl_callback_handler_remove(); /* puts the terminal back */
}

/* readline(prompt): a line without its end; nil at the end of the input; false after a signal. */
static int read_line(lua_State *L) {
  const char *prompt = luaL_checkstring(L, 1);
  line_is_finished = 0;
  rl_catch_signals = 0;
  rl_callback_handler_install(prompt, on_line);
  while (!line_is_finished) {
    fd_set input;
    FD_ZERO(&input);
    FD_SET(STDIN_FILENO, &input);
    int ready = select(STDIN_FILENO + 1, &input, NULL, NULL, NULL);
    if (ready > 0) {
      rl_callback_read_char();
    } else if (ready < 0 && (errno != EINTR || ea_interrupt_pending())) {
      rl_callback_handler_remove();
      rl_free_line_state();
      rl_replace_line("", 0);
      lua_sethook(L, NULL, 0, 0); /* nothing is running that could be stopped */
      if (ea_interrupt_pending() == SIGINT) ea_interrupt_clear();
      fputs("\n", stdout);
      lua_pushboolean(L, 0);
      return 1;
    }
  }
  if (finished_line) lua_pushstring(L, finished_line);
  else lua_pushnil(L);
  free(finished_line);
  return 1;
}

static int history_load(lua_State *L) {
  using_history();
  lua_pushboolean(L, read_history(luaL_checkstring(L, 1)) == 0);
  return 1;
}

static int history_add(lua_State *L) {
  add_history(luaL_checkstring(L, 1));
  return 0;
}

static int history_save(lua_State *L) {
  stifle_history(10000);
  lua_pushboolean(L, write_history(luaL_checkstring(L, 1)) == 0);
  return 1;
}

static int open_module(lua_State *L) {
  static const luaL_Reg functions[] = {{"catch_signals", catch_signals},
                                       {"interrupted", interrupted},
                                       {"readline", read_line},
                                       {"history_load", history_load},
                                       {"history_add", history_add},
                                       {"history_save", history_save},
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
