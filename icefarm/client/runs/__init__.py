"""Runs of experiments for their readers: their files, and measuring them again.  Look here for ``icefarm replay``."""
