"""Pure: no I/O, no clock.  Options that come before the verb; click wants them behind it."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["split_leading"]

#: Options that many verbs have, with a value and without.
_WITH_VALUE = frozenset(("--url", "--token-file", "--data-dir", "--ca-file", "--name", "-o", "--output", "--columns"))
_FLAGS = frozenset(("--insecure", "--debug"))


def split_leading(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options of all verbs that come first, and the rest, which begins with the verb."""
    at = 0
    while at < len(args):
        name, equals, _ = args[at].partition("=")
        if name in _FLAGS or (name in _WITH_VALUE and equals):
            at += 1
        elif name in _WITH_VALUE:
            at += 2
        else:
            break
    return list(args[:at]), list(args[at:])
