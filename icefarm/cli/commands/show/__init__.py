"""The verbs that only show what the farm has.  Look here for lists, pictures and the live view."""
