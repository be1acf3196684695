"""A farm without hardware, network or database: in-memory stand-ins for its parts, for icefarm's and users' tests."""
