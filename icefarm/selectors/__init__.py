"""One small language that chooses boards (`boards`) and results (`icefarm.cli.conditions`).  `language` reads it."""
