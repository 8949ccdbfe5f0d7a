-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.vis.sheet - the pictures of a gallery with their words as one PNG file:
--
--   ea.vis.sheet("channels.png", { title = "group3", text = "what its channels look for",
--     scale = 4, columns = 5, { picture, "channel 1", "mean activation 3.2" }, ... })
--
-- Takes the table that ea.vis.gallery takes, and columns (as many as make it about square; a
-- heading begins a new row), and shown: so many of its items only, the first ones. Pictures are
-- enlarged by whole pixels. Words are drawn by gnuplot; without it the pictures are written alone.
-- Returns true; or nil and a sentence if there are no words. Written atomically.

local F = require "edgeai.ffi"
local G = require "edgeai.gnuplot"
local image = require "edgeai.image"
local tensor = require "edgeai.tensor"

local GAP = 10 -- pixels between pictures, and around all
local LEAST = 80 -- the narrowest column, for its words
-- Pixels of a line, size of the letters, colour, of each kind of words.
local kinds = { title = { 30, 15, G.ink, ":Bold" }, text = { 18, 10, G.soft, "" },
  heading = { 32, 12, G.ink, ":Bold" }, caption = { 16, 10, G.ink, "" },
  more = { 14, 9, G.soft, "" } }

--- A picture as u8 {h, w, 3}, enlarged; alpha lets white through.
local function coloured(picture, scale)
  local x = image.upscale(picture, scale)
  local h, w, c = unpack(x.shape)
  if c == 1 then return x:expand(h, w, 3):clone() end
  if c == 3 then return x end
  local alpha = x:narrow(3, 4, 1):to("f32") / 255
  local rgb = x:narrow(3, 1, 3):to("f32") * alpha + (1 - alpha) * 255
  return tensor.empty({ h, w, 3 }, "u8"):copy(rgb)
end

-- How many letters of a kind there is room for.
local function room(kind, pixels)
  return math.max(4, math.floor(pixels / (0.74 * kinds[kind][2])))
end

--- Words, cut where there is no room for more.
local function cut(words, kind, pixels)
  local letters = {}
  for letter in tostring(words):gmatch("[%z\1-\127\194-\244][\128-\191]*") do
    letters[#letters + 1] = letter
  end
  local most = room(kind, pixels)
  if #letters <= most then return table.concat(letters) end
  return table.concat(letters, "", 1, most - 1) .. "…"
end

--- Words in lines that there is room for.
local function lines_of(words, kind, pixels)
  local lines, most = {}, room(kind, pixels)
  for word in tostring(words):gmatch("%S+") do
    local last = lines[#lines]
    if last and #last + 1 + #word <= most then
      lines[#lines] = last .. " " .. word
    else
      lines[#lines + 1] = word
    end
  end
  return lines
end

--- Items in rows: { heading = } or { cells of pictures }.
local function rows_of(given, columns)
  local rows, row = {}, nil
  for i, item in ipairs(given) do
    if i > (given.shown or #given) then break end
    if item.heading then
      rows[#rows + 1], row = { heading = item.heading }, nil
    else
      if not row or #row == columns then
        row = {}
        rows[#rows + 1] = row
      end
      row[#row + 1] = { picture = coloured(F.need_tensor(item[1], "vis.sheet: a picture"),
        given.scale or 4), item[2], item[3] }
    end
  end
  return rows
end

--- Where everything goes: { width, height, words = { { kind, text, x, y } }, pictures = { { t, x, y
-- } } }; y is the middle of a line, the top of a picture.
local function laid_out(given)
  local count, widest, most = 0, LEAST, 0
  for i = 1, given.shown or #given do count = count + (given[i].heading and 0 or 1) end
  if count == 0 then F.raise("vis.sheet: there are no pictures to show") end
  local rows = rows_of(given, given.columns or math.ceil(math.sqrt(1.5 * count)))
  for _, row in ipairs(rows) do
    for _, cell in ipairs(row) do widest = math.max(widest, cell.picture:size(2)) end
    most = math.max(most, #row)
  end
  local s = { words = {}, pictures = {}, width = GAP + most * (widest + GAP), height = GAP }
  local function say(kind, words, x, pixels)
    s.words[#s.words + 1] = { kind, cut(words, kind, pixels), x, s.height + kinds[kind][1] / 2 }
  end
  local function line(kind, words)
    say(kind, words, GAP, s.width - 2 * GAP)
    s.height = s.height + kinds[kind][1]
  end
  if given.title then line("title", given.title) end
  for _, words in ipairs(lines_of(given.text or "", "text", s.width - 2 * GAP)) do
    line("text", words)
  end
  if s.height > GAP then s.height = s.height + 4 end
  for _, row in ipairs(rows) do
    if row.heading then line("heading", row.heading) end
    local tallest, said = 0, {}
    for k, cell in ipairs(row) do
      s.pictures[#s.pictures + 1] = { cell.picture, GAP + (k - 1) * (widest + GAP), s.height }
      tallest = math.max(tallest, cell.picture:size(1))
    end
    s.height = s.height + tallest
    for i, kind in ipairs { "caption", "more" } do
      for k, cell in ipairs(row) do
        if cell[i] and cell[i] ~= "" then
          say(kind, cell[i], GAP + (k - 1) * (widest + GAP), widest)
          said[i] = true
        end
      end
      if said[i] then s.height = s.height + kinds[kind][1] end
    end
    if not row.heading then s.height = s.height + GAP end
  end
  return s
end

--- A picture of the words, or nil and why there is none.
local function written(s, path)
  local script = { "set margins 0,0,0,0\nunset border\nunset tics\nunset key\n" }
  for _, word in ipairs(s.words) do
    local kind, words, x, y = unpack(word)
    script[#script + 1] = ("set label %s at screen %.6f,%.6f left front font \"%s%s,%d\" textcolor "
      .. "rgb %s\n"):format(G.quote(words), x / s.width, 1 - y / s.height, G.font, kinds[kind][4],
      kinds[kind][2], G.quote(kinds[kind][3]))
  end
  script[#script + 1] = "plot [0:1] [0:1] NaN\n"
  local file = path .. ".words.png"
  local ok, why = G.draw(file, s.width, s.height, table.concat(script))
  if not ok then return nil, (why:gsub("%.words%.png was not drawn", " has no words", 1)) end
  local picture = image.load(file, 3)
  os.remove(file)
  return picture
end

--- Writes it: see the top of this file.
return function(path, given)
  if type(path) ~= "string" or not path:find("%.png$") or type(given) ~= "table" then
    F.raise("vis.sheet: expected the path of a PNG file and a table of { picture, caption, more }")
  end
  local s, why = laid_out(given), nil
  local sheet
  if #s.words > 0 then sheet, why = written(s, path) end
  sheet = sheet or tensor.full({ s.height, s.width, 3 }, 255, "u8")
  for _, place in ipairs(s.pictures) do
    local picture, x, y = unpack(place)
    sheet:narrow(1, y + 1, picture:size(1)):narrow(2, x + 1, picture:size(2)):copy(picture)
  end
  image.save(path, sheet)
  if why then return nil, why end
  return true
end
