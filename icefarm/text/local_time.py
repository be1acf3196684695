"""Pure: no I/O, no clock.  Times as people write and read them, in a time zone; the farm keeps seconds, UTC.

Where clocks are put forward, an hour of local times is missing; where they are put back, an hour comes twice.  Neither
is guessed: such a time is refused, with what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

from icefarm.errors import InvalidArgument

__all__ = ["in_zone", "parse_time", "stay_until", "utc", "written"]

_FORM = "a date and a time such as 2026-12-01 10:00, with an offset if it is of another zone: 2026-12-01 10:00+01:00"
#: A time as the farm writes it in texts for people.
_IN_TEXT = re.compile(r"\b(\d{4}-\d\d-\d\d \d\d:\d\d) UTC\b")
_SHOWN = "%Y-%m-%d %H:%M"


def parse_time(text: str, zone: tzinfo) -> float:
    """Return a local time as seconds since the epoch.  Raises `InvalidArgument` if there is none such, or two."""
    try:
        given = datetime.fromisoformat(re.sub(r"\s*UTC$", "+00:00", text.strip()))
    except ValueError:
        raise InvalidArgument(f"must be {_FORM}, not {text!a:.100}") from None
    if len(text.strip()) <= len("2026-12-01"):
        raise InvalidArgument(f"must be {_FORM}, not only a date: {text!a:.100}")
    if given.tzinfo is not None:
        return given.timestamp()
    first, second = given.replace(tzinfo=zone, fold=0), given.replace(tzinfo=zone, fold=1)
    if first.utcoffset() == second.utcoffset():
        return first.timestamp()
    shown = given.strftime(_SHOWN)
    if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != given:
        before, after = (each.astimezone(UTC).astimezone(zone) for each in (second, first))
        raise InvalidArgument(
            f"there is no {shown} in {zone}: clocks are put forward from {before.tzname()} to {after.tzname()}; write "
            f"{before.strftime('%H:%M')} or {after.strftime('%H:%M')}"
        )
    raise InvalidArgument(
        f"{shown} comes twice in {zone}, since clocks are put back: write {_with_offset(first)} for the first "
        f"({first.tzname()}), or {_with_offset(second)} for the second ({second.tzname()})"
    )


def _with_offset(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="minutes")


def utc(seconds: float) -> str:
    """Return a time for texts of the farm, in UTC: it does not know where its reader is, and `in_zone` does."""
    return datetime.fromtimestamp(seconds, UTC).strftime(f"{_SHOWN} UTC")


def stay_until(serials: Sequence[str], ends: str, why: str) -> str:
    """Say that boards can't be kept beyond a time, as `utc` has it, and why."""
    return f"{', '.join(serials)} {'stays' if len(serials) == 1 else 'stay'} reserved until {ends} only: {why}"


def written(seconds: float, zone: tzinfo) -> str:
    """Return a time for people, with the name of its zone: Tue 2026-12-01 10:00 CET."""
    return datetime.fromtimestamp(seconds, zone).strftime(f"%a {_SHOWN} %Z")


def in_zone(text: str, zone: tzinfo) -> str:
    """Return a text of the farm with its times, which are in UTC, in a zone."""

    def local(found: re.Match[str]) -> str:
        moment = datetime.strptime(found[1], _SHOWN).replace(tzinfo=UTC)
        return moment.astimezone(zone).strftime(f"{_SHOWN} %Z")

    return _IN_TEXT.sub(local, text)
