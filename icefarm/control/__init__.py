"""Control: knows all boards and who holds them, and admits clients and workers.  Look here for the farm's rules."""
