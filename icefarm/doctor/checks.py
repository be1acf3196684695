"""Checks of a host: each looks at one thing and says what to do if it is wrong."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from shlex import quote

from attrs import frozen

from icefarm import __version__
from icefarm.doctor import farm_checks
from icefarm.doctor.farm_checks import FarmUnderCheck
from icefarm.doctor.finding import Finding, odd, ok, wrong
from icefarm.doctor.machine import Machine
from icefarm.doctor.udev_rules import DEFAULT_GROUP, RULES_FILE, runs_udevd, udev_rules
from icefarm.doctor.usb_tree import UsbDevice, devices_in, node_of, parent_of
from icefarm.farm.router.config import CrossbarMissing, find_crossbar
from icefarm.worker.flash.hub_ports import hub_port, smart_hubs

__all__ = ["examine"]

#: The current that an unpowered hub may draw and pass on, in mA (USB 2.0 specification, 7.2.1).
BUS_POWER = 500
#: Directories with rules, the first wins (udev(7)).
_RULES = (
    "etc/udev/rules.d",
    "run/udev/rules.d",
    "usr/local/lib/udev/rules.d",
    "usr/lib/udev/rules.d",
    "lib/udev/rules.d",
)


@frozen
class ConflictingService:
    """A service that opens other programs' devices."""

    process: str
    #: What it does, and the symptom.
    does: str
    #: The udev rules keep it off.
    kept_off: bool


_MEDDLERS = (
    ConflictingService(
        "ModemManager",
        "probes each new serial port for a modem: the port is busy for half a minute, and a board gets bytes "
        "that are not meant for it",
        kept_off=True,
    ),
    ConflictingService(
        "udisksd",
        "mounts boot drives, or offers to: a board that restarts meanwhile leaves a broken mount behind",
        kept_off=True,
    ),
    ConflictingService(
        "brltty",
        "takes serial ports with common converter chips (FTDI, CP210x, CH340) for braille displays: they vanish a "
        "moment after they came. It leaves boards alone, but not a debug probe or a console's converter",
        kept_off=False,
    ),
)
#: Lines of the kernel's log about trouble with USB.
_TROUBLE = re.compile(
    r"over-current|device descriptor read.*error|unable to enumerate|cannot reset|not accepting address"
    r"|disabled by hub|Cannot enable|I/O error, dev sd",
)
_LAST_LINES = 3


def examine(machine: Machine, group: str, farm: FarmUnderCheck) -> list[tuple[str, Finding]]:
    """Run all checks, and return their findings in order, each with the name of the check."""
    devices = devices_in(machine.root / "sys")
    boards = sum(device.is_board for device in devices)
    checks: tuple[tuple[str, Iterable[Finding]], ...] = (
        ("versions", _versions(machine)),
        ("rules", _rules(machine, group)),
        ("group", _group(machine, group)),
        ("services", _meddlers(machine, group)),
        ("boards", _boards(machine, devices)),
        ("power", _power(devices)),
        ("hubs", _switching(machine, devices, group)),
        ("kernel", _kernel(machine)),
        ("programs", _programs(machine)),
        ("images", farm_checks.images(machine, farm, boards=boards)),
        ("database", farm_checks.database(machine, farm)),
        ("router", farm_checks.router(machine, farm)),
    )
    return [(name, finding) for name, findings in checks for finding in findings]


def _versions(machine: Machine) -> Iterator[Finding]:
    yield ok(f"icefarm {__version__}, Python {platform.python_version()} ({sys.executable})")
    asked = str(machine.python_variable("CONFIG_ARGS") or "")
    # Python's configure sets the flag anyhow.  Debian and Ubuntu optimise by rules of their own, and leave it empty.
    if machine.python_variable("PGO_PROF_USE_FLAG") and "--enable-optimizations" not in asked:
        yield odd(
            "this Python was built without optimisations, as pyenv builds it: a farm takes up to a fifth more CPU time",
            "use the distribution's python3, or one that is built with them: "
            'PYTHON_CONFIGURE_OPTS="--enable-optimizations --with-lto" pyenv install --force '
            f"{platform.python_version()}; then make icefarm's virtual environment again",
        )


def _rules(machine: Machine, group: str) -> Iterator[Finding]:
    if not runs_udevd(machine):
        yield odd(
            "no udevd runs here: boards are found by the kernel's own announcements, and rules have no effect",
            "give the user of the worker access to the boards' devices otherwise (in a container: by the host's rules)",
        )
    path = _installed(machine)
    if path is None:
        yield wrong("there are no udev rules for boards", _install(group))
        return
    text = machine.read(path) or ""
    if text in (udev_rules(group, hubs=hubs).strip() for hubs in (False, True)):
        yield ok(f"udev rules: /{path}")
    else:
        hubs = "disable" in text
        yield odd(f"/{path} is not that of this version and group", _install(group, hubs=hubs))


def _installed(machine: Machine) -> str | None:
    """Return the path of the rules that udevd uses; None if there are none."""
    paths = (f"{directory}/{RULES_FILE}" for directory in _RULES)
    return next((path for path in paths if machine.read(path) is not None), None)


def _install(group: str, *, hubs: bool = False) -> str:
    chosen = ("" if group == DEFAULT_GROUP else f" --group {group}") + (" --hubs" if hubs else "")
    return f"sudo {quote(sys.executable)} -m icefarm udev install{chosen}"


def _group(machine: Machine, group: str) -> Iterator[Finding]:
    if group not in machine.groups:
        yield wrong(f"there is no group {group}", f"sudo groupadd --system {group}")
    elif machine.is_root or group in machine.own_groups:
        yield ok(f"you are in the group {group}" if not machine.is_root else "you are root, who may use everything")
    else:
        yield wrong(f"you are not in the group {group}", f"sudo usermod -aG {group} $USER, then log in again")


def _meddlers(machine: Machine, group: str) -> Iterator[Finding]:
    names = {machine.read(f"proc/{path.parent.name}/comm") for path in _processes(machine.root)}
    running = [each for each in _MEDDLERS if each.process in names]
    for each in running:
        if not each.kept_off:
            cure = f"if nobody here needs it: sudo systemctl disable --now {each.process}"
            yield odd(f"{each.process} runs, which {each.does}", cure)
        elif _installed(machine) is None:
            yield odd(f"{each.process} runs, which {each.does}; no udev rules keep it off boards", _install(group))
        else:
            yield ok(f"{each.process} runs; the udev rules tell it to keep off boards")
    if not running:
        yield ok("no service runs that interferes with boards (ModemManager, udisks, brltty)")


def _processes(root: Path) -> list[Path]:
    return sorted((root / "proc").glob("[0-9]*/comm"))


def _boards(machine: Machine, devices: tuple[UsbDevice, ...]) -> Iterator[Finding]:
    boards = [device for device in devices if device.is_board]
    if not boards:
        yield odd("there is no board on USB", "plug one in; `icefarm doctor` shows it with its port and speed")
    for serial, places in _by_serial(boards).items():
        if len(places) > 1:
            yield wrong(
                f"the boards at USB {' and '.join(places)} have the same serial number {serial}",
                "unplug all but one: a worker uses the first that it finds",
            )
    for board in boards:
        what = "boot loader" if board.is_boot_drive else "firmware"
        yield ok(f"board {board.serial or '(no serial)'} at USB {board.name}: {what}, {board.speed:g} Mbit/s")
        if not board.serial:
            yield wrong(f"the board at USB {board.name} has no serial number", "flash icefarm's firmware onto it")
        if board.speed < 12:
            yield wrong(f"the board at USB {board.name} runs at {board.speed:g} Mbit/s", "use another cable or port")
        for node in board.nodes:
            if not machine.may_use(machine.root / "dev" / node):
                yield wrong(f"you may not use /dev/{node}", "install the udev rules, then plug the board in again")
        if not board.nodes:
            yield wrong(f"the board at USB {board.name} has neither serial port nor drive", "plug it in again")


def _by_serial(boards: list[UsbDevice]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for board in boards:
        if board.serial:
            found.setdefault(board.serial, []).append(board.name)
    return found


def _power(devices: tuple[UsbDevice, ...]) -> Iterator[Finding]:
    for hub in devices:
        if not hub.is_hub or hub.self_powered:
            continue
        asked = sum(each.milliamperes for each in devices if parent_of(each.name) == hub.name)
        if asked > BUS_POWER - hub.milliamperes:
            yield odd(
                f"the hub at USB {hub.name} is unpowered, and its devices request {asked} mA",
                "use a powered hub, or spread the boards over more hubs: boards that brown out restart by themselves",
            )


def _switching(machine: Machine, devices: tuple[UsbDevice, ...], group: str) -> Iterator[Finding]:
    """Report for each hub with boards whether it can cycle their power, which is the last step of recovery."""
    program = machine.which("uhubctl")
    ports = [port for device in devices if device.is_board and (port := hub_port(device.name)) is not None]
    if program is None:
        yield ok("uhubctl is not installed: boards are recovered without a power cycle")
        return
    listed = smart_hubs(machine.run([program, "-N"])[1])
    for hub in sorted({port.hub for port in ports}):
        amount = sum(port.hub == hub for port in ports)
        what = f"the hub at USB {hub} ({amount} board{'s' * (amount > 1)})"
        node = node_of(machine.root / "sys", hub)
        if hub in listed:
            yield ok(f"{what} switches its ports one by one: a board's power is cycled when nothing else has helped")
        elif node is not None and not machine.may_use(machine.root / "dev" / node):
            yield odd(f"there is no permission for {what}, so its power is not cycled", _install(group, hubs=True))
        else:
            yield ok(f"{what} switches all of its ports at once, or none: its power is left alone")


def _kernel(machine: Machine) -> Iterator[Finding]:
    if machine.which("dmesg") is None:
        return
    code, said = machine.run(["dmesg"])
    if code != 0:
        yield odd("the kernel's messages cannot be read", "run `icefarm doctor` as root to check them")
        return
    trouble = [line for line in said.splitlines() if _TROUBLE.search(line)]
    if not trouble:
        yield ok("the kernel's messages show no trouble with USB")
    for line in trouble[-_LAST_LINES:]:
        yield odd(f"the kernel says: {line.strip()}", "look at that port's cable, hub and power supply")


def _programs(machine: Machine) -> Iterator[Finding]:
    found = machine.which("picotool")
    yield ok(
        f"picotool: {found}" if found else "picotool is not installed: boards are flashed only by their boot drives"
    )
    try:
        yield ok(f"Crossbar.io: {find_crossbar(None)}")
    except CrossbarMissing:
        yield ok("Crossbar.io is not installed; only the host of the router needs it (pip install 'icefarm[farm]')")
