"""Pure: no I/O, no clock.  Why a farm does not start, in one line for the user."""

from __future__ import annotations

__all__ = ["CannotStart"]


class CannotStart(Exception):
    """The farm, or a part of it, does not start; the message is one line that says what to do about it."""
