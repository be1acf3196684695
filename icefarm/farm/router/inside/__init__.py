"""What runs inside the router's process.  It may have an environment of its own, so nothing here imports icefarm."""
