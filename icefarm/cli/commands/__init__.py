"""The verbs of ``icefarm``, one module for each group.  Look here for what a verb does."""
