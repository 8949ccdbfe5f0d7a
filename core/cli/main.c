/* SPDX-License-Identifier: GPL-3.0-or-later
 * main.c - the `edgeai` program: a Lua state in which require "edgeai" finds the embedded files.
 *
 * Everything a user sees is Lua (lua/edgeai/cli). This file only
 *   - adds a searcher for the embedded files (or for $EDGEAI_LUA, while developing them);
 *   - offers edgeai.cli.host (signals) and edgeai.cli.terminal (the line editor) to it;
 *   - hands over the arguments and returns the exit code.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "../base/base.h"
#include "embedded.h"
#include "host.h"

static const ea_embedded_file *find_embedded(const char *path) {
  size_t low = 0, high = ea_embedded_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    int order = strcmp(path, ea_embedded_files[middle].path);
    if (order == 0) return &ea_embedded_files[middle];
    if (order < 0) high = middle;
    else low = middle + 1;
  }
  return NULL;
}

/* Pushes what is in a file and returns 1; 0 if it cannot be opened. */
static int read_all(lua_State *L, const char *name) {
  FILE *file = fopen(name, "rb");
  if (!file) return 0;
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  size_t got;
  do {
    char *room = luaL_prepbuffer(&buffer);
    got = fread(room, 1, LUAL_BUFFERSIZE, file);
    luaL_addsize(&buffer, got);
  } while (got > 0);
  fclose(file);
  luaL_pushresult(&buffer);
  return 1;
}

/* Pushes the text of `path` ("edgeai/x.lua") and returns 1; 0 if there is no such file. */
static int push_text(lua_State *L, const char *path) {
  const char *folder = getenv("EDGEAI_LUA");
  if (folder && *folder && read_all(L, lua_pushfstring(L, "%s/%s", folder, path))) return 1;
  const ea_embedded_file *file = find_embedded(path); /* generated files are only ever embedded */
  if (!file) return 0;
  lua_pushlstring(L, file->text, file->bytes);
  return 1;
}

/* Pushes the chunk of `path` and returns 1; 0 if there is no such file. A broken file is an error
 * that names it. */
static int load_path(lua_State *L, const char *path) {
  size_t bytes;
  if (!push_text(L, path)) return 0;
  const char *text = lua_tolstring(L, -1, &bytes);
  if (luaL_loadbufferx(L, text, bytes, lua_pushfstring(L, "@%s", path), "t")) lua_error(L);
  return 1;
}

/* The module edgeai.embedded: a function from "edgeai/x.lua" to its text, nil if there is none. */
static int embedded_text(lua_State *L) {
  if (!push_text(L, luaL_checkstring(L, 1))) lua_pushnil(L);
  return 1;
}

static int open_embedded(lua_State *L) {
  lua_pushcfunction(L, embedded_text);
  return 1;
}

/* package.loaders entry: "edgeai.x.y" -> edgeai/x/y.lua or edgeai/x/y/init.lua. */
static int searcher(lua_State *L) {
  const char *module = luaL_checkstring(L, 1);
  if (strncmp(module, "edgeai", 6) != 0 || (module[6] != '.' && module[6] != '\0')) return 0;
  const char *path = luaL_gsub(L, module, ".", "/");
  if (load_path(L, lua_pushfstring(L, "%s.lua", path))) return 1;
  if (load_path(L, lua_pushfstring(L, "%s/init.lua", path))) return 1;
  lua_pushfstring(L, "\n\tno embedded file '%s.lua' or '%s/init.lua'", path, path);
  return 1;
}

static void install_searcher(lua_State *L) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "loaders");
  for (int i = (int)lua_objlen(L, -1); i >= 2; i--) { /* second: behind package.preload */
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushcfunction(L, searcher);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 2);
}

static int run(lua_State *L) {
  char **argv = lua_touserdata(L, 1);
  lua_settop(L, 0);
  luaL_openlibs(L);
  install_searcher(L);
  ea_preload(L, "edgeai.embedded", open_embedded);
  ea_host_open(L);
  ea_terminal_open(L);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "edgeai.cli.main");
  lua_call(L, 1, 1);
  lua_newtable(L);
  for (int i = 0; argv[i]; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i);
  }
  lua_call(L, 1, 1);
  return 1;
}

/* Only `make coverage` links it: it writes down which lines ran. */
extern void __gcov_dump(void) __attribute__((weak));

/* Libraries' own endings are skipped: OpenBLAS's waits for its threads, and those, where memory is
 * short, for memory, for ever. Handlers run last in, first out: the libraries' come behind. */
static void leave(int code, void *unused) {
  (void)unused;
  int bad = fflush(stdout) != 0 || ferror(stdout);
  if (bad && code == 0) {
    fprintf(stderr, "edgeai: cannot write the output: %s\n", strerror(errno));
    code = 1;
  }
  fflush(NULL);
  if (__gcov_dump) __gcov_dump();
  _exit(code);
}

int main(int argc, char **argv) {
  (void)argc;
  on_exit(leave, NULL);
  lua_State *L = luaL_newstate();
  if (!L) {
    fputs("edgeai: no memory for a Lua state\n", stderr);
    return 1;
  }
  int code = 1;
  lua_pushcfunction(L, run);
  lua_pushlightuserdata(L, argv);
  if (lua_pcall(L, 1, 1, 0) == 0) {
    code = (int)lua_tointeger(L, -1);
  } else {
    const char *message = lua_tostring(L, -1);
    fprintf(stderr, "edgeai: %s\n", message ? message : "an error without a message");
  }
  lua_close(L);
  return code;
}
