"""Installs a worker as a service of this host, or into the tree of another one, and removes it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from attrs import frozen

from icefarm import __version__
from icefarm.doctor.machine import Machine
from icefarm.doctor.udev_rules import commands_to_apply
from icefarm.farm.errors import CannotStart
from icefarm.host.changes import (
    OLD,
    Action,
    ChangedByHand,
    HostFile,
    Keep,
    Remove,
    RunProgram,
    Write,
    digest_of,
    installing,
    removing,
)
from icefarm.host.record import BoardAccess, DamagedRecord, Record
from icefarm.host.worker_files import DECLARATIONS, UNIT
from icefarm.system.files import write_whole

__all__ = ["RECORD", "Installer"]

#: What was installed: `Record`.
RECORD = "etc/icefarm/installed.json"
#: Where a service does not look: the unit has ProtectHome=yes and PrivateTmp=yes.
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")


@frozen
class Installer:
    """Decides and carries out what an installation takes, on one host."""

    machine: Machine
    #: Whether it is the host that this runs on; else a tree in a directory, such as that of an image.
    is_live: bool
    #: The virtual environment that icefarm is in, as the host's services see it.
    prefix: PurePosixPath

    @property
    def root(self) -> Path:
        return self.machine.root

    def check(self, python: PurePosixPath | None, *, dry_run: bool) -> None:
        """Check that a service can be installed here.  Raises `CannotStart`.

        ``python``: where the Python is that the environment was made from; None if it is on another host.
        """
        self.check_systemd(dry_run=dry_run)
        hidden = next((path for path in (self.prefix, python) if path is not None and _is_hidden(path)), None)
        if hidden is not None:
            raise CannotStart(
                f"services do not see {hidden}, where icefarm or its Python is: install it with the system's Python "
                "into a virtual environment such as /opt/icefarm, and use the icefarm in there"
            )
        twistd = self.root / str(self.prefix).lstrip("/") / "bin/twistd"
        if not twistd.exists():
            raise CannotStart(f"there is no {twistd}: --prefix names the virtual environment that icefarm is in")

    def check_systemd(self, *, dry_run: bool) -> None:
        """Check that systemd runs, and may be told what to do.  Raises `CannotStart`."""
        if not self.is_live:
            return
        if not (self.root / "run/systemd/system").is_dir():
            raise CannotStart(
                "systemd does not run on this host: run the worker by other means (docs/worker.md), or install into "
                "the tree of another host with --root DIR"
            )
        if not (self.machine.is_root or dry_run):
            raise CannotStart("this takes root: run it with sudo, or see with --dry-run what it would do")

    def recorded(self) -> Record:
        """Return what the last installation did; an empty record if there was none.  Raises `CannotStart`."""
        text = self.there([RECORD]).get(RECORD)
        try:
            return Record() if text is None else Record.parse(text)
        except DamagedRecord:
            raise CannotStart(f"/{RECORD} is damaged: remove it, and install again") from None

    def there(self, paths: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of those files that exist."""
        found = {}
        for path in paths:
            with suppress(FileNotFoundError, NotADirectoryError):
                found[path] = (self.root / path).read_bytes()
        return found

    def install(self, wanted: Sequence[HostFile], access: BoardAccess, *, force: bool, start: bool) -> list[Action]:
        """Return what to do.  ``access``: who may use the boards, for the record.  Raises `CannotStart`."""
        recorded = self.recorded().files
        try:
            files = installing(wanted, self.there(file.path for file in wanted), recorded, force=force)
        except ChangedByHand as error:
            raise CannotStart(str(error)) from None
        digests = {**recorded, **{file.path: digest_of(file.content) for file in wanted}}
        written = HostFile(RECORD, Record(digests, access).text(__version__), 0o600)
        noted = self.there([RECORD]).get(RECORD) == written.content
        # The record has the version: after an upgrade the worker is restarted even if no other file differs.
        changes = not noted or any(isinstance(action, Write) for action in files)
        return [*files, Keep(RECORD) if noted else Write(written), *self._after_install(start, changes)]

    def _after_install(self, start: bool, changes: bool) -> list[RunProgram]:
        if not self.is_live:
            root = f"--root={self.root}"
            return [
                RunProgram(("systemd-sysusers", root, DECLARATIONS)),
                RunProgram(("systemd-tmpfiles", root, "--create", DECLARATIONS)),
                RunProgram(("systemctl", root, "enable", UNIT)),
            ]
        begin = [RunProgram(("systemctl", "restart" if changes else "start", UNIT))] if start else []
        return [
            RunProgram(("systemd-sysusers", DECLARATIONS)),
            RunProgram(("systemd-tmpfiles", "--create", DECLARATIONS)),
            *self._udev(),
            # twistd writes down which plugins there are: the service may not.
            RunProgram((f"{self.prefix}/bin/twistd", "--help")),
            RunProgram(("systemctl", "daemon-reload")),
            RunProgram(("systemctl", "enable", UNIT)),
            *begin,
        ]

    def _udev(self) -> list[RunProgram]:
        return [RunProgram(command) for command in commands_to_apply(self.machine)]

    def uninstall(self) -> list[Action]:
        """Return what to do.  Raises `CannotStart` if nothing was installed."""
        recorded = self.recorded().files
        if not recorded:
            raise CannotStart(f"nothing was installed here by icefarm host install: there is no {self.root / RECORD}")
        files = removing(self.there(recorded), recorded)
        if not self.is_live:
            return [
                RunProgram(("systemctl", f"--root={self.root}", "disable", UNIT), may_fail=True),
                *files,
                Remove(RECORD),
            ]
        stop = RunProgram(("systemctl", "disable", "--now", UNIT), may_fail=True)
        return [stop, *files, Remove(RECORD), *self._udev(), RunProgram(("systemctl", "daemon-reload"))]

    def carry_out(self, action: Action) -> None:
        """Do it.  Raises `CannotStart`."""
        match action:
            case Write():
                self._write(action)
            case Remove():
                self._remove(action.path)
            case RunProgram():
                self._run(action)

    def _write(self, action: Write) -> None:
        path = self.root / action.file.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if action.kept:
                shutil.copy2(path, path.with_name(path.name + OLD))
            write_whole(path, action.file.content, mode=action.file.mode)
        except OSError as error:
            raise CannotStart(f"cannot write {path}: {error.strerror}") from None

    def _remove(self, path: str) -> None:
        file = self.root / path
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise CannotStart(f"cannot remove {file}: {error.strerror}") from None
        if file.parent == self.root / "etc/icefarm":
            # Ours, if nothing else is in it.
            with suppress(OSError):
                file.parent.rmdir()

    def _run(self, action: RunProgram) -> None:
        code, said = self.machine.run(action.command)
        if code != 0 and not action.may_fail:
            raise CannotStart(f"{' '.join(action.command)} failed: {said or code}")


def _is_hidden(path: PurePosixPath) -> bool:
    return any(path.is_relative_to(each) for each in _HIDDEN)
