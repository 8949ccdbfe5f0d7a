return { usage = "info", summary = "later", run = function() return 1 end }
