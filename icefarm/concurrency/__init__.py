"""Deferreds, the clock, retries, bounds of rates.  Look here for things that happen at once, or again later."""
