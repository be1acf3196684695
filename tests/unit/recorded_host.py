"""A host recorded as a directory, for tests of what is found on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner, Result

from icefarm.cli import main
from icefarm.doctor.database_probe import DatabaseAway, DatabaseFacts
from icefarm.doctor.machine import Machine
from icefarm.doctor.sign_in_probe import SignedIn
from icefarm.doctor.udev_rules import RULES_FILE, udev_rules
from icefarm.errors import IcefarmError
from icefarm.usb.uf2 import build
from icefarm.wamp.url import RouterUrl

__all__ = ["SERIAL", "Host"]

SERIAL = "E463A8574B151439"
#: What the tests' own environment must not decide.
_OURS = ("ICEFARM_URL", "ICEFARM_CONTROL", "ICEFARM_DATABASE", "ICEFARM_TOKEN", "ICEFARM_CA_FILE")


class Host:
    """A host recorded as a directory; programs answer what they are told to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran: list[list[str]] = []
        self.answers: dict[str, tuple[int, str]] = {
            "dmesg": (0, "usb 1-2: new full-speed USB device"),
            "udevadm": (0, ""),
            "systemctl": (0, ""),
            "systemd-sysusers": (0, ""),
            "systemd-tmpfiles": (0, ""),
            "twistd": (0, "Usage: twistd"),
        }
        #: As of CPython's own configure with --enable-optimizations.
        self.python = {"CONFIG_ARGS": "'--enable-optimizations'", "PGO_PROF_USE_FLAG": "-fprofile-use"}
        self.is_root = False
        self.usable = True
        self.forbidden: set[Path] = set()
        self.own_groups = {"plugdev"}
        self.groups = {"plugdev", "users"}
        #: What is found in the database, at the router, and at sign-in; errors are raised.
        self.facts: DatabaseFacts | DatabaseAway = DatabaseAway("nobody was to look")
        self.postgres: list[Path] = []
        self.unreachable: OSError | None = None
        self.workers: dict[str, str] | IcefarmError = {}
        #: What is found at routers by URL, where that differs.
        self.routers: dict[str, SignedIn | IcefarmError] = {}
        self.signed_in: list[tuple[str, str, str | None]] = []
        self.image("default-1.0.0")
        self.write("run/udev/control", "")
        self.write(f"etc/udev/rules.d/{RULES_FILE}", udev_rules())

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def plug(self, name: str, ids: tuple[str, str], nodes: Sequence[str] = (), **attributes: str) -> None:
        found = {
            "busnum": name.partition("-")[0],
            "devnum": str(len(list(self.root.glob("sys/bus/usb/devices/*"))) + 2),
        }
        found |= {"speed": "12", "bMaxPower": "250mA", "bDeviceClass": "ef", "bmAttributes": "80", "serial": SERIAL}
        found |= {"idVendor": ids[0], "idProduct": ids[1], **attributes}
        for attribute, text in found.items():
            self.write(f"sys/bus/usb/devices/{name}/{attribute}", text + "\n")
        for node in nodes:
            self.write(f"sys/bus/usb/devices/{name}/{name}:1.0/{node}/dev", "166:0\n")

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def _run(self, command: Sequence[str]) -> tuple[int, str]:
        self.ran.append(list(command))
        return self.answers[Path(command[0]).name]

    def machine(self) -> Machine:
        return Machine(
            root=self.root,
            which=lambda name: f"/usr/bin/{name}" if name in self.answers else None,
            run=self._run,
            may_use=lambda path: self.usable and path not in self.forbidden,
            own_groups=frozenset(self.own_groups),
            groups=frozenset(self.groups),
            is_root=self.is_root,
            database=self._look_at,
            postgres=lambda: self.postgres,
            reach=self._reach,
            sign_in=self._sign_in,
            shipped_firmware=lambda: "1.0.0",
            python_variable=self.python.get,
        )

    def image(self, name: str) -> None:
        path = self.root / "images" / f"{name}.uf2"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(build(b"an image"))

    def _look_at(self, _: str) -> DatabaseFacts:
        if isinstance(self.facts, DatabaseAway):
            raise self.facts
        return self.facts

    def _reach(self, _: RouterUrl) -> None:
        if self.unreachable is not None:
            raise self.unreachable

    def _sign_in(self, url: str, token: str, ca_file: str | None) -> SignedIn:
        self.signed_in.append((url, token, ca_file))
        found = self.routers.get(url, self.workers)
        if isinstance(found, IcefarmError):
            raise found
        return found if isinstance(found, SignedIn) else SignedIn(found)

    def doctor(self, *arguments: str) -> Result:
        own = ("--images", str(self.root / "images"), "--data-dir", str(self.root / "data"))
        return self.icefarm("doctor", *own, *arguments)

    def icefarm(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, obj=self.machine(), env=dict.fromkeys(_OURS, ""))
