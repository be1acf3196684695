"""The udev rules that let a group use boards, and keep other services off them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from icefarm.doctor.machine import Machine
from icefarm.worker.usb_monitor import APPLICATION_IDS, BOOT_IDS, UDEV_CONTROL

__all__ = ["DEFAULT_GROUP", "RULES_FILE", "commands_to_apply", "runs_udevd", "udev_rules"]

#: The group that Debian and its derivatives have for users of hot-plugged devices.
DEFAULT_GROUP = "plugdev"
#: Below 73, where systemd's own rules assign devices; after 60, where their properties are determined.
RULES_FILE = "70-icefarm.rules"
#: How to tell udevd of new rules, and to apply them to what is already plugged in (udevadm(8)).
_APPLY = (
    ("udevadm", "control", "--reload"),
    ("udevadm", "trigger", "--subsystem-match=usb", "--subsystem-match=tty", "--subsystem-match=block"),
)
#: Names of groups as useradd takes them (useradd(8)).
_GROUP = re.compile(r"[a-z_][a-z0-9_-]{0,31}")

_HEAD = """\
# icefarm: boards (pico2-ice and other RP2350 boards) for the group {group}, without root. Made by `icefarm udev print`.
ACTION=="remove", GOTO="icefarm_end"
"""
_TAIL = """\
LABEL="icefarm_end"
"""


def runs_udevd(machine: Machine) -> bool:
    """Tell whether udevd runs on a host; in a container it mostly does not."""
    return (machine.root / UDEV_CONTROL.lstrip("/")).exists()


def commands_to_apply(machine: Machine) -> Sequence[tuple[str, ...]]:
    """Return how udevd hears of rules; nothing where none runs: it reads them when it starts."""
    return _APPLY if runs_udevd(machine) and machine.which("udevadm") is not None else ()


def udev_rules(group: str = DEFAULT_GROUP, *, hubs: bool = False) -> str:
    """Return the text of the rules; ``hubs``: the group may also switch the power of hub ports.

    Raises ValueError if the group's name is not valid.
    """
    if _GROUP.fullmatch(group) is None:
        raise ValueError(f"{group!r} is not a valid group name")
    access = f'GROUP="{group}", MODE="0660"'
    lines = ["", "# The device itself, for picotool. ModemManager would ask a port whether it is a modem."]
    lines += [
        f'SUBSYSTEM=="usb", ENV{{DEVTYPE}}=="usb_device", {_ids("ATTR", ids)}, {access}, ENV{{ID_MM_DEVICE_IGNORE}}="1"'
        for ids in (*APPLICATION_IDS, *BOOT_IDS)
    ]
    lines += ["", "# Serial ports of the firmware."]
    lines += [
        f'SUBSYSTEM=="tty", {_ids("ATTRS", ids)}, {access}, ENV{{ID_MM_PORT_IGNORE}}="1"' for ids in APPLICATION_IDS
    ]
    lines += ["", "# The boot drive, to which firmware is written block by block; nobody shall mount it meanwhile."]
    lines += [
        f'SUBSYSTEM=="block", {_ids("ATTRS", ids)}, {access}, ENV{{UDISKS_IGNORE}}="1", ENV{{UDISKS_AUTO}}="0"'
        for ids in BOOT_IDS
    ]
    if hubs:
        lines += ["", "# Hubs, so that uhubctl may switch the power of their ports."]
        lines += _hub_rules(group)
    return _HEAD.format(group=group) + "\n".join(lines) + "\n\n" + _TAIL


def _hub_rules(group: str) -> list[str]:
    """Return the rules for a hub, and for the attribute of each port that it has with Linux 6.0 and later.

    The ports exist once the hub's driver does, which udev reports as "bind".
    """
    ports = "/sys%p/*-port*/disable"
    return [
        'SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", ATTR{bDeviceClass}=="09", ' + f'GROUP="{group}", MODE="0664"',
        'SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_interface", DRIVER=="hub", '
        f"RUN+=\"/bin/sh -c 'chgrp -f {group} {ports}; chmod -f g+w {ports}; :'\"",
    ]


def _ids(match: str, ids: tuple[str, str]) -> str:
    return f'{match}{{idVendor}}=="{ids[0]}", {match}{{idProduct}}=="{ids[1]}"'
