-- SPDX-License-Identifier: GPL-3.0-or-later
-- make.lua - `make docs`: the reference out of the comments, into a folder: api/*.md, edgeai.1, and
-- edgeai.d.lua for editors. Returns a function of the folder; run from the top of the repository.

return function(folder)
  local ea = require "edgeai"
  local F = require "edgeai.ffi"
  local public = dofile "docs/reference/public.lua"
  local function write(name, text)
    F.check(F.C.ea_file_write(folder .. "/" .. name, text, #text))
  end
  F.check(F.C.ea_make_folder(folder .. "/api"))
  local pages = dofile("docs/reference/markdown.lua").pages(public)
  for _, page in ipairs(pages) do write("api/" .. page.file, page.text) end
  write("edgeai.1", dofile("docs/reference/man.lua").page(ea.version))
  write("edgeai.d.lua", dofile("docs/reference/luals.lua").file(public, ea.version))
  return ("%s: %d pages of reference, edgeai.1, edgeai.d.lua"):format(folder, #pages)
end
