"""Pure: no I/O, no clock.  How values read in a table.

humanize and `rich` write for reading, with blanks; here a value is one word, as ``cut`` and ``awk`` expect.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from icefarm.text.one_line import one_line

__all__ = ["duration", "moment", "shown"]

#: The text of an empty cell, so that every line has the same number of fields.
EMPTY = "-"


def duration(seconds: float) -> str:
    """Return a duration such as ``59m10s``, without blanks: two units at most, never negative."""
    whole = max(0, round(seconds))
    for size, unit, smaller, smaller_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{unit}" + (f"{rest}{smaller_unit}" if rest else "")
    return f"{whole}s"


def shown(value: object) -> str:
    """Return the text of a cell for a value."""
    match value:
        case None | "":
            return EMPTY
        case bool():
            return "yes" if value else "no"
        case str():
            return one_line(value)
        case float():
            return f"{value:.6g}"
        case list() | tuple():
            return ",".join(shown(each) for each in value) or EMPTY
        case Mapping():
            return ",".join(f"{one_line(str(key))}={_plain(each)}" for key, each in value.items()) or EMPTY
    return one_line(str(value))


def _plain(value: object) -> str:
    return one_line(value if isinstance(value, str) else json.dumps(value, default=str, separators=(",", ":")))


def moment(seconds: float) -> str:
    """Return a time as text, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
