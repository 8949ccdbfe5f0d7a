-- SPDX-License-Identifier: GPL-3.0-or-later
-- man.lua - the manual page edgeai(1), from what the commands say of themselves.

local man = {}

local environment = {
  { "EDGEAI_CONV", "portable: convolutions run through OpenBLAS, not oneDNN; onednn: none by"
    .. " kernels of our own." },
  { "EDGEAI_DATA", "Folder where data sets are looked for first and fetched to." },
  { "EDGEAI_GRAPHICS", "Pictures in a terminal: kitty, iterm2, sixel, blocks or none." },
  { "EDGEAI_LUA", "Folder whose Lua files are used instead of those in the program." },
  { "EDGEAI_PATH", "Folders, joined by colons, where modules are looked for behind the script's." },
  { "EDGEAI_PLUGINS", "Folders, joined by colons, where plugins are looked for behind ./plugins; "
    .. "what is in them is trusted." },
  { "EDGEAI_ZOO", "Folder of trained networks: FILE.safetensors is zoo:FILE." },
}

local files = {
  { "runs/NAME/DATE-TIME/", "A run: options, metrics, networks, pictures. runs/NAME/latest is the "
    .. "newest." },
  { "~/.cache/edgeai/", "Data sets, in folders of their names; /usr/share/datasets is looked "
    .. "through after it." },
  { "~/.local/share/edgeai/plugins/", "The user's plugins, in folders of their names." },
  { "~/.local/state/edgeai/history", "What was typed at the prompt." },
}

local exits = { { "0", "done" }, { "1", "failed" }, { "2", "wrong usage" },
  { "130, 143", "stopped by Ctrl-C, by SIGTERM" } }

--- Text for roff: backslashes, and what begins a request.
local function plain(text)
  return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("^([.'])", "\\&%1")
    :gsub("\n([.'])", "\n\\&%1"):gsub("`([^`]*)`", "\\fB%1\\fR"))
end

local function tagged(out, list)
  for _, item in ipairs(list) do
    out[#out + 1] = ".TP\n.B " .. plain(item[1]) .. "\n" .. plain(item[2])
  end
end

local function command_names()
  local names, pipe = {}, assert(io.popen("ls lua/edgeai/cli/command_*.lua"))
  for path in pipe:lines() do names[#names + 1] = path:match("command_([%w_]+)%.lua$") end
  pipe:close()
  return names
end

local function sentence(text)
  return text:sub(1, 1):upper() .. text:sub(2):gsub("%.$", "") .. "."
end

function man.page(version)
  local out = { ('.TH EDGEAI 1 "" "edgeai %s" "User Commands"'):format(version),
    ".SH NAME\nedgeai \\- run experiments of edge deep learning", ".SH SYNOPSIS",
    ".B edgeai\n.I COMMAND\n[arguments]", ".br\n.B edgeai", ".SH DESCRIPTION",
    plain "Runs Lua scripts over tensors, automatic gradients and networks. Without a command it "
      .. "reads, evaluates and prints.",
    plain "`edgeai COMMAND --help` says the same as here, `edgeai run SCRIPT --help` what "
      .. "a script's own options are.", ".SH COMMANDS" }
  for _, name in ipairs(command_names()) do
    local command = require("edgeai.cli.command_" .. name)
    out[#out + 1] = ".SS " .. plain("edgeai " .. command.usage)
    out[#out + 1] = plain(sentence(command.summary))
    if command.help then out[#out + 1] = ".PP\n.nf\n" .. plain(command.help) .. "\n.fi" end
    for _, option in ipairs(command.options or {}) do
      out[#out + 1] = (".TP\n\\fB%s\\fR%s\n%s"):format(plain(option[1]),
        option[2] and " \\fI" .. plain(option[2]) .. "\\fR" or "", plain(sentence(option[3])))
    end
  end
  out[#out + 1] = ".SH EXIT STATUS"
  tagged(out, exits)
  out[#out + 1] = ".SH ENVIRONMENT"
  tagged(out, environment)
  out[#out + 1] = ".SH FILES"
  tagged(out, files)
  return table.concat(out, "\n") .. "\n"
end

return man
