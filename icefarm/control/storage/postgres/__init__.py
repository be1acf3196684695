"""The statements of the store, one module for each group of tables.  Look here for SQL."""
