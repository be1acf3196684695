"""Workers and their boards, and how the workers are brought to what the store says.

Look here when a worker connects or leaves.
"""
