"""How many files this process may have open."""

from __future__ import annotations

import resource

__all__ = ["allow_open_files"]


def allow_open_files(wanted: int) -> None:
    """Let this process have ``wanted`` files open, or as many as its hard limit allows.

    Many systems start with a soft limit of 1,024, which a farm exceeds: each connection and each board takes some.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
