"""What makes a message that is alone prompt: writing without waiting for the next turn, and memory in large pages.

The router's process imports what is here too, from this directory and by the module's bare name, where icefarm may be
missing: it imports nothing of icefarm.
"""
