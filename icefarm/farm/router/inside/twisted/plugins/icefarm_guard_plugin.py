"""Adds the endpoint ``icefarm:PORT:...`` to those that Twisted knows, and so to those of a Crossbar.io node."""

from icefarm_guard import GuardParser  # type: ignore[import-not-found]
from icefarm_proxied import behind_proxies  # type: ignore[import-not-found]

guard = GuardParser(behind_proxies)
