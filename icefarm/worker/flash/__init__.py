"""Ways to get a firmware image onto a board, and to restart a board.  Look here when flashing fails."""
