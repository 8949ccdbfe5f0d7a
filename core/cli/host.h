/* SPDX-License-Identifier: GPL-3.0-or-later
 * host.h - what the Lua side of the program needs from C and the core does not offer.
 */
#ifndef EA_CLI_HOST_H
#define EA_CLI_HOST_H

#include <lua.h>

/* Makes require(name) call `open`. */
void ea_preload(lua_State *L, const char *name, lua_CFunction open);

/* Puts the module "edgeai.cli.host" into package.preload. Its functions:
 *   catch_signals()        SIGINT and SIGTERM interrupt the core and, if it is running, Lua code
 *   interrupted()          0, or the number of the signal that came
 *   readline(prompt)       a line without its end; nil at the end of the input, false on Ctrl-C
 *   history_load(path), history_add(line), history_save(path)
 */
void ea_host_open(lua_State *L);

#endif
