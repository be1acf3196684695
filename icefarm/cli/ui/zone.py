"""The time zone in which times are read and shown: the user's choice, or this host's."""

from __future__ import annotations

import os
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from icefarm.cli.ui.parameter_types import ParsedText

__all__ = ["ZONE_VARIABLE", "zone_here", "zone_option"]

ZONE_VARIABLE = "ICEFARM_ZONE"


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"must be a time zone such as Europe/Berlin or UTC, not {name!r}") from None


def _name_here() -> str:
    # Imported when it is needed: it looks for the host's settings.
    from tzlocal import get_localzone_name

    return get_localzone_name() or "UTC"


def zone_here() -> ZoneInfo:
    """Return the user's zone, where no option names one; UTC if what was chosen is no zone."""
    try:
        return _zone(os.environ.get(ZONE_VARIABLE) or _name_here())
    except ValueError:
        return ZoneInfo("UTC")


zone_option = click.option(
    "--zone",
    type=ParsedText("ZONE", _zone),
    envvar=ZONE_VARIABLE,
    default=_name_here,
    show_default="this host's",
    help="Time zone of times, such as Europe/Berlin (ICEFARM_ZONE).",
)
