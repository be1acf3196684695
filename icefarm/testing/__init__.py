"""A farm without hardware, network or database: in-memory twins of the neighbours, for tests of icefarm and of users."""
