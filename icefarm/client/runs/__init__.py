"""Runs of experiments for their readers: what one was, its file, and measuring it again."""
