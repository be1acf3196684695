"""A farm without hardware, network or database: in-memory stand-ins for its parts, for tests of icefarm and its users."""
