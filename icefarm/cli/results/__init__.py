"""Results in files: filtered, written, continued.  Look here for ``--out``, ``--where`` and what is left to do."""
