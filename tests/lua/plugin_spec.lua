-- SPDX-License-Identifier: GPL-3.0-or-later
-- Plugins: where they are found, when they are loaded, what they can bring, what is refused. Each
-- test has a folder of its own; plugin_native_spec.lua has the C parts and the commands.

local program = require "program"

local folder

local function write(path, text)
  os.execute(("mkdir -p '%s/%s'"):format(folder, path:match("^(.*)/")))
  program.write(folder .. "/" .. path, text)
end

--- A plugin in ./plugins, or in another place.
local function plugin(name, text, at)
  write(("%s/%s/init.lua"):format(at or "plugins", name), text)
end

local nowhere = "XDG_DATA_HOME=/nonexistent "

local function run(arguments, before)
  return program.run(folder, arguments, nowhere .. (before or ""))
end

--- What an expression prints; it must not fail.
local function value(code, before)
  local status, out, err = run("eval '" .. code .. "'", before)
  assert.equal(0, status, err)
  return (out:gsub("\n$", "")), err
end

before_each(function() folder = program.folder() end)
after_each(function() program.remove(folder) end)

local twice = [[
  local ea = require "edgeai"
  return { about = "twice", losses = { twice_loss = { help = "Twice.", inputs = { "x", "y" },
    options = { factor = { 2, "of the loss", least = 1 }, kind = { default = "l2",
      choices = { "l1", "l2" } } },
    call = function(x, y, o)
      return (o.kind == "l2" and ea.mse(x, y) or ea.l1_loss(x, y)) * o.factor
    end } } }]]

describe("a plugin is found", function()
  local function says(word) return ("return { losses = { where_am_i = function() return %q end } }")
    :format(word) end

  it("beside the script, in ./plugins, $EDGEAI_PLUGINS, the data folder, in this order", function()
    local places = { "data/edgeai/plugins", "b", "a", "plugins", "sub/plugins" }
    write("sub/script.lua", "print(require('edgeai').where_am_i())")
    for _, place in ipairs(places) do
      plugin("where", says(place), place)
      local status, out, err = program.run(folder, "run sub/script.lua",
        "XDG_DATA_HOME=data EDGEAI_PLUGINS=a:b")
      assert.equal(0, status, err)
      assert.equal(place .. "\n", out)
    end
    local _, out = program.run(folder, "plugin list", "XDG_DATA_HOME=data EDGEAI_PLUGINS=a:b")
    assert.truthy(out:find("where            loss where_am_i; plugins/where\n", 1, true), out)
    for _, place in ipairs { "a", "b", "data/edgeai/plugins" } do
      assert.truthy(out:find(("where            hidden: plugins/where comes first; %s/where\n")
        :format(place), 1, true), out)
    end
  end)

  it("when its name is missed, and only if that stands in its init.lua", function()
    plugin("loud", 'print "loaded" return { losses = { loud_loss = function() return 1 end } }')
    assert.equal("1", value "1")
    assert.equal("nil", value "ea.quiet_loss")
    assert.equal("loaded\n1", value "ea.loud_loss()")
    assert.equal("loaded\n1", value "ea.ones({1}):loud_loss()")
    assert.equal("loaded\nnil", value 'ea.plugin.use "loud" and ea.plugin.use "loud" and nil')
  end)

  it("or not, and then there is a sentence", function()
    plugin("twice", twice)
    local _, _, err = run([[eval 'ea.plugin.use "twise"']])
    assert.equal("edgeai: eval:1: there is no plugin 'twise'; did you mean `twice`? in plugins\n",
      err)
    _, _, err = run([[eval 'ea.ones({ 1 }):twise_loss()']])
    assert.truthy(err:find("a tensor has no method or property 'twise_loss'", 1, true), err)
    local _, out = program.run("/", "plugin list", nowhere)
    assert.truthy(out:find("There are no plugins", 1, true), out)
  end)
end)

describe("a plugin brings", function()
  it("losses, as functions and methods, with checked options", function()
    plugin("twice", twice)
    assert.equal("tensor {} f32: 8", value "ea.twice_loss(ea.zeros { 3 }, ea.full({ 3 }, 2))")
    assert.equal("tensor {} f32: 6",
      value 'ea.zeros({ 3 }):twice_loss(ea.full({ 3 }, 2), { factor = 3, kind = "l1" })')
    for code, says in pairs {
      ["x:twice_loss(x, { factor = 0 })"] = "twice_loss: 'factor' must be a number of at least 1, "
        .. "not 0",
      ['x:twice_loss(x, { kind = "l3" })'] = "twice_loss: 'kind' must be l1 or l2, not l3; did you "
        .. "mean `l1`?",
      ["x:twice_loss(x, { factr = 0 })"] = "twice_loss: there is no option 'factr'; did you mean "
        .. "`factor`?",
      ["x:twice_loss()"] = "twice_loss: expected x and y, got 1",
      ["x:twice_loss(x, {}, 3)"] = "twice_loss: expected x, y and a table of options, got 4 "
        .. "arguments",
      ["x:twice_loss(x, 3)"] = "twice_loss: expected a table of options, got a number",
    } do
      local _, _, err = run(("eval 'local x = ea.ones { 2 } x = %s'"):format(code))
      assert.equal("edgeai: eval:1: " .. says .. "\n", err)
    end
    assert.equal("(x, y, { factor = 2, kind = l2 })\nTwice.\n  factor  of the loss; number of at "
      .. "least 1\n  kind    l1 or l2\nplugins/twice/init.lua:2",
      value [[local d = require("edgeai.doc").of(ea.twice_loss) print(d.parameters) print(d.text)
        print(d.where)]])
  end)

  it("distillation losses and layers", function()
    plugin("nets", [[
      local ea = require "edgeai"
      return { distillations = { half = function(s, t) return ea.mse(s, t) * 0.5 end },
        layers = { wide = { positions = { "inp", "out" }, help = "Wide.", options = {
            inp = { type = "integer", required = true }, out = { type = "integer", default = 8 },
            act = { type = "any" } },
          call = function(o) return o.act or ea.nn.linear { o.inp, o.out } end },
          broken = function() return 3 end } }]])
    assert.equal("tensor {} f32: 2", value "ea.distill.half(ea.zeros { 1 }, ea.full({ 1 }, 2))")
    assert.equal("linear{4, 8}", value "ea.nn.wide { 4 }")
    assert.equal("relu{}", value "ea.nn.wide { 4, 5, act = ea.nn.relu {} }")
    local _, _, err = run "eval 'ea.nn.wide {}'"
    assert.truthy(err:find("wide: the option 'inp' must be given", 1, true), err)
    _, _, err = run "eval 'ea.nn.wide { 1, 2, 3 }'"
    assert.truthy(err:find("wide: expected at most 2 options without a name, got one", 1, true))
    _, _, err = run "eval 'ea.nn.broken {}'"
    assert.truthy(err:find("eval:1: nn.broken: the plugin made a number, not a layer", 1, true))
  end)

  it("losses that ea.distill.objective mixes with others", function()
    plugin("half", [[
      local ea = require "edgeai"
      return { distillations = { half = { inputs = { "student", "teacher" },
        options = { factor = { 0.5, least = 0 } },
        call = function(s, t, o) return ea.mse(s, t) * o.factor end } } }]])
    write("s.lua", [[local ea = require "edgeai"
      local function net(seed)
        ea.seed(seed)
        return ea.nn.sequential { { "a", ea.nn.linear { 3, 4 } }, { "b", ea.nn.linear { 4, 2 } } }
      end
      local s, t, x, y = net(1), net(2), ea.ones { 2, 3 }, ea.tensor({ 1, 2 }, "i32")
      local o = ea.distill.objective(s, t, { half = { weight = 2, layer = "a", factor = 3 } })
      local want = 6 * ea.mse(s:features(x, "a").a, t:features(x, "a").a):item()
      print(math.abs(o(x, y):item() - want) < 1e-6 * want)
      ea.distill.objective(s, t, { half = { layer = "a", fator = 3 } })]])
    local _, out, err = run "run s.lua"
    assert.equal("true\n", out)
    assert.truthy(err:find("distill.objective: half: there is no option 'fator'", 1, true), err)
  end)

  it("parameterisations and transforms of ea.vis", function()
    plugin("looks", [[local ea = require "edgeai"
      return { transforms = { half = { help = "Half.", arguments = { "f" }, options = { f = { 0.5,
          "of it", least = 0 } }, apply = function(_, x, o) return x * o.f end } },
        parameterisations = { flat = { help = "One colour.", options = { gain = { 1, "of it" } },
          make = function(o) return { leaves = { ea.vis.param.normal("rgb", { 1, 1, o.channels },
            o.sd) }, raw = function(v) return v.rgb:expand(v.rgb:size(1), o.size[1], o.size[2],
            o.channels) * o.gain end } end } } }]])
    assert.equal("half\n0.25",
      value "(function(t) return t.name, t.f end)(ea.vis.transform.half(0.25))")
    assert.equal("flat{gain=3}", value "tostring(ea.vis.param.flat { gain = 3 })")
    assert.equal("true\ntrue\ntrue", value [[(function(members) return
      members.of(ea.vis.param).flat, members.of(ea.vis.transform).half,
      members.options(ea.vis.param.flat).gain end)(require "edgeai.repl.members")]])
    assert.truthy(value("require([[edgeai.doc]]).of(ea.vis.transform.half).text")
      :find("Half.\n  f  of it; number of at least 0", 1, true))
    local _, out = run "plugin list"
    assert.truthy(out:find("looks            parameterisation flat; transform half;", 1, true), out)
    plugin("wrong", "return { transforms = { crooked = { apply = function(_, x)\n"
      .. "return x * x:size(1) end } } }")
    local _, _, err = run "eval 'ea.vis.transform.crooked'"
    assert.truthy(err:find("plugin wrong: plugins/wrong/init.lua: transform crooked was refused: "
      .. "image 2 alone comes out otherwise", 1, true), err)
    assert.truthy(err:find("there is no transform 'crooked'", 1, true), err)
  end)

  it("objectives of ea.vis, with the right gradient", function()
    plugin("bright", [[return { objectives = { brightness = { help = "mean of the pixels",
      arguments = { "scale" }, options = { scale = 1 },
      compute = function(T, o) return T:mean(T "input") * o.scale end } } }]])
    assert.equal("brightness(2)", value "ea.vis.objectives.brightness(2)")
    plugin("bad", [[return {
      objectives = { channel = { compute = print } } }]])
    local _, _, err = run [[eval 'ea.plugin.use "bad"']]
    assert.truthy(err:find("init.lua:2: the objective `channel` needs another name: "
      .. "ea.vis.objectives.channel is edgeai's own", 1, true), err)
    plugin("crooked", [[local ea = require "edgeai"
      local wrong = ea.custom("wrong", { forward = function(_, x) return x * 2 end,
        backward = function(_, g) return g * 3 end })
      return { objectives = { crooked = { compute = function(T)
        return T:mean(wrong(T "input")) end } } }]])
    _, _, err = run [[eval 'ea.vis.objectives.crooked()']]
    assert.truthy(err:find("plugin crooked: plugins/crooked/init.lua: objective crooked was "
      .. "refused: gradcheck: ", 1, true), err)
    assert.truthy(err:find("there is no objective 'crooked'", 1, true), err)
    plugin("bad", "return { objectives = {\n x_y = {} } }")
    err = select(3, run [[eval 'ea.plugin.use "bad"']])
    assert.truthy(err:find("init.lua:2: the objective `x_y` must be a table with", 1, true), err)
  end)

  it("architectures, which files name", function()
    plugin("two", [[
      local ea = require "edgeai"
      return { architectures = { two_layers = { options = { wide = { 4, least = 1 } },
        call = function(o)
          return ea.nn.sequential { ea.nn.linear { 3, o.wide }, ea.nn.linear { o.wide, 2 } }
        end } } }]])
    value 'ea.nn.two_layers({ wide = 7 }):save("two.safetensors"); return nil'
    assert.equal("44", value 'ea.nn.load("two.safetensors"):parameter_count()')
    program.remove(folder .. "/plugins")
    local _, _, err = run [[eval 'ea.nn.load "two.safetensors"']]
    assert.truthy(err:find("there is no architecture 'two_layers'", 1, true), err)
  end)

  it("data sets, with options of their own", function()
    plugin("grey", [[
      local ea = require "edgeai"
      return { data = { ["grey-8"] = { folder = "grey", files = {}, shape = { 8, 8, 1 },
        classes = 2, title = "Grey", names = { "dark", "bright" },
        counts = { train = 40, test = 10 },
        mean = { 0.5 }, std = { 0.5 }, options = { level = { 100, "of the bright", most = 255 } },
        read = function(source, _, part, o)
          local n = source.counts[part]
          local x, y = ea.zeros({ n, 8, 8, 1 }, "u8"), ea.ones({ n }, "i32")
          for i = 2, n, 2 do x[i]:fill(o.level) y[i] = 2 end
          return x, y
        end } } }]])
    assert.equal("true", value [[ea.data.load "grey-8" and ea.data.known "grey-8"]])
    assert.equal("grey-8: 2 classes of 8x8x1; 36 to train on, 4 to choose by",
      value 'ea.data.load("grey-8")')
    write("s.lua", [[local ea = require "edgeai"
      local cfg = ea.config { data = "fashion-mnist", level = 7 }
      print(ea.data.load(cfg.data, { level = cfg.level }).test.count)]])
    local status, out, err = run "run s.lua --set data=grey-8"
    assert.equal(0, status, err)
    assert.equal("10\n", out)
    out = select(2, run "data list")
    assert.truthy(out:find("grey-8", 1, true), out)
    for given, says in pairs { ["level = 300"] = "'level' must be a number of at most 255, not 300",
      ["lewel = 3"] = "there is no option 'lewel'; did you mean `level`?" } do
      err = select(3, run(([[eval 'ea.data.load("grey-8", { %s })']]):format(given)))
      assert.equal("edgeai: eval:1: data.load: " .. says .. "\n", err)
    end
  end)

  it("commands, with options, help and a place in the overview", function()
    plugin("greet", [[return { commands = { greet = { help = "says something", usage = "greet WHO",
      options = { times = { 1, "how often", type = "integer", least = 1, most = 3 },
        loud = { false, "in capitals" }, words = { { 1, 2 }, "a list" }, to = { type = "string" } },
      call = function(o, who)
        for _ = 1, o.times do print(o.loud and who[1]:upper() or who[1], #o.words, o.to) end
        return #who - 1
      end } } }]])
    local status, out = run "greet you --times 2 --loud --words 3,4,5"
    assert.equal("YOU\t3\tnil\nYOU\t3\tnil\n", out)
    assert.equal(0, status)
    assert.equal(1, (run "greet you me --to=them"))
    out = select(2, run "greet --help")
    assert.truthy(out:find("Usage: edgeai greet WHO\n\nsays something.\n", 1, true), out)
    assert.truthy(out:find("  --times N               how often; whole number from 1 to 3 (default "
      .. "1)\n", 1, true), out)
    assert.truthy(out:find("  --loud                  in capitals\n", 1, true), out)
    out = select(2, run "--help")
    assert.truthy(out:find("  greet WHO                          says something\n", 1, true), out)
    for arguments, says in pairs {
      ["--times 4"] = "--times must be a whole number from 1 to 3, not 4",
      ["--times x"] = "--times is a integer, not 'x'",
      ["--tims 3"] = "unknown option --tims; did you mean `--times`?" } do
      local _, err
      status, _, err = run("greet " .. arguments)
      assert.equal(2, status)
      assert.equal("edgeai: " .. says .. "\nTry `edgeai greet --help`.\n", err)
    end
  end)

  it("files of its own, and what another plugin brings", function()
    plugin("base", "return { losses = { base_loss = require('base.parts.sum') } }")
    write("plugins/base/parts/sum.lua", "return function(a, b) return a + b end")
    plugin("user", "local ea = require 'edgeai' local base = ea.plugin.use 'base' return { losses "
      .. "= { user_loss = function(a) return base.losses.base_loss(a, ea.base_loss(1, 1)) end } }")
    assert.equal("7", value "ea.user_loss(5)")
    local _, _, err = run [[eval 'require "base.parts.none"']]
    assert.truthy(err:find("module 'base.parts.none' not found", 1, true), err)
  end)

  it("what outlives the ea.scope in which it was loaded", function()
    plugin("kept", [[local ea = require "edgeai"
      local two = ea.full({ 1 }, 2)
      return { losses = { kept_loss = function() return two:item() end } }]])
    assert.equal("2\n2", value [[ea.scope(function() print(ea.kept_loss()) end)
      print(ea.kept_loss())]])
  end)

  it("names for completion", function()
    plugin("twice", twice)
    plugin("more", "return { losses = { b_loss = print, a_loss = print } }")
    assert.is_nil(ea.plugin.offer "no_such_thing_anywhere")
    assert.equal('{ "a_loss", "b_loss", "twice_loss" }', value 'ea.plugin.names "losses"')
    assert.equal("{}", value 'ea.plugin.names "layers"')
  end)

  it("nothing any more once it is dropped; then it is read again", function()
    plugin("one", "return { losses = { one_loss = function() return 1 end } }")
    write("s.lua", [[local ea = require "edgeai"
      print(ea.one_loss())
      ea.plugin.drop "one"
      print(rawget(ea, "one_loss"))
      local file = io.open("plugins/one/init.lua", "w")
      file:write("return { losses = { one_loss = function() return 2 end } }")
      file:close()
      print(ea.one_loss(), ea.ones({ 1 }):one_loss())]])
    local _, out, err = run "run s.lua"
    assert.equal("1\nnil\n2\t2\n", out, err)
  end)
end)

describe("a plugin is refused", function()
  local head = "plugin bad: plugins/bad/init.lua"
  local cases = {
    ["that is no Lua"] = { "return {\n losses = = }",
      ":2: unexpected symbol near '='" },
    ["that fails"] = { "local x\nreturn x.y", ":2: attempt to index local 'x' (a nil value)" },
    ["that fails in edgeai"] = { "local ea = require 'edgeai'\n\nlocal t = ea.zeros { 2 }\n"
      .. "t:reshape(3)\nreturn {}", ":4: reshape: " },
    ["whose error is no text"] = { "error({})", ": table: " },
    ["that returns nothing"] = { "-- empty", ": it must return a table of what it brings, not "
      .. "nothing" },
    ["that returns something else"] = { "return 3", ": it must return a table of what it brings, "
      .. "not a number" },
    ["with an unknown kind"] = { "return {\n layer = {} }", ":2: there is no kind `layer`; did you "
      .. "mean `layers`?; a plugin has `about` and architectures, commands, data, " },
    ["with a wrong kind"] = { "return {\n\n layers = 3 }", ":3: `layers` must be a table of things "
      .. "by name, not a number" },
    ["with an unknown key"] = { "return { layers = {\n x_y = { call = print,\n hlp = '' } } }",
      ":3: the layer `x_y` has an unknown key `hlp`; did you mean `help`?" },
    ["with a key of a wrong type"] = { "return { layers = {\n x_y = { call = 3 } } }",
      ":2: `call` of the layer `x_y` must be a function, not a number" },
    ["with nothing to call"] = { "return { losses = {\n x_y = { help = 'x' } } }",
      ":2: the loss `x_y` has no `call`, the function that it is" },
    ["with a thing that is none"] = { "return { losses = {\n x_y = 3 } }",
      ":2: the loss `x_y` must be a table, not a number" },
    ["with a name that is none"] = { "return { losses = {\n ['X y'] = print } }",
      ":2: `X y` is no name for a loss: it is made of small letters, digits and _" },
    ["with an option that is none"] = { "return { layers = { x_y = { call = print, options = { a = "
      .. "{ 1, least = 2 } } } } }", ": the layer `x_y`: the option `a` must be a number of at "
      .. "least 2, not 1" },
    ["with a position that is no option"] = { "return { layers = { x_y = { call = print,\n "
      .. "positions = { 'a' } } } }", ":2: the layer `x_y`: the position `a` is no option" },
    ["with a data set that lacks something"] = { "return { data = {\n x_y = { folder = 'x' } } }",
      ":2: the data set `x_y`: its classes must be a number, not nil" },
    ["with a command without help"] = { "return { commands = {\n x_y = { call = print } } }",
      ":2: the command `x_y` must have `call`, a function of its options and a list of the other "
      .. "words, and `help`, one line" },
    ["with a line of about that is none"] = { "return {\n about = 3 }",
      ":2: `about` must be a line of text, not a number" },
    ["with the name of a layer"] = { "return { layers = {\n conv2d = print } }",
      ":2: the layer `conv2d` needs another name: ea.nn.conv2d is edgeai's own" },
    ["with the name of an op"] = { "return { losses = {\n mse = print } }",
      ":2: the loss `mse` needs another name: ea.mse is edgeai's own" },
    ["with the name of a module"] = { "return { losses = {\n nn = print } }",
      ":2: the loss `nn` needs another name: ea.nn is edgeai's own" },
    ["with the name of a tensor's property"] = { "return { losses = {\n shape = print } }",
      ":2: the loss `shape` needs another name: ea.shape is edgeai's own" },
    ["with the name of a command"] = { "return { commands = {\n run = { call = print, help = 'x' } "
      .. "} }", ":2: the command `run` needs another name: edgeai run is edgeai's own" },
    ["with the name of help"] = { "return { commands = {\n help = { call = print, help = 'x' } } }",
      ":2: the command `help` needs another name: edgeai help is edgeai's own" },
    ["with the name of a data set"] = { "return { data = {\n mnist = { folder = 'x', files = {}, "
      .. "classes = 1, counts = { train = 1, test = 1 }, shape = { 1, 1, 1 }, read = print } } }",
      ":2: the data set `mnist` needs another name: ea.data.load mnist is edgeai's own" },
    ["with a name for two things"] = { "return { layers = {\n x_y = print }, architectures = { x_y "
      .. "= print } }", ":2: `x_y` is there twice: as a layer and a architecture" },
    ["that uses itself"] = { "require('edgeai').plugin.use 'bad'", ":1: plugin bad: it is being "
      .. "loaded: it uses itself, by way of others" },
    ["that yields"] = { "coroutine.yield()", ": it yields while it is loaded" },
  }
  for title, case in pairs(cases) do
    it(title, function()
      plugin("bad", case[1])
      local status, _, err = run [[eval 'ea.plugin.use "bad"']]
      assert.equal(1, status)
      local expected = "edgeai: eval:1: " .. head .. case[2]
      assert.equal(expected, err:sub(1, #expected))
      assert.equal(1, select(2, err:gsub("\n", "")))
      local _, out = run "plugin list"
      assert.truthy(out:find("bad              broken: " .. head .. case[2], 1, true), out)
    end)
  end

  it("that is bytecode", function()
    plugin("bad", string.dump(function() print("it ran") end))
    local _, out, err = run [[eval 'ea.plugin.use "bad"']]
    assert.equal("", out)
    assert.equal("edgeai: eval:1: plugin bad: plugins/bad/init.lua is Lua bytecode; only text is "
      .. "loaded: give the source\n", err)
  end)

  it("that has what another has", function()
    plugin("a_one", "return { losses = { same_loss = function() return 'a' end } }")
    plugin("b_two", "return { losses = { other_loss = print, same_loss = print } }")
    assert.equal("a", value "ea.same_loss()")
    local out, err = value "ea.other_loss" -- all or nothing; and the first has the name
    assert.equal("nil", out)
    assert.equal("edgeai: plugin b_two: plugins/b_two/init.lua:1: the loss `same_loss` is there "
      .. "already: ea.same_loss comes from the plugin a_one (plugins/a_one); it is left out\n", err)
  end)

  it("with a folder that has no init.lua, or is no name", function()
    os.execute(("mkdir -p '%s/plugins/empty' '%s/plugins/No-name' '%s/plugins/.git'"):format(folder,
      folder, folder))
    local _, out = run "plugin list"
    assert.truthy(out:find("empty            broken: plugin empty: plugins/empty/init.lua: there "
      .. "is no plugins/empty/init.lua", 1, true), out)
    assert.truthy(out:find("`No-name` is no name for a plugin: it is made of small", 1, true))
    assert.falsy(out:find(".git", 1, true))
  end)

  it("whose files are links out of its folder; the folder may be one", function()
    write("else/init.lua", "return { losses = { linked_loss = function() return 1 end } }")
    os.execute(("mkdir -p '%s/plugins/bad' && ln -s ../../else/init.lua '%s/plugins/bad' && ln -s "
      .. "../else '%s/plugins/good'"):format(folder, folder, folder))
    local out, err = value "ea.linked_loss()"
    assert.equal("1", out)
    assert.truthy(err:find("plugins/bad/init.lua is a link to " .. folder .. "/else/init.lua; the "
      .. "files of a plugin must lie in its folder", 1, true), err)
    out = select(2, run "plugin list")
    assert.truthy(out:find("good             loss linked_loss; plugins/good -> " .. folder
      .. "/else\n", 1, true), out)
  end)

  it("that others can write to, unless it is named in $EDGEAI_PLUGINS", function()
    for _, part in ipairs { ".", "plugins", "plugins/open", "plugins/open/init.lua" } do
      plugin("open", "return { losses = { open_loss = function() return 1 end } }")
      os.execute(("chmod -R o-w '%s' && chmod o+w '%s/%s'"):format(folder, folder, part))
      local status, _, err = run [[eval 'ea.plugin.use "open"']]
      assert.equal(1, status)
      assert.truthy(err:find(("plugin open: plugins/open/init.lua: everybody may write to %s; "
        .. "`chmod o-w %s` makes it yours, or name the plugin's place in $EDGEAI_PLUGINS"):format(
        part, part), 1, true), err)
      assert.equal("1", value("ea.open_loss()", "EDGEAI_PLUGINS=$PWD/plugins"))
    end
  end)

  it("and takes nothing else down", function()
    plugin("bad", "-- good_loss, x_y\nerror('no')")
    plugin("good", "return { losses = { good_loss = function() return 1 end } }")
    local out, err = value "ea.good_loss() + ea.good_loss()"
    assert.equal("2", out)
    assert.equal("edgeai: plugin bad: plugins/bad/init.lua:2: no; it is left out\n", err)
    local status, _, words = run "x_y"
    assert.equal(2, status)
    assert.truthy(words:find("unknown command x_y", 1, true), words)
  end)
end)
