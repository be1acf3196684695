"""Pure: no I/O, no clock.  What icefarm 0.1.x called things, and what they are called now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["CLIENT_NAMES", "SERVICE_NAMES", "kind_options", "translate_legacy_env"]

#: The prefix of environment variables before the name icefarm.
_PREFIX = "USBIPICE_"
#: For the services: the present name of a variable, and those that it had, the newest first.
SERVICE_NAMES = {
    "ICEFARM_CONTROL": ("ICEFARM_CONTROL_SERVER", "USBIPICE_CONTROL_SERVER"),
    "ICEFARM_NAME": ("ICEFARM_WORKER_NAME", "USBIPICE_WORKER_NAME"),
}
#: For clients.
CLIENT_NAMES = {"ICEFARM_URL": ("ICEFARM_CONTROL_SERVER", "USBIPICE_CONTROL_SERVER")}
#: What a note says of a variable, the same in every process: several read it when a farm starts.
_NOW = {
    "CONTROL_SERVER": "ICEFARM_URL now for clients, and ICEFARM_CONTROL for workers",
    "WORKER_NAME": "ICEFARM_NAME now for workers",
}
#: What has no meaning any more, and why.
_NO_MEANING = {
    "CONTROL_PORT": "give --listen HOST:PORT to icefarm up, or to the router",
    "SERVER_PORT": "give --listen HOST:PORT to icefarm up, or to the router; workers listen nowhere",
    "WORKER_URL": "workers connect to the farm, nobody connects to them",
    "WORKER_CONFIG": "options are in a TOML file now, ICEFARM_CONFIG",
    "WORKER_LOGS": "twistd's --logfile says where a worker logs",
    "DEFAULT": "firmware images come from --images",
    "PULSE_COUNT": "firmware images come from --images",
    "VARIANCE": "firmware images come from --images",
}
#: The same, by the beginning of their names.  Variables of virtual boards are called ICEFARM_VIRTUAL_... now too, and
#: mean something else.
_NO_MEANING_PREFIXES = {
    "USBIPICE_VIRTUAL_": "virtual boards are options of icefarm up (--boards N) and of the worker (--virtual-boards N)",
}
#: Options of the kinds' old transport: there are no results to flush any more.
_NO_OPTIONS = ("flush_interval_seconds", "flush_at_bitstreams_remaining")
_OPTIONS = {"send_waveform": "waveform"}


def translate_legacy_env(
    environment: Mapping[str, str], renamed: Mapping[str, Sequence[str]]
) -> tuple[dict[str, str], list[str]]:
    """Return the environment with old names replaced by their present ones, and a note on each replaced one.

    A variable set under its present name wins, then the newer of its old names.  ``renamed`` is `SERVICE_NAMES` or
    `CLIENT_NAMES`; every other ``USBIPICE_X`` is ``ICEFARM_X``.
    """
    known, notes = dict(environment), []
    present = {old: new for new, olds in renamed.items() for old in olds}
    # Names that begin with ICEFARM come before those with USBIPICE, which are older.
    for name in sorted(environment):
        if not name.startswith((_PREFIX, "ICEFARM_")) or not environment[name]:
            continue
        useless = _no_meaning(name)
        if useless is not None:
            notes.append(f"{name} has no meaning any more: {useless}")
            continue
        new = present.get(name) or _without_prefix(name)
        if new is None or known.get(new) == environment[name]:
            continue
        if known.get(new):
            notes.append(f"{name} is ignored, since {new} is set")
        else:
            known[new] = environment[name]
            notes.append(f"{name} is called {_NOW.get(_short(name), f'{new} now')}; the old name still works")
    return known, notes


def _short(name: str) -> str:
    return name.removeprefix(_PREFIX).removeprefix("ICEFARM_")


def _no_meaning(name: str) -> str | None:
    for prefix, why in _NO_MEANING_PREFIXES.items():
        if name.startswith(prefix):
            return why
    return _NO_MEANING.get(_short(name))


def _without_prefix(name: str) -> str | None:
    """Return the present name of a variable that has changed its prefix only; None for any other."""
    return f"ICEFARM_{_short(name)}" if name.startswith(_PREFIX) and _short(name) not in _NOW else None


def kind_options(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return a kind's options as they are called now."""
    return {_OPTIONS.get(name, name): value for name, value in args.items() if name not in _NO_OPTIONS}
