-- SPDX-License-Identifier: GPL-3.0-or-later
-- libedgeai without Lua: the examples in tests/c/examples compile without a warning under gcc and
-- clang, C and C++, against the installed header and library, and do what they say.

local program = require "program"
local tiny = require "tiny"

local build = program.path:match("^" .. program.root:gsub("%p", "%%%0") .. "/([^/]+)/edgeai$")

describe("the C library", function()
  if not build or os.getenv("EDGEAI_SANITIZED") then
    pending("is tried from a plain build: this program is sanitized or not in its build folder")
    return
  end

  local folder -- an installation, and the place of the examples
  local function shell(format, ...)
    local pipe = assert(io.popen(("cd '%s' && { %s; } 2>&1; echo \" $?\""):format(folder,
      format:format(...))))
    local output, code = pipe:read("*a"):match("^(.*) (%d+)\n$")
    pipe:close()
    return tonumber(code), output
  end

  local function must(...)
    local code, output = shell(...)
    assert.equal(0, code, output)
    return output
  end

  setup(function()
    folder = program.folder()
    must("make -s -C '%s' install BUILD='%s' PREFIX='%s'", program.root, build, folder)
    tiny.fashion_mnist(folder .. "/data")
  end)
  teardown(function() program.remove(folder) end)

  local strict = "-pedantic -Wall -Wextra -Werror"
  local function has(compiler)
    return os.execute("command -v " .. compiler .. " >/dev/null") == 0
  end

  --- Compiles tests/c/examples/NAME with pkg-config's flags to ./OUT.
  local function compile(compiler, source, out)
    must("export PKG_CONFIG_PATH=lib/pkgconfig; %s -O1 %s '%s/tests/c/examples/%s' -o %s "
      .. "$(pkg-config --cflags --libs edgeai) -lm -Wl,-rpath,'%s/lib'", compiler, strict,
      program.root, source, out, folder)
  end

  for _, compiler in ipairs { "gcc", "clang" } do
    describe("with " .. compiler, function()
      if not has(compiler) then return pending(compiler .. " is not installed") end

      it("trains on Fashion-MNIST and classifies a picture with what it saved", function()
        compile(compiler .. " -std=c99 -Wshadow -Wstrict-prototypes", "train.c", "train")
        local said = must("./train data/fashion-mnist net.safetensors 40")
        assert.truthy(said:find("^epoch 1: loss %d"), said)
        local accuracy = tonumber(said:match("test accuracy: ([%d.]+) %%"))
        assert.is_true(accuracy > 30, said)

        local net = ea.nn.load(folder .. "/net.safetensors") -- and Lua reads the same network
        local set = ea.data.load("fashion-mnist", { root = folder .. "/data" })
        assert.near(accuracy, (ea.train.accuracy(net, set.test)), 0.005)
        local image = set.test.images[7]
        ea.image.save(folder .. "/seven.png", image)
        local x = (image:to("f32") / 255 - net.mean[1]) / net.std[1]
        local scores = net(x:reshape(1, 28, 28, 1)):detach()
        local chance, class = ea.topk(scores:softmax(), { k = 3 })

        compile(compiler .. " -std=c99 -Wshadow -Wstrict-prototypes", "classify.c", "classify")
        local want = {}
        for i = 1, 3 do
          want[i] = ("%6.2f %%  %s\n"):format(100 * chance[1][i], set.names[class[1][i]])
        end
        assert.equal(table.concat(want), must("./classify net.safetensors seven.png"))
      end)

      it("finds communities", function()
        compile(compiler .. " -std=c99 -Wshadow -Wstrict-prototypes", "partition.c", "partition")
        program.write(folder .. "/graph.txt", "0 1 2\n1 2 2\n0 2 2\n3 4 1\n4 5 1\n3 5 1\n2 3 0.1\n")
        -- Inside the two: 6 and 3 of the weight 9.1; their strengths: 12.1 and 6.1 of 18.2.
        local modularity = 9 / 9.1 - (12.1 / 18.2) ^ 2 - (6.1 / 18.2) ^ 2
        assert.equal(("2 communities, modularity %.4f, agreement of 10 seeds 1.00\n"
          .. "0: 0 1 2\n1: 3 4 5\n"):format(modularity), must("./partition graph.txt"))
        program.write(folder .. "/graph.txt", "0 1 -2\n")
        local code, output = shell("./partition graph.txt")
        assert.equal(1, code)
        assert.truthy(output:find("partition: louvain: ", 1, true), output)
        program.write(folder .. "/graph.txt", "0 one\n")
        code, output = shell("./partition graph.txt")
        assert.equal(1, code)
        assert.truthy(output:find("expected lines of two vertices (from 0) and a weight", 1, true))
      end)

      for _, standard in ipairs { "c99", "c11", "gnu17" } do
        it("takes the header alone as " .. standard, function()
          program.write(folder .. "/h.c", "#include <edgeai.h>\nint main(void) { return 0; }\n")
          must("%s -std=%s %s -Iinclude -c h.c -o h.o", compiler, standard, strict)
        end)
      end
    end)
  end

  for _, compiler in ipairs { "g++", "clang++" } do
    it("is C++'s too: " .. compiler, function()
      if not has(compiler) then return pending(compiler .. " is not installed") end
      compile(compiler .. " -std=c++11 -Wshadow", "gradient.cpp", "gradient")
      assert.equal("w = 3.0000\nfailed: matmul: expected 2 tensors, got 0\n", must("./gradient"))
      program.write(folder .. "/h.cpp", "#include <edgeai.h>\nint main() { return ea_abi(); }\n")
      must("%s -std=c++20 %s -Iinclude -c h.cpp -o h.o", compiler, strict)
    end)
  end

  it("tells a user of the examples what is wrong", function()
    compile("gcc -std=c99", "classify.c", "classify")
    local function fails(code, sentence, ...)
      local got, output = shell(...)
      assert.equal(code, got, output)
      assert.truthy(output:find(sentence, 1, true), output)
    end
    fails(2, "usage: classify NETWORK.safetensors PICTURE.png", "./classify")
    fails(1, "classify: ", "./classify gone.safetensors x.png")
    ea.io.save(folder .. "/bare.safetensors", { weight = ea.ones { 2 } })
    fails(1, "the file has no metadata `edgeai.graph`", "./classify bare.safetensors x.png")
    ea.nn.mlp { inp = 4, hidden = {} }:save(folder .. "/mlp.safetensors")
    fails(1, "this network does not take pictures", "./classify mlp.safetensors x.png")
    ea.nn.lenet5 {}:save(folder .. "/lenet.safetensors")
    fails(1, "x.png: ", "./classify lenet.safetensors x.png")
  end)

  it("has a soname of its ABI, and all public functions and nothing else in it", function()
    local symbols = must("readelf -d lib/libedgeai.so | grep SONAME; nm -D --defined-only "
      .. "lib/libedgeai.so")
    local header = program.read(program.root .. "/core/edgeai.h")
    local abi = header:match("EA_ABI = (%d+)")
    assert.truthy(symbols:find(("[libedgeai.so.%s]"):format(abi), 1, true), symbols)
    local exported = {}
    for name in symbols:gmatch("%x+ %u ([%w_]+)") do exported[#exported + 1] = name end
    local declared = {}
    header = header .. program.read(program.root .. "/core/edgeai_op.h")
    for name in header:gmatch("EA_API [^;]-%f[%w_](ea_[%w_]+)%(") do
      declared[#declared + 1] = name
    end
    table.sort(declared)
    table.sort(exported)
    assert.same(declared, exported)
  end)

  it("is linked statically by what pkg-config says", function()
    must("mkdir -p static/lib/pkgconfig && cp lib/libedgeai.a static/lib && "
      .. "sed 's|^prefix=.*|prefix=%s/static|' lib/pkgconfig/edgeai.pc "
      .. ">static/lib/pkgconfig/edgeai.pc", folder)
    must("export PKG_CONFIG_PATH=static/lib/pkgconfig; gcc '%s/tests/c/examples/train.c' "
      .. "-o train-static -Iinclude $(pkg-config --static --libs edgeai)", program.root)
    assert.is_nil(must("ldd train-static"):find("libedgeai", 1, true))
    local said = must("./train-static data/fashion-mnist static.safetensors 1")
    assert.truthy(said:find("test accuracy: ", 1, true), said)
  end)
end)
