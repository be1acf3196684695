"""The files of the dashboard, built from ``frontend/``.  Look there for its sources, and here for how they are read."""
