"""How the command line shows things: tables, columns, progress, exit codes.  Look here for how output looks."""
