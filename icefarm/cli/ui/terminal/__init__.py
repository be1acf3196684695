"""The terminal: streams, consoles, keys, progress, Ctrl-C.  Look here for where output goes and what interrupts it."""
