-- SPDX-License-Identifier: GPL-3.0-or-later
-- Hostile files, made on the spot: a list of { name, bytes, says }. tests/lua/attacks_spec.lua
-- loads each by its extension and expects one sentence with `says` in it, within a second and
-- little memory.

local function u16(n) return string.char(n % 256, math.floor(n / 256) % 256) end
local function u32(n) return u16(n % 65536) .. u16(math.floor(n / 65536)) end
local function be32(n) return u32(n):reverse() end
local function u64(n) return u32(n % 2 ^ 32) .. u32(math.floor(n / 2 ^ 32)) end

local function crc32(s)
  local crc = bit.bnot(0)
  for i = 1, #s do
    crc = bit.bxor(crc, s:byte(i))
    for _ = 1, 8 do
      crc = bit.bxor(bit.rshift(crc, 1), bit.band(crc, 1) ~= 0 and 0xEDB88320 or 0)
    end
  end
  return bit.bnot(crc) % 2 ^ 32
end

local attacks = {}
local function attack(name, bytes, says)
  attacks[#attacks + 1] = { name = name, bytes = bytes, says = says }
end

-- ---- safetensors -------------------------------------------------------------------------------

local function safetensors(header, data) return u64(#header) .. header .. (data or "") end
local function item(name, dtype, shape, first, last)
  return ('"%s":{"dtype":"%s","shape":%s,"data_offsets":[%s,%s]}'):format(name, dtype, shape, first,
    last)
end
local four, eight = ("x"):rep(4), ("x"):rep(8)

attack("empty.safetensors", "", "not a safetensors file")
attack("header-2^63.safetensors", ("\255"):rep(8) .. "{}", "not a safetensors file")
attack("header-100MB.safetensors", u64(100000001) .. "{}", "not a safetensors file")
attack("header-beyond-end.safetensors", u64(99999999) .. "{}", "cut off")
attack("header-array.safetensors", safetensors("[]"), "no JSON object")
attack("duplicate-key.safetensors", safetensors("{" .. item("a", "F32", "[1]", 0, 4) .. ","
  .. item("a", "F32", "[1]", 4, 8) .. "}", eight), "duplicate")
attack("overlap.safetensors", safetensors("{" .. item("a", "F32", "[2]", 0, 8) .. ","
  .. item("b", "F32", "[1]", 4, 8) .. "}", eight), "overlaps")
attack("hole.safetensors", safetensors("{" .. item("a", "F32", "[1]", 4, 8) .. "}", eight),
  "belong to no tensor")
attack("polyglot-zip.safetensors", safetensors("{" .. item("a", "F32", "[1]", 0, 4) .. "}",
  four .. "PK\5\6" .. ("\0"):rep(18)), "belong to no tensor")
attack("shape-2^63.safetensors", safetensors("{" .. item("a", "F32", "[9223372036854775807]", 0, 4)
  .. "}", four), "impossible shape")
attack("shape-wraps.safetensors", safetensors("{"
  .. item("a", "F32", "[4294967296,4294967296]", 0, 0) .. "}"), "impossible shape")
attack("shape-1e300.safetensors", safetensors("{" .. item("a", "U8", "[1e300]", 0, 4) .. "}", four),
  "impossible shape")
attack("offset-negative.safetensors", safetensors("{" .. item("a", "F32", "[1]", -4, 0) .. "}",
  four), "outside")
attack("offset-beyond.safetensors", safetensors("{" .. item("a", "U8", "[9007199254740991]", 0,
  "9007199254740991") .. "}", four), "outside")
attack("dims-1000.safetensors", safetensors("{"
  .. item("a", "F32", "[" .. ("1,"):rep(999) .. "1]", 0, 4) .. "}", four), "8 dimensions")
attack("deep.safetensors", safetensors('{"a":' .. ("["):rep(100000) .. ("]"):rep(100000) .. "}"),
  "not valid JSON")
attack("wide.safetensors", safetensors('{"a":[' .. ("[],"):rep(3000000) .. "0]}"), "MiB when read")
attack("not-utf8.safetensors", safetensors('{"\255":1}'), "not valid JSON")
attack("terminal.safetensors", safetensors('{"\\u001b[2J":1}'), '"?[2J"')
attack("metadata-number.safetensors", safetensors('{"__metadata__":{"a":1}}'), "not a text")
attack("pickle.safetensors", "\128\2}q\0X\1\0\0\0aq\1cos\nsystem\nq\2.", "not a safetensors file")

-- ---- npy ---------------------------------------------------------------------------------------

local function npy(dictionary, data)
  return "\147NUMPY\1\0" .. u16(#dictionary) .. dictionary .. (data or "")
end
local function array(descr, shape, data, order)
  return npy(("{'descr': %s, 'fortran_order': %s, 'shape': %s, }"):format(descr, order or "False",
    shape), data)
end

attack("pickle.npy", array("'|O'", "(1,)", "\128\2cos\nsystem\n."), "pickled")
attack("record.npy", array("[('a', '<f4')]", "(1,)", four), "header")
attack("code.npy", npy("__import__('os').system('true')"), "header")
attack("huge.npy", array("'<f4'", "(1000000000000,)", four), "declares")
attack("wraps.npy", array("'<f4'", "(4294967296, 4294967296)"), "impossible shape")
attack("longer.npy", array("'<f4'", "(1,)", eight), "declares")
attack("header-4GB.npy", "\147NUMPY\2\0" .. ("\255"):rep(4) .. "{", "header")
attack("shape-negative.npy", array("'<f4'", "(-1, -1)", four), "header")
attack("strides-negative.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), "
  .. "'strides': (-4,)}", four), "header")
attack("dims.npy", array("'<f4'", "(" .. ("1,"):rep(5000) .. ")", four), "header")

-- ---- npz ---------------------------------------------------------------------------------------

--- A zip file of members { name, data, method, size (claimed), flags }.
local function zip(members)
  local body, directory = "", ""
  for _, m in ipairs(members) do
    local common = u16(20) .. u16(m.flags or 0) .. u16(m.method or 0) .. u32(0x210000)
      .. u32(crc32(m.data)) .. u32(#m.data) .. u32(m.size or #m.data) .. u16(#m.name) .. u16(0)
    directory = directory .. "PK\1\2" .. u16(20) .. common .. u16(0) .. u16(0) .. u16(0) .. u32(0)
      .. u32(#body) .. m.name
    body = body .. "PK\3\4" .. common .. m.name .. m.data
  end
  return body .. directory .. "PK\5\6" .. u32(0) .. u16(#members) .. u16(#members)
    .. u32(#directory) .. u32(#body) .. u16(0)
end
local good = array("'<f4'", "(1,)", four)

attack("bomb.npz",
  zip { { name = "a.npy", data = ("\0"):rep(100), method = 8, size = 4000000000 } },
  "claims to unpack")
local many = {}
for i = 1, 200 do
  many[i] = { name = i .. ".npy", data = ("\0"):rep(60), method = 8, size = 50000000 }
end
attack("bomb-of-many.npz", zip(many), "claims to unpack")
attack("lying-size.npz", zip { { name = "a.npy", data = good, method = 8, size = #good } }, "a.npy")
attack("longer-member.npz", zip { { name = "a.npy", data = good .. "more" } }, "declares")
attack("duplicate.npz", zip { { name = "a.npy", data = good }, { name = "a.npy", data = good } },
  "already")
for name, member in pairs { up = "../../a.npy", inside = "a/../../b.npy", root = "/a.npy" } do
  attack("leads-out-" .. name .. ".npz", zip { { name = member, data = good } }, "leads out")
end
attack("not-an-array.npz", zip { { name = "readme.txt", data = "hello" } }, "not an array")
attack("encrypted.npz", zip { { name = "a.npy", data = good, flags = 1 } }, "encrypted")
attack("pickle.npz", zip { { name = "a.npy", data = array("'|O'", "(1,)", "\128\2.") } }, "pickled")
attack("cut.npz", zip({ { name = "a.npy", data = good } }):sub(1, -10), "not a whole .npz")

-- ---- pictures ----------------------------------------------------------------------------------

local function chunk(kind, data) return be32(#data) .. kind .. data .. be32(crc32(kind .. data)) end
local function png(width, height, rest)
  return "\137PNG\r\n\26\n" .. chunk("IHDR", be32(width) .. be32(height) .. "\8\2\0\0\0") .. rest
end
local idat = chunk("IDAT", "x\156\3\0\0\0\0\1") -- an empty stream

attack("pixels-65500.png", png(65500, 65500, idat), "claims to unpack")
attack("pixels-8192.png", png(8192, 8192, idat), "claims to unpack")
attack("pixels-2^31.png", png(2 ^ 31 - 1, 1, idat), "not a whole PNG")
attack("pixels-0.png", png(0, 0, idat), "not a whole PNG")
attack("text-2GB.png", png(1, 1, be32(2 ^ 31 - 1) .. "tEXt"), "ends too early")
attack("no-pixels.png", png(4, 4, idat .. chunk("IEND", "")), "not a whole PNG")
attack("cut.png", png(4, 4, ""), "ends too early")
attack("html.png", "<html>404</html>", "not a whole PNG")

local function jpeg(width, height, kind)
  return "\255\216\255" .. (kind or "\192") .. "\0\11\8" .. be32(height):sub(3)
    .. be32(width):sub(3) .. "\1\1\17\0"
end
local scan = "\255\218\0\8\1\1\0\0\63\0"
attack("pixels-65500.jpg", jpeg(65500, 65500) .. scan, "65500 x 65500")
attack("pixels-8192.jpg", jpeg(8192, 8192) .. scan, "claims to unpack")
attack("pixels-0.jpg", jpeg(0, 8) .. scan, "not a whole JPEG")
-- Scans of one pixel's worth of a progressive picture: each a pass over all of it.
local table_of_one = "\255\196\0\20\0\1" .. ("\0"):rep(15) .. "\0"
attack("scans.jpg", jpeg(4096, 4096, "\194") .. table_of_one
  .. ("\255\218\0\8\1\1\0\0\0\0" .. ("\0"):rep(300)):rep(150) .. "\255\217", "JPEG")
attack("cut.jpg", jpeg(8, 8), "not a whole JPEG")
attack("html.jpg", "<html>404</html>", "not a whole JPEG")

-- ---- data sets ---------------------------------------------------------------------------------

-- A gzip stream of zeros that unpacks to 158 times its size: one literal, then copies of 258 bytes
-- at distance 1, 13 bits each, of fixed Huffman codes.
local function gz_zeros(header, copies)
  local bits, out, n = {}, {}, 0
  local function put(value, count) -- least significant bit first
    for k = 0, count - 1 do bits[#bits + 1] = math.floor(value / 2 ^ k) % 2 end
  end
  local function literal(byte) -- most significant bit of a code first
    local code, count = byte < 144 and 48 + byte or 256 + byte, byte < 144 and 8 or 9
    for k = count - 1, 0, -1 do bits[#bits + 1] = math.floor(code / 2 ^ k) % 2 end
  end
  put(1, 1) -- the last block
  put(1, 2) -- of fixed codes
  for i = 1, #header do literal(header:byte(i)) end
  literal(0)
  local function copy() for _, b in ipairs { 1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0 } do
    bits[#bits + 1] = b
  end end
  while #bits % 8 ~= 0 do copy() end
  local first = #bits
  for _ = 1, 8 do copy() end
  local function bytes(from, to)
    out, n = {}, 0
    for i = from, to, 8 do
      local byte = 0
      for k = 0, 7 do byte = byte + (bits[i + k] or 0) * 2 ^ k end
      n = n + 1
      out[n] = string.char(byte)
    end
    return table.concat(out)
  end
  return "\31\139\8\0\0\0\0\0\0\3" .. bytes(1, first)
    .. bytes(first + 1, #bits):rep(math.floor(copies / 8))
end
local function idx(...)
  local head = { "\0\0\8" .. string.char(select("#", ...)) }
  for _, n in ipairs { ... } do head[#head + 1] = be32(n) end
  return table.concat(head)
end

attack("promises.idx", idx(60000, 28, 28) .. "short", "promises")
attack("size-2^96.idx", idx(2 ^ 32 - 1, 2 ^ 32 - 1, 2 ^ 32 - 1), "impossible")
attack("size-4GB.idx", idx(2 ^ 32 - 1) .. "x", "promises")
attack("dims-255.idx", "\0\0\8\255" .. ("\0"):rep(2000), "1 to 4 dimensions")
attack("floats.idx", "\0\0\13\1" .. be32(1) .. four, "another type")
attack("empty.idx", "", "too short")
-- 50 million zeros behind a header of ten, and a header of 4 GB before them.
attack("bomb-gz.idx", gz_zeros(idx(10), 200000), "more data than its header promises")
attack("bomb-gz-claim.idx", gz_zeros(idx(2 ^ 32 - 1), 200), "claims to unpack")
attack("cut-gz.idx", gz_zeros(idx(1000), 0), "ends too early")
attack("record-cut.cifar", ("x"):rep(3072), "record")
attack("empty.cifar", "", "not a multiple")
attack("label-200.cifar", "\200" .. ("x"):rep(3072), "label")

-- ---- JSON --------------------------------------------------------------------------------------

attack("deep.json", ("["):rep(1000000) .. ("]"):rep(1000000), "JSON")
attack("deep-objects.json", ('{"a":'):rep(100000) .. "1" .. ("}"):rep(100000), "JSON")
attack("duplicate.json", '{"a":1,"a":2}', "duplicate")
attack("wide.json", "[" .. ("[],"):rep(3000000) .. "0]", "MiB when read")
attack("number.json", '{"a":1e999}', "JSON")
attack("surrogate.json", '"\\ud800"', "JSON")
attack("not-utf8.json", '"\255"', "JSON")
attack("two.json", "{}{}", "JSON")
attack("nan.json", "[NaN]", "JSON")

-- ---- models ------------------------------------------------------------------------------------

local function model(nodes, size, outputs)
  return ('{"version":1,"inputs":[{"dtype":"f32","size":%s}],"tensors":{},"nodes":[%s],'
    .. '"outputs":%s}'):format(size or "[2,3]", nodes, outputs or "[1]")
end
local function node(op, attrs, inputs)
  return ('{"op":"%s","in":%s,"attrs":%s}'):format(op, inputs or "[0]", attrs or "{}")
end

attack("no-json.model", "\128\2}q\0.", "edgeai.graph")
attack("op-unknown.model", model(node "system"), "no op")
attack("op-terminal.model", model(node "\\u001b[2J"), "no op")
attack("attribute-nan.model", model(node("narrow", '{"start":"nan"}')), "no op")
attack("slice-nan.model", model(node("slice", '{"axis":"nan","length":1}')), "whole number")
attack("slice-inf.model", model(node("slice", '{"axis":0,"length":"inf"}')), "whole number")
attack("slice-2^63.model", model(node("slice", '{"axis":0,"length":9223372036854775807}')),
  "slice")
attack("attribute-unknown.model", model(node("relu", '{"evil":1}')), "unknown attribute")
attack("future.model", model(node("relu", "{}", "[7]")), "out of place")
attack("itself.model", model(node("relu", "{}", "[1]")), "out of place")
attack("negative.model", model(node("relu", "{}", "[-1]")), "out of place")
attack("output-2^63.model", model(node "relu", nil, "[9223372036854775807]"), "out of place")
attack("no-outputs.model", model(node "relu", nil, "[]"), "no outputs")
attack("inputs-17.model", model(node("concat", "{}", "[" .. ("0,"):rep(99) .. "0]")), "at most 16")
attack("dims-9.model", model(node "relu", "[1,1,1,1,1,1,1,1,1]"), "at most 8")
attack("size-2^60.model", model(node "relu", "[1152921504606846976]"), "out of place")
attack("list-of-1000.model", model(node("reshape", '{"size":[' .. ("1,"):rep(999) .. "1]}")),
  "too many attributes")
attack("constant-2^40.model", model(node("add", "{}", '[0,{"dtype":"f32","size":[1099511627776],'
  .. '"values":[]}]')), "not as many values")
attack("expand-2^50.model", model(node("expand", '{"size":[1125899906842624,2,3]}')), "too large")
attack("pad-2^30.model", model(node("pad2d", '{"top":1073741824,"left":1073741824}'), "[1,2,2,1]"),
  "border")
attack("one-hot-2^40.model", model(node("one_hot", '{"classes":1099511627776}',
  '[{"dtype":"i32","size":[2],"values":[0,1]}]')), "memory")
attack("index-outside.model", model(node("index_select", "{}",
  '[0,{"dtype":"i32","size":[1],"values":[2000000000]}]')), "index_select")

return attacks
