-- SPDX-License-Identifier: GPL-3.0-or-later
std = "luajit"
max_line_length = 100
globals = { "ea" } -- what `edgeai run`, `eval` and `test` provide
ignore = { "212/_.*", "213/_.*", "581" } -- 581: `not (x > y)` is meant, for NaN
-- 311: tests of memory set variables to nil so that the values can be collected.
files["tests/**/*_spec.lua"] = { std = "luajit+busted", ignore = { "311" } }
files["plugins/**/*_spec.lua"] = { std = "luajit+busted" }
files["lua/edgeai/cli"] = { globals = { "arg" } }
exclude_files = { "build*/**" }
files["lua/edgeai/ffi.lua"] = { ignore = { "241" } } -- a table that only keeps things alive
