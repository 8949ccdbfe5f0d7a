-- SPDX-License-Identifier: GPL-3.0-or-later
-- Fetching from a server on this machine: whole, interrupted, refused, wrong.
local ea = require "edgeai"
local ffi = require "ffi"
local place = require "edgeai.data.place"
local shell = require "edgeai.data.shell"

pcall(ffi.cdef, "int setenv(const char *, const char *, int); int unsetenv(const char *);")

-- Serves a folder on a free port (written to port.txt) and notes each request's Range in log.txt.
-- cut.txt: a number of bytes after which the next answer breaks off. noranges.txt: ranges are
-- ignored, as simple servers do.
local SERVER = [[
import http.server, os, re, sys
os.chdir(sys.argv[1])
class Handler(http.server.BaseHTTPRequestHandler):
  def log_message(self, *a): pass
  def do_GET(self):
    asked = self.headers.get("Range", "")
    with open("log.txt", "a") as log: log.write("%s %s\n" % (self.path, asked or "-"))
    try: data = open("." + self.path, "rb").read()
    except OSError: return self.send_error(404)
    start = 0
    if asked and not os.path.exists("noranges.txt"):
      start = int(re.match(r"bytes=(\d+)-", asked).group(1))
      if start >= len(data): return self.send_error(416)
      self.send_response(206)
      self.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data)))
    else: self.send_response(200)
    self.send_header("Content-Length", str(len(data) - start))
    self.end_headers()
    body = data[start:]
    if os.path.exists("cut.txt"):
      body = body[:int(open("cut.txt").read())]
      os.remove("cut.txt")
    self.wfile.write(body)
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
open("port.new", "w").write(str(server.server_port))
os.rename("port.new", "port.txt")
server.serve_forever()
]]

local function write(path, content)
  local file = assert(io.open(path, "wb"))
  file:write(content)
  file:close()
end

local function read(path)
  local file = io.open(path, "rb")
  local content = file and file:read "*a"
  if file then file:close() end
  return content
end

local function run(...) assert.equal(0, (shell.run(...))) end

-- n CIFAR-10 records whose pixels are hard to compress, so that the archive is not tiny.
local function records(n, salt)
  local out = {}
  for i = 0, n - 1 do
    local bytes = {}
    for j = 1, 3072 do bytes[j] = string.char((i * 131 + j * j * 7 + j * salt) % 256) end
    out[#out + 1] = string.char(i % 10) .. table.concat(bytes)
  end
  return table.concat(out)
end

local function source_like_cifar(md5)
  return {
    name = "small-cifar", title = "Small", folder = "small-bin", label_bytes = 1,
    files = {
      { name = "data.bin", part = "train", bytes = 40 * 3073 },
      { name = "test.bin", part = "test", bytes = 10 * 3073 },
    },
    read = require("edgeai.data.reader").cifar,
    shape = { 32, 32, 3 }, classes = 10, names = {}, counts = { train = 40, test = 10 },
    url = "http://localhost/small.tar.gz", md5 = md5, megabytes = 1,
  }
end

describe("ea.data.fetch", function()
  local folder, base, pid, home

  local function refused(pattern, name, options)
    local ok, message = pcall(ea.data.fetch, name, options)
    assert.is_false(ok)
    assert.is_truthy(message:find(pattern), message)
    assert.is_nil(message:find("\n"), message)
    return message
  end

  local function requests()
    local list = {}
    for line in (read(folder .. "/log.txt") or ""):gmatch "[^\n]+" do list[#list + 1] = line end
    return list
  end

  setup(function()
    local status, made = shell.run("mktemp", "-d")
    assert.equal(0, status)
    folder = made:match "^[^\n]+"
    write(folder .. "/server.py", SERVER)
    os.execute(("python3 %s/server.py %s >/dev/null 2>&1 & echo $! > %s/pid.txt")
      :format(folder, folder, folder))
    pid = read(folder .. "/pid.txt"):match "%d+"
    for _ = 1, 100 do
      if read(folder .. "/port.txt") then break end
      shell.run("sleep", "0.05")
    end
    local port = read(folder .. "/port.txt")
    base = port and "http://127.0.0.1:" .. port
    run("mkdir", "-p", folder .. "/small-bin")
    write(folder .. "/small-bin/data.bin", records(40, 3))
    write(folder .. "/small-bin/test.bin", records(10, 5))
    run("tar", "-C", folder, "-czf", folder .. "/small.tar.gz", "small-bin")
    ea.data.register(source_like_cifar(shell.md5(folder .. "/small.tar.gz")))
    write(folder .. "/small-bin/data.bin", "short")
    run("tar", "-C", folder, "-czf", folder .. "/lacking.tar.gz", "small-bin")
  end)

  teardown(function()
    if pid then os.execute("kill " .. pid .. " 2>/dev/null") end
    ea.data.unregister "small-cifar"
    ea.data.unregister "small-mnist"
    shell.run("rm", "-rf", "--", folder)
  end)

  --- A test that needs the server.
  local function served(name, body)
    it(name, function()
      if not base then return pending "python3 is not there to serve files" end
      body()
    end)
  end

  before_each(function()
    home = folder .. "/home"
    shell.run("rm", "-rf", "--", home, folder .. "/log.txt", folder .. "/noranges.txt")
  end)

  local function fetch() return ea.data.fetch("small-cifar",
    { url = base .. "/small.tar.gz", root = home }) end

  local function left_over()
    local _, names = shell.run("ls", "-A", home)
    return names:gsub("%s+$", "")
  end

  served("downloads, checks and unpacks once", function()
    assert.equal(home .. "/small-bin", fetch())
    assert.equal("small-bin", left_over())
    assert.equal(1, #requests())
    fetch()
    assert.equal(1, #requests())
    local d = ea.data.load("small-cifar", { root = home, val = 10 })
    assert.same({ 30, 10, 10 }, { d.train.count, d.val.count, d.test.count })
    local pixels = records(40, 3)
    assert.equal(pixels:byte(3073 * 7 + 2), d.train.images:get(8, 1, 1, 1))
    assert.equal(pixels:byte(3073 * 7 + 2 + 1024 + 33), d.train.images:get(8, 2, 2, 2))
    assert.equal(8, d.train.labels:get(8))
  end)

  served("writes to $EDGEAI_DATA and finds it there", function()
    ffi.C.setenv("EDGEAI_DATA", home .. "/", 1)
    ea.data.fetch("small-cifar", { url = base .. "/small.tar.gz" })
    assert.equal(home, place.home())
    local found
    for _, row in ipairs(ea.data.list()) do
      if row.name == "small-cifar" then found = row end
    end
    ffi.C.unsetenv "EDGEAI_DATA"
    assert.equal("ready", found.state)
    assert.equal(home .. "/small-bin", found.where)
  end)

  served("goes on where an interrupted download stopped", function()
    write(folder .. "/cut.txt", "1000")
    local options = { url = base .. "/small.tar.gz", root = home }
    refused("connection broke; run the same command", "small-cifar", options)
    assert.equal(1000, place.bytes(home .. "/small.tar.gz.part"))
    fetch()
    assert.equal("/small.tar.gz bytes=1000-", requests()[2])
    assert.equal("small-bin", left_over())
  end)

  served("starts over with a server that cannot go on", function()
    run("mkdir", "-p", home)
    write(home .. "/small.tar.gz.part", ("x"):rep(500))
    write(folder .. "/noranges.txt", "")
    fetch()
    assert.equal("small-bin", left_over())
  end)

  served("does not download again what is whole, and replaces what is too long", function()
    run("mkdir", "-p", home)
    run("cp", folder .. "/small.tar.gz", home .. "/small.tar.gz.part")
    fetch()
    assert.equal(0, #requests())
    run("rm", "-r", home .. "/small-bin")
    write(home .. "/small.tar.gz.part", read(folder .. "/small.tar.gz") .. "more")
    fetch()
    assert.equal("small-bin", left_over())
  end)

  served("refuses and deletes a file with another checksum", function()
    refused("has the MD5 %x+ instead of %x+", "small-cifar",
      { url = base .. "/lacking.tar.gz", root = home })
    assert.equal("", left_over())
  end)

  served("puts nothing in place from an archive without the right files", function()
    local source = source_like_cifar(shell.md5(folder .. "/lacking.tar.gz"))
    source.name = "lacking"
    ea.data.register(source)
    refused("cannot be unpacked: .*data.bin has 5 bytes instead of 122920", "lacking",
      { url = base .. "/lacking.tar.gz", root = home })
    ea.data.unregister "lacking"
    assert.is_nil(left_over():find "small%-bin")
  end)

  served("replaces a damaged data set", function()
    run("mkdir", "-p", home .. "/small-bin")
    write(home .. "/small-bin/data.bin", "short")
    fetch()
    assert.equal(40 * 3073, place.bytes(home .. "/small-bin/data.bin"))
  end)

  served("keeps what it has when the server fails, and says how to go on", function()
    run("mkdir", "-p", home)
    write(home .. "/small.tar.gz.part", "begun")
    refused("HTTP status 404; run the same command", "small-cifar",
      { url = base .. "/nothing.tar.gz", root = home })
    assert.equal(5, place.bytes(home .. "/small.tar.gz.part"))
    local message = refused("refuses the connection", "small-cifar",
      { url = "http://127.0.0.1:1/small.tar.gz", root = home })
    assert.is_truthy(message:find("put " .. home .. "/small-bin there yourself", 1, true))
  end)

  served("fetches data sets of single files", function()
    local files = {}
    for _, part in ipairs { "train", "test" } do
      for _, what in ipairs { "images", "labels" } do
        local name = ("%s-%s.gz"):format(part, what)
        local header = what == "images" and "\0\0\8\3\0\0\0\20\0\0\0\28\0\0\0\28"
          or "\0\0\8\1\0\0\0\20"
        local body = what == "images" and ("\7"):rep(20 * 784) or ("\0\1\2\3"):rep(5)
        write(folder .. "/plain", header .. body)
        run("sh", "-c", ("gzip -c %s/plain > %s/%s"):format(folder, folder, name))
        files[#files + 1] = { name = name, part = part, what = what,
          md5 = shell.md5(folder .. "/" .. name) }
      end
    end
    ea.data.register {
      name = "small-mnist", title = "Small", folder = "small-mnist", files = files,
      read = require("edgeai.data.reader").idx, shape = { 28, 28, 1 }, classes = 4, names = {},
      counts = { train = 20, test = 20 }, url = base, megabytes = 1,
    }
    ea.data.fetch("small-mnist", { url = base, root = home })
    assert.equal(4, #requests())
    local d = ea.data.load("small-mnist", { root = home, val = false })
    assert.same({ 20, 28, 28, 1 }, d.train.images.shape)
    assert.same({ 5, 5, 5, 5 }, d.test:class_counts())
    assert.is_nil(d.val)
    assert.is_true(ea.data.verify("small-mnist", home).ok)
  end)

  it("does not know other names", function()
    refused("no data set 'cifar11'; did you mean `cifar10`", "cifar11")
    refused("no option 'uri'; did you mean `url`", "cifar10", { uri = "x" })
  end)
end)
