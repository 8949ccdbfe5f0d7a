-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.data.fetch - downloads a data set from its official address.
--
-- A download goes to NAME.part, is resumed there after an interruption, and is used only when its
-- MD5 is the published one. An archive is unpacked beside its place, its files' sizes are checked,
-- and the folder is then renamed: there is never half a data set.

local F = require "edgeai.ffi"
local place = require "edgeai.data.place"
local shell = require "edgeai.data.shell"

-- Exit statuses of curl that a user meets; see curl(1).
local REASONS = {
  [3] = "the address is malformed", [5] = "the proxy is unknown",
  [6] = "the host is unknown (no network?)", [7] = "the host refuses the connection (no network?)",
  [18] = "the connection broke", [23] = "the disk is full or may not be written",
  [28] = "no answer in time", [35] = "no secure connection", [37] = "the file cannot be read",
  [52] = "an empty answer", [56] = "the connection broke",
  [60] = "the server's certificate is not valid",
  [127] = "curl is not installed (apt install curl)", [130] = "interrupted",
}
-- The server cannot continue a file (33, 36), or has nothing behind what is there (HTTP 416).
local CANNOT_RESUME = { [33] = true, [36] = true, [416] = true }

local function by_hand(source, target)
  return ("without a network, put %s there yourself, from %s"):format(target, source.url)
end

--- Returns curl's exit status; where the server answered with an error, HTTP's.
local function curl(url, part)
  local progress = F.C.ea_isatty(2) == 1 and "--progress-bar" or "--silent"
  local status, http = shell.run("curl", "--fail", "--location", "--connect-timeout", "20",
    "--speed-limit", "100", "--speed-time", "60", "--retry", "2", progress, "--write-out",
    "%{http_code}", "--continue-at", "-", "--output", part, "--", url)
  return status == 22 and tonumber(http) or status
end

local function reason(status)
  if status >= 400 then return ("the server answers with HTTP status %d"):format(status) end
  return REASONS[status] or ("curl ended with status %d"):format(status)
end

--- Downloads url to part, going on where an earlier try stopped, and checks it.
local function download(source, url, part, md5, target)
  local before = place.bytes(part)
  if before and shell.md5(part) == md5 then return end
  local status = curl(url, part)
  if before and (CANNOT_RESUME[status] or (status == 0 and shell.md5(part) ~= md5)) then
    os.remove(part) -- the beginning was of another file
    status = curl(url, part)
  end
  if status ~= 0 then
    local again = place.bytes(part) and "run the same command to go on where it stopped; " or ""
    F.raise("%s: cannot download %s: %s; %s%s", source.name, url, reason(status), again,
      by_hand(source, target))
  end
  local got = shell.md5(part)
  if got ~= md5 then
    os.remove(part)
    F.raise("%s: %s has the MD5 %s instead of %s: it is broken or another file and was deleted; "
      .. "try again, or %s", source.name, url, tostring(got), md5, by_hand(source, target))
  end
end

--- Puts `from` in the place of `to`, which may be there.
local function replace(source, from, to)
  shell.run("rm", "-rf", "--", to)
  local ok, message = os.rename(from, to)
  if not ok then F.raise("%s: cannot make %s: %s", source.name, to, message) end
end

local function fetch_archive(source, home, url)
  local part = ("%s/%s.part"):format(home, source.url:match "([^/]+)$")
  local target = home .. "/" .. source.folder
  download(source, url, part, source.md5, target)
  local fresh = ("%s/.%s.unpacking"):format(home, source.folder)
  shell.run("rm", "-rf", "--", fresh)
  F.check(F.C.ea_make_folder(fresh))
  local status = shell.run("tar", "--extract", "--no-same-owner", "--file", part, "--directory",
    fresh)
  local dir, state
  if status == 0 then dir, state = place.find(source, fresh) end
  if state ~= "ready" then
    shell.run("rm", "-rf", "--", fresh)
    F.raise("%s: %s cannot be unpacked: %s", source.name, part, status ~= 0
      and ("tar ended with status %d (is the disk full?)"):format(status) or dir)
  end
  replace(source, dir, target)
  shell.run("rm", "-rf", "--", fresh)
  os.remove(part)
end

local function fetch_files(source, home, url)
  local target = home .. "/" .. source.folder
  F.check(F.C.ea_make_folder(target))
  for _, file in ipairs(source.files) do
    local path = target .. "/" .. file.name
    if shell.md5(path) ~= file.md5 then
      download(source, url:gsub("/*$", "/") .. file.name, path .. ".part", file.md5, path)
      replace(source, path .. ".part", path)
    end
  end
end

--- Downloads `source` unless it is there. options.url: another address of the same files (of the
-- archive, or of the folder they lie in); they must have the published MD5 all the same.
-- options.root: the folder to put the data set in. Returns the data set's folder.
return function(source, given)
  local options = F.options(given or {}, { url = F.none, root = F.none }, "fetch")
  if not source.url then
    F.raise("%s: has no address to be downloaded from", source.name)
  end
  local dir, state = place.find(source, options.root)
  if state == "ready" then return dir end
  local home = options.root or place.home()
  F.check(F.C.ea_make_folder(home))
  local url = options.url or source.url
  if source.md5 then fetch_archive(source, home, url) else fetch_files(source, home, url) end
  dir, state = place.find(source, home)
  if state ~= "ready" then F.raise("%s", dir) end
  return dir
end
