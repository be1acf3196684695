"""Pure: no I/O, no clock.  What icefarm 0.1.x called things, and what they are called now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["CLIENT_NAMES", "SERVICE_NAMES", "kind_options", "translate_legacy_env"]

#: The prefix of environment variables before the name icefarm.
_PREFIX = "USBIPICE_"
#: For the services: the present name of a variable, and those that it had.
SERVICE_NAMES = {
    "ICEFARM_CONTROL": ("ICEFARM_CONTROL_SERVER", "USBIPICE_CONTROL_SERVER"),
    "ICEFARM_NAME": ("ICEFARM_WORKER_NAME", "USBIPICE_WORKER_NAME"),
}
#: For clients.
CLIENT_NAMES = {"ICEFARM_URL": ("ICEFARM_CONTROL_SERVER", "USBIPICE_CONTROL_SERVER")}
#: What has no meaning any more, and why.
_NO_MEANING = {
    "CONTROL_PORT": "give --listen HOST:PORT to icefarm up, or to the router",
    "WORKER_URL": "workers connect to the farm, nobody connects to them",
    "WORKER_CONFIG": "options are in a TOML file now, ICEFARM_CONFIG",
    "WORKER_LOGS": "twistd's --logfile says where a worker logs",
    "DEFAULT": "firmware images come from --images",
    "PULSE_COUNT": "firmware images come from --images",
    "VARIANCE": "firmware images come from --images",
}
#: Options of the kinds' old transport: there are no results to flush any more.
_NO_OPTIONS = ("flush_interval_seconds", "flush_at_bitstreams_remaining")
_OPTIONS = {"send_waveform": "waveform"}


def translate_legacy_env(
    environment: Mapping[str, str], renamed: Mapping[str, Sequence[str]]
) -> tuple[dict[str, str], list[str]]:
    """Return the environment with old names replaced by their present ones, and a note on each replaced one.

    A variable set under its present name wins.  ``renamed`` is `SERVICE_NAMES` or `CLIENT_NAMES`; every other
    ``USBIPICE_X`` is ``ICEFARM_X``.
    """
    known, notes = dict(environment), []
    present = {old: new for new, olds in renamed.items() for old in olds}
    for name in sorted(environment):
        short = name.removeprefix(_PREFIX).removeprefix("ICEFARM_")
        new = present.get(name, f"ICEFARM_{short}" if name.startswith(_PREFIX) else None)
        if short in _NO_MEANING and name.startswith((_PREFIX, "ICEFARM_")):
            notes.append(f"{name} has no meaning any more: {_NO_MEANING[short]}")
        elif new is not None and environment.get(new):
            notes.append(f"{name} is ignored, since {new} is set")
        elif new is not None and environment[name]:
            known[new] = environment[name]
            notes.append(f"{name} is called {new} now; the old name still works")
    return known, notes


def kind_options(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return a kind's options as they are called now."""
    return {_OPTIONS.get(name, name): value for name, value in args.items() if name not in _NO_OPTIONS}
