-- SPDX-License-Identifier: GPL-3.0-or-later
-- `luarocks make` in a clone, after `make deps`: the library, its Lua files and the program as a
-- rock. The Lua files need LuaJIT: LUA_PATH and LUA_CPATH from `luarocks path`, then `luajit`.
rockspec_format = "3.0"
package = "edgeai"
version = "scm-1"
source = { url = "git+file://." } -- this clone: `luarocks make` fetches nothing
description = {
  summary = "Edge deep learning runtime: tensors, gradients, networks, community detection",
  license = "GPL-3.0-or-later",
}
dependencies = { "lua == 5.1" }
build = {
  type = "make",
  install_target = "rock",
  install_variables = { LUADIR = "$(LUADIR)", LIBDIR = "$(LIBDIR)", BINDIR = "$(BINDIR)" },
}
