-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.session - what the command line said, for the modules that act on it. Without a command
-- line (plain luajit) everything has the values below.
--
--   script     path of the script being run, or nil
--   settings   list of { key, value } from --set, in order
--   seed, threads, precision, out    from the options of the same names, or nil
--   resume     nil, true (the latest run) or the folder of the run to go on with
--   quiet      no progress lines
--   help       the script's options are wanted, not its run

return { settings = {}, quiet = false, help = false }
