-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.cli.plugin_new - the files of a new plugin: something small that works, to be changed.
-- NAME in them becomes the plugin's name.

local lua_init = [[
-- NAME - a learned factor for each channel: change it into what you need.

local ea = require "edgeai"
local Module = ea.nn.Module

local Layer = Module.class("NAME")

function Layer:forward(x) return x * self.weight end
function Layer:arguments() return tostring(self.channels) end -- how it prints

return {
  about = "a learned factor for each channel",
  layers = {
    NAME = { -- ea.nn.NAME { 16, initial = 0.5 }
      help = "{..., channels} -> the same, each channel times its learned factor.",
      positions = { "channels" },
      options = {
        channels = { type = "integer", least = 1, required = true, help = "channels of the input" },
        initial = { 1, "first value of the factors" },
      },
      call = function(o)
        local self = Layer.new()
        self.channels = o.channels
        self:parameter("weight", { o.channels }, function(_, size)
          return ea.full(size, o.initial)
        end)
        return self
      end,
    },
  },
}
]]

local lua_spec = [[
-- `edgeai plugin test NAME` runs this; `ea` is there.

describe("NAME", function()
  local x = ea.tensor { { 1, 2 }, { 3, 4 } }

  it("multiplies each channel by its factor", function()
    local net = ea.nn.NAME { 2, initial = 0.5 }
    assert.same({ { 0.5, 1 }, { 1.5, 2 } }, net(x):tolist())
  end)

  it("learns the factors", function()
    local net = ea.nn.NAME { 2 }
    net(x):sum():backward()
    assert.same({ 4, 6 }, net.weight.grad:tolist())
  end)

  it("refuses channels that are no number", function()
    assert.has_error(function() ea.nn.NAME { "two" } end)
  end)
end)
]]

local native_init = [[
-- NAME - soft threshold, an op in C (NAME.c): change it into what you need.

return {
  about = "soft threshold",
  ops = {
    NAME = { -- ea.NAME(x, { threshold = 0.5 }), x:NAME { threshold = 0.5 }
      help = "x moved towards 0 by `threshold`, and 0 where it gets there.",
      -- Inputs and attributes with which `edgeai plugin test` checks the gradient.
      check = function(random) return { random { 3, 200 } }, { threshold = 0.3 } end,
    },
  },
}
]]

local native_c = [[
/* NAME "threshold:f=0.5" (x) - y = sign(x) max(|x| - threshold, 0).
 * Gradient (g of y): g where |x| > threshold, else 0.
 * What an op must do is said in edgeai_op.h. */
#include <edgeai_op.h>

enum { THRESHOLD, BLOCK = 256 };

static int shape(ea_call *c) {
  if (ea_call_check_float(c, 0) < 0) return EA_ERR_DTYPE;
  if (!(ea_call_attr(c, THRESHOLD) >= 0))
    return ea_call_fail(c, EA_ERR_ARG, "threshold must not be negative, got %g",
                        ea_call_attr(c, THRESHOLD));
  return ea_call_output_like(c, 0, ea_call_in(c, 0));
}

static void forward_range(void *arg, int64_t begin, int64_t end) {
  double t = ea_call_attr(arg, THRESHOLD), x[BLOCK];
  for (int64_t n; begin < end; begin += n) {
    n = end - begin < BLOCK ? end - begin : BLOCK;
    ea_tensor_read(ea_call_in(arg, 0), begin, n, x);
    for (int64_t i = 0; i < n; i++) x[i] = x[i] > t ? x[i] - t : x[i] < -t ? x[i] + t : 0;
    ea_tensor_write(ea_call_out(arg, 0), begin, n, x);
  }
}

static void backward_range(void *arg, int64_t begin, int64_t end) {
  double t = ea_call_attr(arg, THRESHOLD), x[BLOCK], g[BLOCK];
  for (int64_t n; begin < end; begin += n) {
    n = end - begin < BLOCK ? end - begin : BLOCK;
    ea_tensor_read(ea_call_in(arg, 0), begin, n, x);
    ea_tensor_read(ea_call_gout(arg, 0), begin, n, g);
    for (int64_t i = 0; i < n; i++) g[i] = x[i] > t || x[i] < -t ? g[i] : 0;
    ea_tensor_write(ea_call_gin(arg, 0), begin, n, g);
  }
}

static int forward(ea_call *c) {
  ea_parallel_range(ea_tensor_count(ea_call_in(c, 0)), 64 * BLOCK, forward_range, c);
  return EA_OK;
}

static int backward(ea_call *c) {
  if (ea_call_gin(c, 0))
    ea_parallel_range(ea_tensor_count(ea_call_in(c, 0)), 64 * BLOCK, backward_range, c);
  return EA_OK;
}

static const ea_op op = {.name = "NAME", .nin_least = 1, .nin_most = 1, .nout = 1,
                         .attrs = "threshold:f=0.5", .need_in = 1, .shape = shape,
                         .forward = forward, .backward = backward};
EA_PLUGIN(&op);
]]

local native_spec = [[
-- `edgeai plugin test NAME` runs this, after it has checked the op's gradient; `ea` is there.

describe("NAME", function()
  it("moves towards 0", function()
    local y = ea.NAME(ea.tensor { -2, -0.25, 0.25, 1 }, { threshold = 0.5 })
    assert.same({ -1.5, 0, 0, 0.5 }, y:tolist())
  end)

  it("refuses a negative threshold", function()
    local ok, message = pcall(ea.NAME, ea.ones { 2 }, { threshold = -1 })
    assert.is_false(ok)
    assert.truthy(message:find("threshold must not be negative", 1, true), message)
  end)
end)
]]

local readme = [[
# NAME

One sentence about what it does, its formula and where it comes from.

```lua
%s
```

%s
]]

local function readme_of(example, native)
  return readme:format(example, native and "`edgeai plugin build NAME` compiles it, `edgeai plugin "
    .. "test NAME` checks its gradient, too." or "`edgeai plugin test NAME` tests it.")
end

local kinds = require "edgeai.cli.plugin_new_vis"
kinds.layer = { init = lua_init, spec = lua_spec,
  example = "print(ea.nn.NAME { 16, initial = 0.5 })" }
kinds.op = { init = native_init, spec = native_spec, c = native_c,
  example = "print(ea.NAME(ea.randn { 2, 3 }, { threshold = 0.5 }))" }

local new = {}

--- The kinds of plugins that can be begun: a set by name.
new.kinds = kinds

--- The files of a new plugin of a kind: list of { name, text }.
function new.files(name, kind)
  local k = kinds[kind]
  local files = { { "init.lua", k.init }, { name .. "_spec.lua", k.spec },
    { "README.md", readme_of(k.example, k.c) } }
  if k.c then table.insert(files, 2, { name .. ".c", k.c }) end
  for _, file in ipairs(files) do file[2] = file[2]:gsub("NAME", name) end
  return files
end

return new
