"""Fuzzing of whatever reads bytes that others made: mutations of a corpus, each checked against what must hold."""
