-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.gallery - pictures with words as one HTML file that needs no other:
--
--   ea.vis.gallery("gallery.html", { title = "group3", text = "what its channels look for",
--     scale = 4, { picture, "channel 1", "mean activation 3.2" }, ... })
--
-- A picture is what ea.image takes; scale: screen pixels for one of its pixels (4); columns: how
-- many stand side by side (as many as the window has room for). Items may also be { heading =
-- "..." }. Written atomically.

local F = require "edgeai.ffi"
local image = require "edgeai.image"

local C = F.C

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(bytes)
  local out = {}
  for i = 1, #bytes, 3 do
    local a, b, c = bytes:byte(i, i + 2)
    local v = a * 65536 + (b or 0) * 256 + (c or 0)
    for k = 3, 0, -1 do
      local digit = math.floor(v / 64 ^ k) % 64
      local left_out = k == 0 and not c or k == 1 and not b
      out[#out + 1] = left_out and "=" or alphabet:sub(digit + 1, digit + 1)
    end
  end
  return table.concat(out)
end

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }
local function escape(s) return (tostring(s):gsub('[&<>"]', entities)) end

--- The bytes of a picture as PNG, by way of a file beside the target.
local function png_of(picture, path)
  local file = path .. ".png"
  image.save(file, picture)
  local f = assert(io.open(file, "rb"))
  local bytes = f:read("*a")
  f:close()
  os.remove(file)
  return bytes
end

local head = [[<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>%s</title><style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; background: #16181d; color: #e8e8ea }
h1, h2 { font-weight: 600 } h2 { margin: 1.6em 0 .6em } p { max-width: 50em; color: #b5b8c0 }
.all { gap: 14px; display: %s } figure { margin: 0 }
img { image-rendering: pixelated; display: block; border-radius: 4px }
figcaption { font-size: 13px; max-width: 160px } small { color: #8d929c }
</style></head><body><h1>%s</h1>
<p>%s</p>
<div class="all">
]]

local figure = [[<figure><img width="%d" height="%d" alt="%s" src="data:image/png;base64,%s">
<figcaption>%s <small>%s</small></figcaption></figure>
]]

--- Writes it: see the top of this file.
return function(path, given)
  if type(path) ~= "string" or type(given) ~= "table" then
    F.raise("vis.gallery: expected a path and a table of { picture, caption, more }")
  end
  local scale = given.scale or 4
  local title = escape(given.title or "")
  local columns = given.columns
    and ("grid; grid-template-columns: repeat(%d, max-content)"):format(given.columns)
  local parts = { head:format(title, columns or "flex; flex-wrap: wrap", title,
    escape(given.text or "")) }
  for _, item in ipairs(given) do
    if item.heading then
      parts[#parts + 1] = ('</div><h2>%s</h2><div class="all">\n'):format(escape(item.heading))
    else
      local picture = F.need_tensor(item[1], "vis.gallery: a picture")
      local caption = escape(item[2] or "")
      parts[#parts + 1] = figure:format(scale * picture:size(2), scale * picture:size(1), caption,
        base64(png_of(picture, path)), caption, escape(item[3] or ""))
    end
  end
  parts[#parts + 1] = "</div></body></html>\n"
  local text = table.concat(parts)
  F.check(C.ea_file_write(path, text, #text))
end
