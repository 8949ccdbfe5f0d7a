-- SPDX-License-Identifier: GPL-3.0-or-later
std = "luajit"
max_line_length = 100
globals = { "ea" } -- what `edgeai run`, `eval` and `test` provide
ignore = { "212/_.*", "213/_.*", "582" } -- 582: `not (x > y)` is meant, for NaN
files["tests/**/*_spec.lua"] = { std = "luajit+busted" }
files["lua/edgeai/cli"] = { globals = { "arg" } }
exclude_files = { "build*/**" }
