"""Pure: no I/O, no clock.  What a check of a host found, and what to do about it."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Finding", "odd", "ok", "wrong"]


@frozen
class Finding:
    """The result of one check."""

    #: "ok", "warn" (it may be intended) or "FAIL" (boards, or the farm, cannot be used like this).
    mark: str
    text: str
    #: What to do; empty if nothing.
    cure: str = ""

    @property
    def is_wrong(self) -> bool:
        return self.mark == "FAIL"


def ok(text: str) -> Finding:
    """All is well, or there is nothing to do about it."""
    return Finding("ok", text)


def odd(text: str, cure: str) -> Finding:
    """It may be intended, or may cause trouble."""
    return Finding("warn", text, cure)


def wrong(text: str, cure: str) -> Finding:
    """It prevents the use of boards or the farm."""
    return Finding("FAIL", text, cure)
