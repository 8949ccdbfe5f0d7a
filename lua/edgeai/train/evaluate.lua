-- SPDX-License-Identifier: GPL-3.0-or-later
-- edgeai.train.evaluate - a network over a whole split, without gradients, in captured batches.

local F = require "edgeai.ffi"
local capture = require "edgeai.capture"
local grad = require "edgeai.grad"
local tensor = require "edgeai.tensor"

local evaluate = {}

--- Runs fn(x) (default: the network) over all images of `split`, in order, and hands each batch's
-- results to each(outputs, y, valid, first): outputs is the list of fn's results, y the labels, the
-- first `valid` rows count, and the batch starts at image `first` (1-based).
-- options: batch (256), dtype ("f32"), fn.
function evaluate.batches(net, split, opts, each)
  opts = F.options(opts, { batch = 256, dtype = "f32", fn = F.none }, "evaluate")
  if type(split) ~= "table" or not split.loader then
    F.raise("evaluate: expected a split of images, such as d.val of ea.data.load, got a %s",
      type(split))
  end
  local was_training = net.training
  net:eval()
  local loader = split:loader { batch = math.min(opts.batch, split.count), dtype = opts.dtype }
  local fn = opts.fn or net
  local graph
  local ok, message = pcall(function()
    graph = grad.no_grad(capture, function(x) return fn(x) end, { loader.x })
    local first = 1
    for x, y, valid in loader:epoch(1) do
      graph.inputs[1]:copy(x)
      graph:forward()
      each(graph.outputs, y, valid, first)
      first = first + valid
    end
  end)
  loader:close()
  if graph then graph:free() end
  if was_training then net:train() end
  if not ok then error(message, 0) end
end

--- Accuracy in percent, mean cross-entropy, and (with options.confusion) a classes x classes matrix
-- of counts, row = true class, column = answer. options: batch, dtype, confusion.
function evaluate.accuracy(net, split, opts)
  opts = F.options(opts, { batch = 256, dtype = "f32", confusion = false }, "accuracy")
  local right, total, loss, matrix = 0, 0, 0, nil
  evaluate.batches(net, split, { batch = opts.batch, dtype = opts.dtype,
    fn = function(x)
      local logits = net(x):to("f32")
      return logits:log_softmax(), logits:argmax()
    end },
    function(outputs, y, valid)
      local scores, answer, label = F.data(outputs[1]), F.data(outputs[2]), F.data(y)
      local classes = outputs[1]:size(2)
      if opts.confusion and not matrix then
        matrix = tensor.zeros({ classes, classes }, "f64")
      end
      for i = 0, valid - 1 do
        if answer[i] == label[i] then right = right + 1 end
        loss = loss - scores[i * classes + label[i] - 1]
        if matrix then
          local m = F.data(matrix)
          local at = (label[i] - 1) * classes + answer[i] - 1
          m[at] = m[at] + 1
        end
      end
      total = total + valid
    end)
  return 100 * right / total, loss / total, matrix
end

return evaluate
