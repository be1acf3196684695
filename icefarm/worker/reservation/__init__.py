"""One reservation on one board: its evaluations, each carried out once.

Look here for what an evaluation does on a worker.
"""
