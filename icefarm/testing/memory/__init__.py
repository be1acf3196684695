"""In-memory stand-ins for the router, the store, boards and control.  Look here for a fake to test against."""
