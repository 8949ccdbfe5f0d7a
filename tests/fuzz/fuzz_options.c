/* SPDX-License-Identifier: GPL-3.0-or-later
 * fuzz_options.c - libFuzzer target: the command line, one word a line. The program's Lua files
 * read it, in a Lua state whose lines count as coverage; options.lua beside this file says what is
 * left out. Runs in the folder of the Makefile; $EDGEAI_BUILD is the build folder.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { COUNTERS = 1 << 14 };
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t counters[COUNTERS];

/* Steps from line to line, whatever the file: asking for its name takes longer than the line. */
static void on_line(lua_State *L, lua_Debug *where) {
  static uint32_t before;
  (void)L;
  counters[(before * 31 ^ (uint32_t)where->currentline) % COUNTERS]++;
  before = (uint32_t)where->currentline;
}

static lua_State *start(void) {
  lua_State *L = luaL_newstate();
  if (!L) abort();
  luaL_openlibs(L);
  if (luaL_loadfile(L, "tests/fuzz/options.lua") || lua_pcall(L, 0, 1, 0)) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    abort();
  }
  lua_sethook(L, on_line, LUA_MASKLINE, 0);
  return L;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  static lua_State *L;
  if (!L) L = start();
  lua_pushvalue(L, 1);
  lua_pushlstring(L, (const char *)data, bytes);
  if (lua_pcall(L, 1, 0, 0)) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    abort();
  }
  return 0;
}
