"""Virtual boards: the process that runs them, their USB bus and images.  Look here for faults on request."""
