return { usage = "repl", summary = "later", run = function() return 1 end }
