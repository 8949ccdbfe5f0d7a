-- SPDX-License-Identifier: GPL-3.0-or-later
-- `make docs`: the reference has everything public in it, the manual page all commands and
-- variables, the editors' definitions are Lua with the same functions.

local program = require "program"
local header = dofile "docs/reference/header.lua"
local public = dofile "docs/reference/public.lua"

describe("the header's reader", function()
  local parsed = header.parse([[
/* SPDX-License-Identifier: X
 *
 * x.h - what it is.
 */
#ifndef X_H
#define X_H
#define TWO(a) \
  LINES
#ifdef __cplusplus
extern "C" {
#endif

/* ---- first part ---------------
 * Its text;
 *   a table. */
EA_API int ea_a(void);
EA_API int ea_b(void); /* its own,
                        * in two lines */

EA_API int ea_c(void);

/* Of d
 * and e. */
enum { A = 1 /* one; two */ };
EA_API const char *const *ea_d(int x,
                               ea_t (*f)(int));
EA_API int ea_e(void);

/* ---- second ---- */

EA_API int ea_f(void);
typedef struct t {
  int x; /* a field */
} t;

#ifdef __cplusplus
}
#endif
#endif
]])

  it("finds sections, groups and comments", function()
    assert.equal("x.h - what it is.", parsed.intro)
    assert.same({ "", "first part", "second" }, { parsed.sections[1].title,
      parsed.sections[2].title, parsed.sections[3].title })
    assert.equal("Its text;\n  a table.", parsed.sections[2].text)
    local groups = parsed.sections[2].groups
    assert.equal(3, #groups)
    assert.equal("its own, in two lines", groups[1].declarations[2].comment)
    assert.equal("Of d\nand e.", groups[3].comment)
    assert.equal("enum { A = 1 /* one; two */ };", groups[3].declarations[1].code)
    assert.equal(2, #parsed.sections[3].groups[1].declarations)
  end)

  it("knows which function has no comment", function()
    local bare = {}
    for _, f in ipairs(header.functions(parsed)) do
      if not f.documented then bare[#bare + 1] = f.name end
    end
    assert.equal(6, #header.functions(parsed))
    assert.same({ "ea_c", "ea_f" }, bare)
  end)
end)

describe("make docs", function()
  local folder
  local function read(name) return assert(program.read(folder .. "/" .. name), name) end

  setup(function()
    folder = program.folder()
    dofile "docs/reference/make.lua"(folder)
  end)
  teardown(function() program.remove(folder) end)

  it("has every public function in its pages, and every page in the index", function()
    for name, path in pairs { c = "core/edgeai.h", c_ops = "core/edgeai_op.h" } do
      local page = read("api/" .. name .. ".md")
      for _, f in ipairs(header.functions(header.parse(program.read(path)))) do
        assert.truthy(page:find("`" .. f.name .. "`", 1, true), f.name)
      end
    end
    local ops = read "api/ops.md"
    for _, op in ipairs(require("edgeai.ops").list) do
      assert.truthy(ops:find("`" .. op.name .. "`", 1, true), op.name)
    end
    local index = read "api/index.md"
    for _, list in ipairs { public.modules(), public.methods() } do
      for _, module in ipairs(list) do
        local file = (module.title and "object_" or "") .. module.name .. ".md"
        assert.truthy(index:find("(" .. file .. ")", 1, true), file)
        local page = read("api/" .. file)
        for _, f in ipairs(module.functions) do
          assert.truthy(f.op or page:find("## `" .. f.name .. f.parameters, 1, true), f.name)
        end
      end
    end
  end)

  it("leaves formulas as they are, and fences closed", function()
    local pipe = assert(io.popen(("ls '%s'/api/*.md"):format(folder)))
    for path in pipe:lines() do
      local _, fences = program.read(path):gsub("\n```", "")
      assert.equal(0, fences % 2, path)
    end
    pipe:close()
    local page = read "api/ops.md"
    assert.truthy(page:find("\n  div      z = x / y        dx = g / y         dy = -g x / y^2\n", 1,
      true))
    assert.truthy(page:find("ea.softmax(x, { axis = -1 })", 1, true))
    assert.truthy(read("api/ea.nn.md"):find("## `ea.nn.conv2d{inp, out, kernel=3,", 1, true))
    assert.truthy(read("api/object_t.md"):find("## `t:narrow(dim, start, length, step)`", 1, true))
  end)

  it("has all commands, their options and all variables in the manual page", function()
    local page = read("edgeai.1"):gsub("\\%-", "-")
    local pipe = assert(io.popen("ls lua/edgeai/cli/command_*.lua"))
    for path in pipe:lines() do
      local name = path:match("command_([%w_]+)%.lua$")
      assert.truthy(page:find("\n.SS edgeai " .. name, 1, true), name)
      for _, option in ipairs(require("edgeai.cli.command_" .. name).options) do
        assert.truthy(page:find("\\fB" .. option[1] .. "\\fR", 1, true), option[1])
      end
    end
    pipe:close()
    pipe = assert(io.popen(
      "grep -rhoE 'getenv\\(\"EDGEAI_[A-Z]+|variable \"EDGEAI_[A-Z]+' lua core"))
    local seen = 0
    for line in pipe:lines() do
      seen = seen + 1
      local name = line:match("EDGEAI_%u+")
      assert.truthy(page:find("\n.B " .. name .. "\n", 1, true), name)
    end
    pipe:close()
    assert.is_true(seen >= 5)
  end)

  it("has a manual page without a warning of groff's", function()
    if os.execute("command -v groff >/dev/null") ~= 0 then
      return pending("groff is not installed")
    end
    local pipe = assert(io.popen(("groff -man -ww -z -Tutf8 '%s/edgeai.1' 2>&1"):format(folder)))
    assert.equal("", pipe:read("*a"))
    pipe:close()
  end)

  it("has definitions for editors that are Lua and name what ea has", function()
    local text = read "edgeai.d.lua"
    assert.equal("---@meta edgeai\n", text:match("^[^\n]*\n"))
    local defined = assert(load(text, "=edgeai.d.lua", "t", {}))()
    for _, module in ipairs(public.modules()) do
      for _, f in ipairs(module.functions) do
        local value = defined
        for name in f.name:gsub("^ea%.", ""):gmatch("[^.]+") do value = value[name] end
        assert.truthy(value, f.name)
      end
    end
    for line in ([[
      ---@field shape integer[] sizes
      ---@overload fun(x: edgeai.Tensor): edgeai.Tensor
      ---@return edgeai.Module
      function ea.nn.conv2d(opts) end
      function t:narrow(dim, start, length, step) end
      function t:affine(opts) end
      function loader:seek(epoch, batch) end]]):gmatch("%s*([^\n]+)") do
      assert.truthy(text:find("\n" .. line .. "\n", 1, true), line)
    end
  end)
end)
