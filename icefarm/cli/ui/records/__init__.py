"""Records as tables, JSON or CSV.  Look here for columns and for how values read."""
