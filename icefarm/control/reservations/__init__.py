"""The life of a reservation: allocating, waiting, expiring, ending.

Look here when boards are given out or taken back.
"""
