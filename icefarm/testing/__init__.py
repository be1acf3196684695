"""A farm without hardware, network or database: in-memory twins of its parts, for tests of icefarm and of users."""
