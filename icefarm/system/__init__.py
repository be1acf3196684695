"""Files, programs, packages and limits of this machine.  Look here for how icefarm writes a file or runs a program."""
