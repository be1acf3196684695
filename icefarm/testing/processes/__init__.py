"""Real processes in tests: farms, routers.  Look here for integration fixtures."""
