return { usage = "data", summary = "later", run = function() return 1 end }
