"""The farm's router, a Crossbar.io node.  Look here for its configuration."""
