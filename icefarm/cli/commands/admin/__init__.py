"""The verbs for operators: the farm, its database, hosts and firmware, its reservations.  Look here for upkeep."""
