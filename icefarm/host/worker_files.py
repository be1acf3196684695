"""The files of a host with a worker: unit, user, directories, udev rules, and the worker's settings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import PurePosixPath

from attrs import frozen

from icefarm.doctor.udev_rules import RULES_FILE, udev_rules
from icefarm.host.changes import HostFile
from icefarm.host.record import BoardAccess

__all__ = [
    "CA_FILE",
    "DECLARATIONS",
    "IMAGES",
    "SETTINGS",
    "SYSUSERS",
    "TMPFILES",
    "TOKEN",
    "UNIT",
    "WorkerSettings",
    "fixed_files",
]

UNIT = "icefarm-worker.service"
#: Each of these two is known to its program by its name alone, below any root.
DECLARATIONS = "icefarm.conf"
SYSUSERS, TMPFILES = f"etc/sysusers.d/{DECLARATIONS}", f"etc/tmpfiles.d/{DECLARATIONS}"
#: The worker's settings and its token, as the unit names them; and the certificates that the settings name.
SETTINGS, TOKEN, CA_FILE = "etc/icefarm/worker.toml", "etc/icefarm/worker.token", "etc/icefarm/authority.pem"
#: Firmware of real boards, and measurements on their way to the archive; the unit makes the directories.
IMAGES, SPOOL = "var/lib/icefarm-worker/firmware", "var/lib/icefarm-worker/spool"
#: Where the units of deploy/ have the programs.
_PROGRAMS = "/opt/icefarm/bin/"

_SYSUSERS = """\
# icefarm: the user that its services run as, and the group that may use boards (sysusers.d(5)).
u icefarm - "icefarm" /var/lib/icefarm
g {group} -
"""
_TMPFILES = """\
# icefarm: where its services have their settings (tmpfiles.d(5)). The token is for root, who hands it to the worker.
d /etc/icefarm 0755 root root -
z /etc/icefarm/worker.token 0600 root root -
"""
_HEAD = "# Settings of icefarm-worker (twistd icefarm-worker --help). Written by `icefarm host install`.\n[worker]\n"


@frozen
class WorkerSettings:
    """The settings of a host's worker, for its TOML file."""

    url: str
    name: str | None = None
    virtual_boards: str | None = None
    #: It trusts the certificates in `CA_FILE` alone.
    own_certificates: bool = False

    def _settings(self) -> Iterator[tuple[str, str | None]]:
        yield "control", self.url
        yield "name", self.name
        yield "ca-file", f"/{CA_FILE}" if self.own_certificates else None
        yield "images", f"/{IMAGES}"
        yield "virtual-boards", self.virtual_boards
        yield "spool", f"/{SPOOL}"

    def file(self) -> HostFile:
        # A string of JSON, in ASCII, is a basic string of TOML.
        lines = (f"{key} = {json.dumps(value)}\n" for key, value in self._settings() if value is not None)
        return HostFile(SETTINGS, (_HEAD + "".join(lines)).encode())


def fixed_files(prefix: PurePosixPath, access: BoardAccess) -> tuple[HostFile, ...]:
    """Return the files that every host with a worker gets; ``prefix``: the environment that icefarm is in.

    Raises ValueError if the group's name is not valid.
    """
    texts = {
        f"etc/udev/rules.d/{RULES_FILE}": udev_rules(access.group, hubs=access.hubs),
        SYSUSERS: _SYSUSERS.format(group=access.group),
        TMPFILES: _TMPFILES,
        f"etc/systemd/system/{UNIT}": _unit(prefix, access.group),
    }
    return tuple(HostFile(path, text.encode()) for path, text in texts.items())


def _unit(prefix: PurePosixPath, group: str) -> str:
    """Return the unit of deploy/ with the programs and the group of this host."""
    text = files("icefarm.host").joinpath("units", UNIT).read_text(encoding="utf-8")
    text = text.replace(_PROGRAMS, f"{prefix}/bin/")
    return re.sub(r"^SupplementaryGroups=.*$", f"SupplementaryGroups={group}", text, flags=re.MULTILINE)
