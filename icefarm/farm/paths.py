"""The data directory of a farm: its files, and a lock so that only one farm at a time uses it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import define, field, frozen

from icefarm.farm.errors import CannotStart
from icefarm.system.files import write_whole
from icefarm.system.local_routers import NOTE, sockets_in
from icefarm.text.outside_json import parse_json

__all__ = ["DataDirectory", "DirectoryLock", "RouterPlace", "RunningFarm", "default_data_directory"]

#: Bytes that the path of a Unix socket may have (unix(7), without the terminating zero).
SOCKET_PATH_LIMIT = 107
#: The longest name of a socket in the run directory.
_LONGEST_SOCKET_NAME = "control-16.sock"


def default_data_directory(environment: Mapping[str, str]) -> Path:
    """Return where a farm keeps its state by default (XDG Base Directory Specification)."""
    state = environment.get("XDG_STATE_HOME") or ""
    # The specification says to ignore relative paths.
    base = Path(state) if state.startswith("/") else Path(environment.get("HOME") or "/", ".local", "state")
    return base / "icefarm"


@frozen
class RunningFarm:
    """A farm that runs on this host, as the command line finds it."""

    url: str
    needs_tokens: bool
    #: Where to reach each of its routers through the file system, by the URL at which others do.
    sockets: Mapping[str, Path]


@frozen
class RouterPlace:
    """Where the files of one router are."""

    #: The directories of its two nodes, of which one stands by while the other serves.
    nodes: tuple[Path, Path]
    #: The file whose lock the node has that serves.
    turn: Path
    #: The sockets at which control, and this host's own worker and operator, join it.
    control: Path
    local: Path


@frozen
class DataDirectory:
    """The paths of a farm's files."""

    path: Path = field(converter=lambda path: Path(path).absolute())

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def has_database(self) -> bool:
        """Whether a private PostgreSQL has been made here, which may be on its way to its place."""
        return self.postgres.is_dir()

    @property
    def holds_farm(self) -> bool:
        """Whether a farm has run here, with its private PostgreSQL or that of others."""
        return self.operator_token.exists()

    @property
    def router(self) -> Path:
        return self.router_place(1).nodes[0]

    def router_place(self, number: int) -> RouterPlace:
        """Return where the files of a router are; the first one has number 1."""
        one = number == 1
        nodes = ("router", "router-2") if one else (f"router-{number}a", f"router-{number}b")
        end = "" if one else f"-{number}"
        return RouterPlace(
            (self.path / nodes[0], self.path / nodes[1]),
            self.run / f"router{end}.lock",
            self.run / f"control{end}.sock",
            self.run / f"local{end}.sock",
        )

    @property
    def logs(self) -> Path:
        return self.path / "log"

    @property
    def worker_token(self) -> Path:
        """The token of the worker that ``icefarm up`` starts."""
        return self.path / "worker.token"

    @property
    def operator_token(self) -> Path:
        return self.path / "operator.token"

    @property
    def router_ticket(self) -> Path:
        return self.router / "control.ticket"

    @property
    def run(self) -> Path:
        """Directory of sockets: in the data directory if their paths are short enough, else a short one in /tmp."""
        inside = self.path / "run"
        # Crossbar.io would expand a dollar sign as a variable of the environment.
        short = len(os.fsencode(inside / _LONGEST_SOCKET_NAME)) <= SOCKET_PATH_LIMIT and "$" not in str(inside)
        if short:
            return inside
        # Imported on demand, as every verb of the command line looks here.
        import tempfile

        return Path(tempfile.gettempdir(), f"icefarm-{os.getuid()}-{self._digest()}")

    def _digest(self) -> str:
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]

    @property
    def local_socket(self) -> Path:
        """Where this host's own worker and operator join the router."""
        return self.router_place(1).local

    def note_running(self, url: str, needs_tokens: bool, routers: Sequence[str] = ()) -> None:
        """Write down for the command line that a farm runs here; ``routers``: where others reach each router."""
        sockets = {router: self.router_place(number).local.name for number, router in enumerate(routers, start=1)}
        note = {"url": url, "needs_tokens": needs_tokens, "sockets": sockets}
        write_private(self.run / NOTE, json.dumps(note) + "\n")

    def note_stopped(self) -> None:
        (self.run / NOTE).unlink(missing_ok=True)

    def running_farm(self) -> RunningFarm | None:
        """Return the farm that runs here with a router of its own; None if none does, or it is not this user's."""
        try:
            if self.run.stat().st_uid not in (os.getuid(), 0):
                return None
            noted = parse_json((self.run / NOTE).read_text())
            # That of an earlier version names no sockets.
            sockets = sockets_in(noted, self.run) or {str(noted["url"]): self.local_socket}
            if not any(socket.is_socket() for socket in sockets.values()):
                return None
            return RunningFarm(str(noted["url"]), bool(noted["needs_tokens"]), sockets)
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def spool(self, worker: str) -> Path:
        """Where a worker's measurements wait for the archive."""
        return self.path / "spool" / hashlib.sha256(worker.encode()).hexdigest()[:12]

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def create(self, routers: int = 1) -> None:
        """Create missing directories, readable only by their owner.  Raises `CannotStart` if that fails."""
        nodes = [node for number in range(1, routers + 1) for node in self.router_place(number).nodes]
        for directory in (self.path, *nodes, self.logs, self.run):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise CannotStart(
                    f"cannot make the directory {directory}: {error.strerror}; choose another one with --data-dir"
                ) from None
            _check_ours(directory)

    def new_ticket(self) -> str:
        """Generate the ticket with which control joins the router, and write it where control reads it."""
        ticket = secrets.token_urlsafe(32)
        write_private(self.router_ticket, ticket + "\n")
        return ticket


def _check_ours(directory: Path) -> None:
    """Another user may have created a directory in /tmp, to eavesdrop."""
    found = directory.stat()
    if not stat.S_ISDIR(found.st_mode) or (found.st_uid != os.getuid() and os.getuid() != 0):
        raise CannotStart(f"{directory} is not yours; choose another data directory with --data-dir")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise CannotStart(f"you may not write to {directory}; choose another data directory with --data-dir")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    write_whole(path, text, mode=0o600)


@define
class DirectoryLock:
    """The lock of a data directory; the kernel releases it when the process ends, in whatever way."""

    path: Path
    _descriptor: int | None = None

    def acquire(self) -> None:
        """Raises `CannotStart` if another farm uses the directory."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip()
            os.close(descriptor)
            raise CannotStart(
                f"a farm runs on {self.path.parent} already (process {holder or 'unknown'}); "
                "stop it, or choose another directory with --data-dir"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def release(self) -> None:
        """Release it.  Harmless when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
