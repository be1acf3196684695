"""The life of one board: its states, events and effects.

Look here when a board is not in the state that you expect.
"""
