/* SPDX-License-Identifier: GPL-3.0-or-later
 * terminal.c - the line editor (readline), and questions to the terminal.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <termios.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <readline/history.h>
#include <readline/readline.h>

#include "../base/base.h"
#include "host.h"

/* ---- completion ------------------------------------------------------------------------------
 * readline asks for the characters that end a word before it looks for the word: then Lua is asked
 * for the words that may stand there. */
enum { PROMPT = 1, COMPLETE }; /* read_line's arguments */

static lua_State *state;
static char **words; /* as readline wants them: the common beginning first */

static char *copy(const char *s) {
  char *to = malloc(strlen(s) + 1); /* readline frees it */
  return to ? strcpy(to, s) : NULL;
}

static char **matches_of(lua_State *L, int list) {
  size_t n = lua_objlen(L, list), same = 0;
  char **found = n ? calloc(n + 2, sizeof *found) : NULL;
  if (!found) return NULL;
  for (size_t i = 1; i <= n; i++) {
    lua_rawgeti(L, list, (int)i);
    found[i] = copy(lua_tostring(L, -1));
    lua_pop(L, 1);
    size_t k = 0;
    if (i == 1) same = strlen(found[1]);
    while (k < same && found[i][k] == found[1][k]) k++;
    same = k;
  }
  found[0] = copy(found[1]);
  found[0][same] = 0;
  if (n == 1) {
    free(found[1]);
    found[1] = NULL;
  }
  return found;
}

static char *find_words(void) {
  static char ends[64];
  lua_State *L = state;
  int top = lua_gettop(L);
  words = NULL;
  rl_attempted_completion_over = 1; /* no names of files */
  lua_pushvalue(L, COMPLETE);
  lua_pushlstring(L, rl_line_buffer, (size_t)rl_point);
  int good = lua_pcall(L, 1, 2, 0) == 0;
  if (good && lua_istable(L, top + 1)) words = matches_of(L, top + 1);
  else if (good) rl_attempted_completion_over = 0;
  const char *given = good ? lua_tostring(L, top + 2) : NULL;
  snprintf(ends, sizeof ends, "%s", given ? given : " \t\n\"'><=;|&{}()[],+-*/^%#~.:");
  lua_settop(L, top);
  return ends;
}

static char **give_words(const char *text, int start, int end) {
  (void)start;
  (void)end;
  int files = !rl_attempted_completion_over;
  rl_attempted_completion_over = 1;
  rl_filename_completion_desired = files;
  rl_completion_append_character = '\0';
  return files ? rl_completion_matches(text, rl_filename_completion_function) : words;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static char *finished_line;
static int line_is_finished;

static void on_line(char *line) {
  finished_line = line;
  line_is_finished = 1;
  rl_callback_handler_remove(); /* puts the terminal back */
}

static void set_up(void) {
  rl_readline_name = "edgeai";
  rl_variable_bind("show-all-if-ambiguous", "on"); /* ~/.inputrc may say otherwise */
  rl_catch_signals = 0;
  rl_completion_word_break_hook = find_words;
  rl_attempted_completion_function = give_words;
  using_history();
}

/* 1: there are keys; -1: a signal came, also before the call, also if another thread took it. */
static int wait_for_keys(void) {
  int woken = ea_host_wakes();
  fd_set input;
  FD_ZERO(&input);
  FD_SET(STDIN_FILENO, &input);
  FD_SET(woken, &input);
  int ready = select(EA_MAX(STDIN_FILENO, woken) + 1, &input, NULL, NULL, NULL);
  if (ea_interrupt_pending()) return -1;
  if (ready < 0) return errno == EINTR ? 0 : -1;
  return FD_ISSET(STDIN_FILENO, &input) != 0;
}

static int read_line(lua_State *L) {
  const char *prompt = luaL_checkstring(L, PROMPT);
  luaL_checktype(L, COMPLETE, LUA_TFUNCTION);
  if (!state) set_up();
  state = L;
  line_is_finished = 0;
  rl_callback_handler_install(prompt, on_line);
  int ready = 0;
  while (!line_is_finished && ready >= 0) {
    ready = wait_for_keys();
    if (ready > 0) rl_callback_read_char();
  }
  if (ready < 0) {
    rl_callback_handler_remove();
    rl_free_line_state();
    rl_replace_line("", 0);
    fputs("\n", stdout);
    lua_pushboolean(L, 0);
  } else if (finished_line) {
    lua_pushstring(L, finished_line);
    free(finished_line);
  } else {
    lua_pushnil(L);
  }
  finished_line = NULL;
  return 1;
}

/* An older entry of the same text goes: the history has no duplicates. */
static int remember(lua_State *L) {
  const char *text = luaL_checkstring(L, 1);
  for (int i = history_length - 1; i >= 0; i--) {
    HIST_ENTRY *entry = history_get(history_base + i);
    if (entry && strcmp(entry->line, text) == 0) free_history_entry(remove_history(i));
  }
  add_history(text);
  return 0;
}

static int append(lua_State *L) {
  size_t bytes;
  const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &bytes);
  int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  int good = file >= 0 && write(file, text, bytes) == (ssize_t)bytes;
  if (file >= 0) close(file);
  lua_pushboolean(L, good);
  return 1;
}

/* ---- questions ------------------------------------------------------------------------------- */

static size_t listen(char *answer, size_t room, char last, double seconds) {
  size_t n = 0;
  for (double end = ea_clock() + seconds; n < room && (n == 0 || answer[n - 1] != last);) {
    double left = end - ea_clock();
    struct timeval wait = {.tv_usec = (suseconds_t)(left * 1e6)};
    fd_set input;
    FD_ZERO(&input);
    FD_SET(STDIN_FILENO, &input);
    if (left <= 0 || left >= 1 || select(STDIN_FILENO + 1, &input, NULL, NULL, &wait) <= 0) break;
    ssize_t got = read(STDIN_FILENO, answer + n, 1);
    if (got <= 0) break;
    n++;
  }
  return n;
}

static int ask(lua_State *L) {
  size_t bytes, got = 0;
  const char *question = luaL_checklstring(L, 1, &bytes), *last = luaL_checkstring(L, 2);
  double seconds = luaL_checknumber(L, 3);
  char answer[512];
  struct termios before, raw;
  fflush(stdout);
  if (tcgetattr(STDIN_FILENO, &before) == 0) {
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    if (write(STDOUT_FILENO, question, bytes) == (ssize_t)bytes)
      got = listen(answer, sizeof answer, *last, seconds);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
  }
  lua_pushlstring(L, answer, got);
  return 1;
}

static int size(lua_State *L) {
  struct winsize w = {0};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) || w.ws_col == 0) {
    w = (struct winsize){.ws_col = 80, .ws_row = 24};
  }
  lua_pushinteger(L, w.ws_col);
  lua_pushinteger(L, w.ws_row);
  lua_pushinteger(L, w.ws_xpixel);
  lua_pushinteger(L, w.ws_ypixel);
  return 4;
}

static int open_module(lua_State *L) {
  static const luaL_Reg functions[] = {{"read_line", read_line}, {"remember", remember},
                                       {"append", append},       {"ask", ask},
                                       {"size", size},           {NULL, NULL}};
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  return 1;
}

void ea_terminal_open(lua_State *L) { ea_preload(L, "edgeai.cli.terminal", open_module); }
