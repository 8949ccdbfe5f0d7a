-- SPDX-License-Identifier: GPL-3.0-or-later
local ea = require "edgeai"
local G = require "edgeai.gnuplot"

local folder = os.tmpname()
os.remove(folder)
local F = require "edgeai.ffi"
F.check(F.C.ea_make_folder(folder))

local function refused(pattern, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.is_truthy(message:find(pattern), message)
end

-- Width, height and size of a PNG file; nothing else may be left behind.
local function picture(path)
  local file = assert(io.open(path, "rb"))
  local head = file:read(24)
  local bytes = file:seek("end")
  file:close()
  assert.equal("\137PNG\r\n\26\n", head:sub(1, 8))
  assert.equal("", io.popen("ls -A '" .. folder .. "' | grep tmp"):read("*a"))
  local function number(at)
    local a, b, c, d = head:byte(at, at + 3)
    return ((a * 256 + b) * 256 + c) * 256 + d
  end
  return number(17), number(21), bytes
end

local has_gnuplot = io.popen("command -v gnuplot"):read("*l") ~= nil
local drawn = has_gnuplot and it or pending

describe("ea.plot", function()
  local path = folder .. "/it's a \"plot\".png"

  it("makes all dots of one size, but those of a series that asks for another", function()
    local draw, sizes, x = G.draw, {}, {}
    G.draw = function(_, _, _, script)
      for size in script:gmatch("pt 7 ps ([%d.]+)") do sizes[#sizes + 1] = size end
      return true
    end
    for i = 1, 101 do x[i] = i end
    ea.plot.scatter(path, { series = { { x = x, y = x }, { x = { 1 }, y = { 2 } },
      { x = { 2 }, y = { 3 }, size = 2 } } })
    ea.plot.scatter(path, { series = { { x = { 1, 2 }, y = { 3, 4 } } } })
    G.draw = draw
    assert.same({ "0.9", "0.9", "1.8", "1.4" }, sizes)
  end)

  drawn("draws lines with gaps, a legend and odd names", function()
    assert.equal(true, (ea.plot.lines(path, { title = "100 % of it's \"a_b\"\n%d", x = "epoch",
      y = "loss", log_y = true, series = { { name = "a_1 %s", y = { 1, 0.5, 0 / 0, 0.1 } },
        { name = "$b", x = { 1, 2 }, y = ea.tensor { 3, 4 }, dashed = true },
        { name = "c", y = { 1 }, faint = true } } })))
    local width, height = picture(path)
    assert.same({ 1100, 700 }, { width, height })
  end)

  drawn("draws every other kind", function()
    local plot, names = ea.plot, { "cat", "100 % dog", "o'x" }
    assert.equal(true, (plot.bars(path, { categories = names, numbers = "%.1f",
      y_range = { 10, 30 }, series = { { name = "a", values = { 20, 25, 30 } },
        { name = "b", values = { 1, 0 / 0, 3 } } } })))
    assert.equal(true, (plot.scatter(path, { series = { { x = { 1, 2 }, y = { 3, 4 },
      labels = { "here", '"there"' } } } })))
    ea.image.save(path, ea.image.grid(ea.rand { 6, 5, 4, 1 }, { columns = 2, scale = 3 }))
    local plain = picture(path)
    assert.equal(true, (plot.pictures(path, { picture = path, rows = { "it's", "100 %", "_c" },
      title = "onto itself" })))
    assert.is_true(picture(path) > plain + 40)
    refused("absent.png", plot.pictures, path, { picture = "absent.png", rows = { "a" } })
    assert.equal(true, (plot.heatmap(path, { values = ea.eye(3), rows = names, format = "%.1f" })))
    assert.equal(true, (plot.heatmap(path, { values = ea.zeros { 2, 5 } })))
    assert.equal(true, (plot.confusion(path, { counts = ea.eye(3), classes = names })))
    assert.equal(true, (plot.confusion(path, { counts = ea.eye(100) })))
    assert.equal(true, (plot.panels(path, { title = "both", width = 900, height = 400,
      { kind = "lines", series = { { y = { 1, 2 } } } },
      { kind = "confusion", counts = ea.eye(3) } })))
    local width, height = picture(path)
    assert.same({ 900, 400 }, { width, height })
  end)

  drawn("draws networks of any size", function()
    for _, n in ipairs { 1, 2, 40 } do
      local w = ea.zeros { n, n }
      if n > 1 then
        for i = 1, n - 1, 2 do
          w:set(i, i + 1, i)
          w:set(i + 1, i, i)
        end
        w:set(1, n, 0.5)
        w:set(n, 1, 0.5)
      end
      local membership = ea.zeros({ n }, "i32")
      for i = 1, n do membership:set(i, i % 3) end
      assert.equal(true, (ea.draw.network(path, { weights = w, membership = membership, title = "x",
        names = { "first" } })))
      assert.equal(true, (ea.draw.network(path, { weights = w, membership = membership,
        layout = ea.graph.layout(w) })))
      assert.is_true((select(3, picture(path))) > 1000)
    end
  end)

  it("puts tics at whole numbers where all x are whole", function()
    local draw, script = G.draw, nil
    function G.draw(_, _, _, text) script = text end
    finally(function() G.draw = draw end)
    local function tics(series)
      ea.plot.lines(path, { series = series })
      return script:match("set xtics ([%d.]+)")
    end
    local function epochs(n) return { { y = ea.arange(1, n) }, { y = { 1 } } } end
    assert.same({ "1", "1", "2", "5", "20", "500" }, { tics(epochs(1)), tics(epochs(6)),
      tics(epochs(16)), tics(epochs(50)), tics(epochs(200)), tics(epochs(5000)) })
    assert.equal("10", tics { { x = { 0, 110 }, y = { 1, 2 } } })
    assert.is_nil(tics { { x = { 0.5, 1.5 }, y = { 1, 2 } } })
  end)

  it("refuses wrong input by name", function()
    refused("no option 'titel'.*title", ea.plot.lines, path,
      { titel = "x", series = { { y = { 1 } } } })
    refused("expected series", ea.plot.lines, path, { series = {} })
    refused("2 x and 1 y", ea.plot.lines, path, { series = { { x = { 1, 2 }, y = { 1 } } } })
    refused("empty", ea.plot.lines, path, { series = { { y = {} } } })
    refused("2 values for 1 categories", ea.plot.bars, path,
      { categories = { "a" }, series = { { values = { 1, 2 } } } })
    refused("square", ea.plot.confusion, path, { counts = ea.zeros { 2, 3 } })
    refused("expected a matrix", ea.plot.heatmap, path, { values = { 1, 2 } })
    refused("no kind 'line'.*lines", ea.plot.panels, path, { { kind = "line" } })
    refused("path of a PNG", ea.plot.lines, nil, { series = { { y = { 1 } } } })
    refused("membership {n}", ea.draw.network, path, { weights = ea.zeros { 3, 3 },
      membership = ea.zeros({ 2 }, "i32") })
    refused("expected a layout", ea.draw.network, path, { weights = ea.zeros { 3, 3 },
      membership = ea.zeros({ 3 }, "i32"), layout = ea.zeros { 2, 2 } })
  end)

  it("says in one sentence why there is no picture, and lets the run go on", function()
    local data = { series = { { y = { 1, 2 } } } }
    local program = G.program
    G.program = "/no/such/gnuplot"
    local ok, message = ea.plot.lines(path, data)
    G.program = program
    assert.is_nil(ok)
    assert.is_truthy(message:find("gnuplot is not installed"), message)
    if has_gnuplot then
      ok, message = ea.plot.lines(folder .. "/no/such/folder/x.png", data)
      assert.is_nil(ok)
      assert.is_truthy(message:find("was not drawn"), message)
    end
  end)

  teardown(function()
    os.remove(path)
    os.remove(folder)
  end)
end)
