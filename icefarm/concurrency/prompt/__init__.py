"""Writing without waiting for the reactor's next turn.

The router's process imports what is here too, from this directory and by the module's bare name, where icefarm may be
missing: it imports nothing of icefarm.
"""
