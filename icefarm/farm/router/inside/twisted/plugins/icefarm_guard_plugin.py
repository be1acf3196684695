"""Adds the endpoint ``icefarm:PORT:...`` to those that Twisted knows, and so to those of a Crossbar.io node."""

from icefarm_guard import GuardParser  # type: ignore[import-not-found]

guard = GuardParser()
