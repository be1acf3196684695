"""Pure: no I/O, no clock.  What a check of a host found, and what to do about it."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Finding", "odd", "ok", "wrong"]


@frozen
class Finding:
    """One thing that was looked at."""

    #: "ok", "warn" (it may be meant) or "FAIL" (boards, or the farm, cannot be used like this).
    mark: str
    text: str
    #: What to do; empty where nothing needs doing.
    cure: str = ""

    @property
    def is_wrong(self) -> bool:
        return self.mark == "FAIL"


def ok(text: str) -> Finding:
    """All is well, or nothing is to be done about it."""
    return Finding("ok", text)


def odd(text: str, cure: str) -> Finding:
    """It may be meant like this, or may turn out to be in the way."""
    return Finding("warn", text, cure)


def wrong(text: str, cure: str) -> Finding:
    """It keeps boards or the farm from being used."""
    return Finding("FAIL", text, cure)
