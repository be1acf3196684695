"""The language of ``where``, for boards and for results.  Look here to extend it."""
