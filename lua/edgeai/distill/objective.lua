-- SPDX-License-Identifier: GPL-3.0-or-later
-- ea.distill.objective(student, teacher, losses, opts) - any mix of losses for ea.train.fit:
--
--   local objective = ea.distill.objective(student, teacher, {
--     ce = { weight = 0.1 }, kd = { weight = 0.9, temperature = 4 },
--     attention = { weight = 1000, layers = { "group1", "group2", "group3" } },
--     hint = { weight = 1, layer = "group2" } })
--   ea.train.fit(objective.net, d.train, { objective = objective, ... })
--
-- losses: by name, each { weight = number, or function of the epochs done (ea.schedule.*), and the
-- loss's own options }; those of activations also take layer or layers, and teacher_layer(s) where
-- the teacher's are named otherwise:
--   ce                                  cross-entropy with the labels; smoothing = 0
--   kd                                  of the logits; temperature, reduction
--   attention                           layers of maps {n, h, w, c}
--   hint                                layers; a regressor each
--   similarity, pkt, rkd                layers ({ "pool" }); rkd: distance, angle; pkt: eps
--   activation_transfer                 layer ("pool"); parts, normalise
--   one of a plugin (ea.distill.NAME)   layers; its options
--   any other name                      loss = function(student's, teacher's activations, labels)
-- Terms over several layers are added up. The total is sum of weight * loss; weights on a schedule
-- are those of the step's time.
--
-- objective.net is what to train: the student, or, where hints need regressors, a network that
-- answers as the student and holds both. The teacher runs in evaluation mode, without gradients;
-- with opts.recall (ea.distill.recall) it does not run at all.
-- opts: recall; input = shape of a batch ({1, h, w, c}), for regressors (default: the student's).

local F = require "edgeai.ffi"
local doc = require "edgeai.doc"
local Module = require "edgeai.nn.module"
local grad = require "edgeai.grad"
local hint = require "edgeai.distill.hint"
local ops = require "edgeai.ops"
local symbolic = require "edgeai.nn.symbolic"
local tensor = require "edgeai.tensor"
local text = require "edgeai.text"

local losses = {
  attention = { fn = require "edgeai.distill.attention", layers = F.none },
  hint = { fn = hint.hint, layers = F.none },
  similarity = { fn = require "edgeai.distill.similarity", layers = { "pool" } },
  pkt = { fn = require "edgeai.distill.pkt", layers = { "pool" }, own = { "eps" } },
  rkd = { fn = require "edgeai.distill.rkd", layers = { "pool" }, own = { "distance", "angle" } },
  activation_transfer = { fn = require "edgeai.distill.activation_transfer", layers = { "pool" },
    own = { "parts", "normalise" } },
}
local kd = require "edgeai.distill.kd"

local Objective = {}
Objective.__index = Objective

-- ---- the losses as given -----------------------------------------------------------------------

local function list_of(one, many, where)
  local list = many or one
  if type(list) == "string" then list = { list } end
  if list == nil then return nil end
  if type(list) ~= "table" or type(list[1]) ~= "string" then
    F.raise("distill.objective: %s: layers must be names of layers", where)
  end
  return list
end

--- A loss that a plugin declares, as the ones above; nil if there is none.
local function of_plugin(name)
  local fn = require("edgeai.distill")[name]
  local options = fn and (doc.of(fn) or {}).options
  return options and { fn = fn, layers = F.none, own = text.keys(options) }
end

local function new_term(name, given)
  local kind = losses[name]
  if not kind and name ~= "ce" and name ~= "kd" and not (type(given) == "table" and given.loss) then
    kind = of_plugin(name)
  end
  local allowed = { weight = 1 }
  if name == "ce" then
    allowed.smoothing = 0
  elseif name == "kd" then
    allowed.temperature, allowed.reduction = 4, "batchmean"
  else
    for _, key in ipairs { "layer", "layers", "teacher_layer", "teacher_layers" } do
      allowed[key] = F.none
    end
    for _, key in ipairs(kind and kind.own or {}) do allowed[key] = F.none end
    if not kind then allowed.loss = F.none end
  end
  local o = F.options(given, allowed, "distill.objective: " .. name)
  local weight = o.weight
  if type(weight) ~= "number" and type(weight) ~= "function"
    and not (getmetatable(weight) or {}).__call then
    F.raise("distill.objective: %s: weight must be a number or a function of the epochs done, got "
      .. "a %s", name, type(weight))
  end
  local term = { name = name, weight = weight, options = {}, known = kind ~= nil }
  if name == "ce" or name == "kd" then
    o.weight, term.options = nil, o
    return term
  end
  term.fn = kind and kind.fn or o.loss
  if type(term.fn) ~= "function" then
    F.raise("distill.objective: there is no loss '%s'%s; one of your own needs loss = function",
      name, text.suggest(name, { "ce", "kd", unpack(text.keys(losses)) }))
  end
  local default = kind and kind.layers ~= F.none and kind.layers or nil
  term.layers = list_of(o.layer, o.layers, name) or default
    or F.raise("distill.objective: %s needs layers", name)
  term.teacher_layers = list_of(o.teacher_layer, o.teacher_layers, name) or term.layers
  if #term.layers ~= #term.teacher_layers then
    F.raise("distill.objective: %s: %d layers of the student, %d of the teacher", name,
      #term.layers, #term.teacher_layers)
  end
  for _, key in ipairs(kind and kind.own or {}) do term.options[key] = o[key] end
  if not next(term.options) then term.options = nil end
  return term
end

-- ---- regressors --------------------------------------------------------------------------------

local Trainee = Module.class("trainee")
function Trainee:forward(x) return self.student(x) end

--- Shapes of the named layers' outputs.
local function shapes(net, names, input)
  local wanted, found = {}, {}
  for _, name in ipairs(names) do wanted[net:get(name)] = name end
  symbolic(net, input, function(run)
    Module.observe(function(m, _, y) if wanted[m] then found[wanted[m]] = y.shape end end, run)
  end)
  return found
end

local function add_regressors(self, term, input)
  input = input or self.net.input_shape
    or F.raise("distill.objective: hint needs the shape of a batch: input = { 1, h, w, c }")
  local own, theirs = shapes(self.student, term.layers, input),
    shapes(self.teacher, term.teacher_layers, input)
  self.student:materialise() -- first values by its own names, whatever losses it learns from
  local net = Trainee.new()
  net:add("student", self.student)
  for i, layer in ipairs(term.layers) do
    net:add("regressor" .. i, hint.regressor(own[layer], theirs[term.teacher_layers[i]]))
  end
  net.input_shape, self.net = input, net
end

-- ---- one step ----------------------------------------------------------------------------------

local function wide(x) return x.dtype == "bf16" and x:to("f32") or x end

local function activations_loss(self, term, own, theirs, y)
  if term.name == "attention" then
    local s, t = {}, {}
    for i, layer in ipairs(term.layers) do
      s[i], t[i] = own[layer], theirs[term.teacher_layers[i]]
    end
    return term.fn(s, t)
  end
  local total
  for i, layer in ipairs(term.layers) do
    local s, t = own[layer], wide(theirs[term.teacher_layers[i]])
    if term.name == "hint" then
      local regressor = self.net["regressor" .. i]
      s = regressor(regressor.kind == "linear" and wide(s) or s)
    end
    local extra = y
    if term.known then extra = term.options end
    local loss = term.fn(wide(s), t, extra)
    total = total and total + loss or loss
  end
  return total
end

local function need_classes(teacher, student)
  if teacher:size(2) == student:size(2) then return end
  F.raise("distill.objective: the teacher knows %d classes, the student %d; take a student of as "
    .. "many", teacher:size(2), student:size(2))
end

local function names(terms, key)
  local list, seen = {}, {}
  for _, term in ipairs(terms) do
    for _, name in ipairs(term[key] or {}) do
      if not seen[name] then list[#list + 1] = name end
      seen[name] = true
    end
  end
  return list
end

--- objective(x, y, id): the total loss and the student's logits, for ea.train.fit.
function Objective:__call(x, y, id)
  local theirs, teacher_logits
  if self.recall then
    theirs, teacher_logits = self.recall(id, self.teacher_layers)
  elseif self.needs_teacher then
    theirs, teacher_logits = grad.no_grad(self.teacher.features, self.teacher, x,
      self.teacher_layers)
  end
  local own, logits = self.student:features(x, self.layers)
  logits = logits:to("f32")
  local total
  for i, term in ipairs(self.terms) do
    local loss
    if term.name == "ce" then
      loss = logits:cross_entropy(y, term.options)
    elseif term.name == "kd" then
      need_classes(teacher_logits, logits)
      loss = kd(logits, teacher_logits:to("f32"), term.options)
    else
      loss = activations_loss(self, term, own, theirs, y)
    end
    loss = ops.functions.mul(loss, self.weights[i])
    total = total and total + loss or loss
  end
  return total, logits
end

--- Sets the weights that are on a schedule to those after so many epochs; ea.train.fit calls it.
function Objective:at(epochs)
  for i, term in ipairs(self.terms) do
    local w = term.weight
    self.weights[i]:fill(type(w) == "number" and w or w(epochs))
  end
end

return function(student, teacher, given, opts)
  local o = F.options(opts, { recall = F.none, input = F.none }, "distill.objective")
  for what, net in pairs { student = student, teacher = teacher } do
    if not Module.is(net) then
      F.raise("distill.objective: the %s must be a network, got a %s", what, type(net))
    end
  end
  if type(given) ~= "table" or not next(given) then
    F.raise("distill.objective: expected losses by name, as in { kd = { weight = 1 } }")
  end
  local self = setmetatable({ student = student, net = student, teacher = teacher:eval(),
    terms = {}, weights = {}, recall = o.recall }, Objective)
  for _, name in ipairs(text.keys(given)) do
    local term = new_term(name, given[name])
    self.terms[#self.terms + 1] = term
    self.weights[#self.terms] = tensor.full({}, 0)
    self.needs_teacher = self.needs_teacher or name ~= "ce"
    if name == "hint" then add_regressors(self, term, o.input) end
  end
  self.layers = names(self.terms, "layers")
  self.teacher_layers = names(self.terms, "teacher_layers")
  self:at(0)
  return self
end
