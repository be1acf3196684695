"""The live dashboard: the page that a browser loads; its sources are in ``frontend/`` of the repository."""
