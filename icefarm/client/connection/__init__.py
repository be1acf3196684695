"""The client's session with the farm: link, reservations, leases, settings.

Look here for reconnecting and extending.
"""
