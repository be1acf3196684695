"""A PostgreSQL of the farm's own: in its data directory, reached over a Unix socket only, ended with the farm.

It can't be reached over a network, and its socket is in a directory that only the farm's user may enter; so it needs
no password.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import asdict, define, field
from psycopg2.extensions import make_dsn

from icefarm.farm.errors import CannotStart
from icefarm.farm.postgres.programs import PostgresMissing, PostgresPrograms, find_programs
from icefarm.farm.processes.child import child_command
from icefarm.farm.processes.exit_watch import process_ended
from icefarm.farm.processes.privileges import UnprivilegedUser, unprivileged
from icefarm.farm.processes.process import ChildProcess, Program
from icefarm.farm.processes.supervisor import Ended
from icefarm.system.command import CommandFailed, run

__all__ = ["PostgresMissing", "PrivatePostgres"]

#: Seconds that creating a new database may take; a slow disk needs a few.
INIT_LIMIT = 120.0
#: Seconds that an earlier farm's PostgreSQL gets to shut down.
LEFTOVER_LIMIT = 30.0
#: Seconds from SIGINT until it is killed; it flushes its memory to disk.
STOP_LIMIT = 20.0
#: Bytes that the path of a Unix socket may have (unix(7)), and the name that PostgreSQL gives its socket.
SOCKET_PATH_LIMIT = 107
SOCKET_NAME = ".s.PGSQL.5432"
#: User and database.
NAME = "icefarm"

#: Small: a farm makes tiny transactions on tiny tables, and shares its machine with the boards.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "40",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "huge_pages": "off",
    "jit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "max_logical_replication_workers": "0",
    "max_parallel_workers": "0",
    "autovacuum_max_workers": "1",
    "log_destination": "stderr",
    "log_line_prefix": "%m [%p] ",
    "lc_messages": "C",
}
_READY = re.compile(r"LOG:  database system is ready to accept connections")
# Connections that it ends at our own request are not complaints.
_COMPLAINT = re.compile(r"(?P<text>(?:PANIC|FATAL):  (?!terminating |the database system is |connection to client).*)")


@define(eq=False)
class PrivatePostgres:
    """PostgreSQL in ``directory``, made there at the first start.  A part for a
    `icefarm.farm.processes.supervisor.Supervisor`.
    """

    reactor: Any
    directory: Path = field(converter=lambda path: Path(path).absolute())
    log_file: Path
    #: Gets complaints of the running server, for the user.
    complain: Callable[[str], None] = lambda _: None
    _on_exit: Callable[[Ended], None] | None = None
    _process: ChildProcess | None = None

    @property
    def dsn(self) -> str:
        """The connection string of its database, even while it is not running."""
        return make_dsn(host=str(self._socket_directory), port=5432, dbname=NAME, user=NAME)

    def on_exit(self, callback: Callable[[Ended], None]) -> None:
        """Call ``callback`` whenever it ends unasked after it was started."""
        self._on_exit = callback

    async def start(self) -> None:
        """Start it, create the database if there is none, and wait until it accepts connections.

        Raises `PostgresMissing` or another `CannotStart`; then nothing of it runs.
        """
        programs = await find_programs(self.reactor, self._version())
        identity = unprivileged(self.directory, [programs.directory, programs.directory.parent / "share"])
        self._make_directories(identity)
        if self._version() is None:
            await self._make_database(programs, identity)
        await self._wait_for_leftover()
        self._process = ChildProcess(self.reactor, self._program(programs, identity), self.complain)
        self._process.stop_limit = STOP_LIMIT
        self._process.on_exit(self._exited)
        await self._process.start()

    async def stop(self) -> None:
        """Stop it, connections or not, and wait until it is gone.  Harmless when it is not running."""
        process, self._process = self._process, None
        if process is not None:
            await process.stop()
            if self._socket_directory.parent != self.directory:
                with suppress(OSError):
                    self._socket_directory.rmdir()

    def _exited(self, ended: Ended) -> None:
        if self._on_exit is not None:
            self._on_exit(ended)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _socket_directory(self) -> Path:
        inside = self.directory / "socket"
        if len(os.fsencode(inside / SOCKET_NAME)) <= SOCKET_PATH_LIMIT:
            return inside
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:12]
        return Path(tempfile.gettempdir(), f"icefarm-postgres-{os.getuid()}-{digest}")

    def _version(self) -> int | None:
        """Return the version that created the database; None if there is no database yet."""
        try:
            return int((self._data / "PG_VERSION").read_text().strip())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise CannotStart(f"{self._data} holds no database that can be read: {error}") from None

    def _make_directories(self, identity: UnprivilegedUser | None) -> None:
        for directory in (self.directory, self._socket_directory):
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                if identity is not None and not identity.namespace:
                    os.chown(directory, identity.uid, identity.gid, follow_symlinks=False)
                found = directory.lstat()
            except OSError as error:
                raise CannotStart(f"cannot make the directory {directory}: {error.strerror}") from None
            # Another user may have created one in /tmp, to eavesdrop.
            owner = os.geteuid() if identity is None or identity.namespace else identity.uid
            if directory.is_symlink() or found.st_uid != owner:
                raise CannotStart(f"{directory} belongs to somebody else (user {found.st_uid}); remove it")
            directory.chmod(0o700)

    async def _make_database(self, programs: PostgresPrograms, identity: UnprivilegedUser | None) -> None:
        """Create it beside its final place and move it there at the end, so that a partial one is never started."""
        new = self.directory / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        options = ["--username", NAME, "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--data-checksums"]
        await self._run(identity, [str(programs.initdb), "--pgdata", str(new), *options])
        single = [str(programs.postgres), "--single", "-D", str(new), "postgres"]
        await self._run(identity, single, f"CREATE DATABASE {NAME}\n".encode())
        new.rename(self._data)

    async def _run(self, identity: UnprivilegedUser | None, command: list[str], given: bytes = b"") -> None:
        identified = {} if identity is None else asdict(identity)
        shimmed = child_command(command, death_signal=signal.SIGKILL, **identified)
        try:
            await run(
                self.reactor,
                shimmed,
                limit=INIT_LIMIT,
                given=given,
                environment=self._environment(),
                directory=str(self.directory),
            )
        except CommandFailed as error:
            raise CannotStart(f"cannot make the database in {self.directory}: {error}") from error

    def _environment(self) -> Mapping[str, str]:
        # Settings of the user's psql (PGDATA, PGHOST, ...) are not meant for this one.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {**kept, "LC_ALL": "C"}

    def _program(self, programs: PostgresPrograms, identity: UnprivilegedUser | None) -> Program:
        settings = {**_SETTINGS, "unix_socket_directories": _quoted(self._socket_directory)}
        if programs.version >= 18:
            # The new default starts three more processes, which a database of this size does not need.
            settings["io_method"] = "sync"
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Program(
            name="PostgreSQL",
            command=(str(programs.postgres), "-D", str(self._data), *options),
            directory=self.directory,
            log=self.log_file,
            environment=self._environment(),
            ready=_READY,
            complaint=_COMPLAINT,
            stop_signal=signal.SIGINT,
            identity=identity,
        )

    async def _wait_for_leftover(self) -> None:
        """Handle the lock file of an earlier server.

        PostgreSQL considers the file valid if any process has the pid in it, which may be another process after a
        restart of the machine or the container. The server of a killed farm may still be shutting down, however.
        """
        lock = self._data / "postmaster.pid"
        try:
            pid = int(lock.read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            lock.unlink(missing_ok=True)
            return
        if self._works_here(pid) and not await process_ended(self.reactor, pid, LEFTOVER_LIMIT):
            raise CannotStart(f"a PostgreSQL (process {pid}) still runs on {self._data}; end it: kill -INT {pid}")
        lock.unlink(missing_ok=True)

    def _works_here(self, pid: int) -> bool:
        # A server's working directory is its data directory.
        with suppress(OSError):
            return Path(f"/proc/{pid}/cwd").readlink() == self._data.resolve()
        return False


def _quoted(path: Path) -> str:
    """Write a path as the only member of a list (a comma would end it)."""
    return '"' + str(path).replace('"', '""') + '"'
