/* SPDX-License-Identifier: GPL-3.0-or-later
 * host.h - what the Lua side of the program needs from C and the core does not offer.
 */
#ifndef EA_CLI_HOST_H
#define EA_CLI_HOST_H

#include <lua.h>

/* Makes require(name) call `open`. */
void ea_preload(lua_State *L, const char *name, lua_CFunction open);

/* Puts the module "edgeai.cli.host" into package.preload. Its functions:
 *   catch_signals()   SIGINT and SIGTERM interrupt the core and, if it is running, Lua code
 *   interrupted()     0, or the number of the signal that came
 *   prompt()          from now on there is a prompt, see host.c; what loops call after a signal
 *   calm()            forgets Ctrl-C: nothing is running that could be stopped
 */
void ea_host_open(lua_State *L);

/* A file descriptor that can be read from once a signal came, until calm(); after catch_signals. */
int ea_host_wakes(void);

/* The same with "edgeai.cli.terminal": the line editor and the terminal.
 *   read_line(prompt, complete)   a line without its end; nil at the end of the input; false after
 *                    a signal. complete(text before the cursor) -> list of words that may replace
 *                    its last word, nil: names of files may; characters that end a word, nil: Lua's
 *   remember(text)   puts an entry into the editor's history
 *   append(path, text)   at the end of a file that only its owner can read
 *   ask(question, last, seconds)   writes to the terminal and returns what it answers up to the
 *                    character `last`, "" without an answer
 *   size()           columns and rows of the terminal, and their pixels (0 where it does not say)
 */
void ea_terminal_open(lua_State *L);

#endif
