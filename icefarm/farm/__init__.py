"""A whole farm on one machine, as ``icefarm up`` runs it.  Look here for how its parts are started and stopped."""
