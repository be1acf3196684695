"""The verbs that use boards, or a simulated chip.  Look here for evaluations and reservations of the command line."""
