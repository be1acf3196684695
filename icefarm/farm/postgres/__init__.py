"""The farm's own PostgreSQL.  Look here for how it is found and started."""
