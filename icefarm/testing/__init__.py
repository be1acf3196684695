"""A farm in memory, without hardware, network or database.  Look here for tests, icefarm's own and users'."""
