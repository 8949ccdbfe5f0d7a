-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.session - what the command line said, for the modules that act on it. Without a command
-- line (plain luajit) everything has the values below.
--
--   script     path of the script being run, or nil
--   settings   list of { key, value } from --set, in order
--   seed, threads, precision, out    from the options of the same names, or nil
--   resume     nil, true (the latest run) or the folder of the run to go on with
--   quiet      no progress lines
--   run        the run folder that ea.run.open opened last, or nil
--   help       the script's options are wanted, not its run
--   configured the script called ea.config

local session = { settings = {}, quiet = false, help = false }

local usage_error = { __tostring = function(e) return e.message end }

--- Raises what the program answers with exit code 2: something is wrong with the command line.
-- ask: the words behind `edgeai` that print the right help.
function session.fail_usage(ask, format, ...)
  error(setmetatable({ message = format:format(...), ask = ask, frames = {} }, usage_error), 0)
end

--- Was this raised by fail_usage?
function session.is_usage_error(e) return getmetatable(e) == usage_error end

return session
