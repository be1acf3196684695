"""Results and experiments as tables and plots.  Look here for what a notebook shows."""
