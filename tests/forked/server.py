"""The server of forks: it has imported what ``icefarm`` and scripts of clients need, and forks for each call.

A fork is a process like any other, in a session of its own.  Its arguments, environment, directory, umask and files are
the caller's (`call.py`), and it ends as it likes.  Twisted's reactor is not imported here, so that each has its own.

Its arguments are the descriptor of a Unix socket, and the directory where that and the programs are.  The server ends
with its standard input; it ends what still runs then, and removes the directory.
"""

from __future__ import annotations

import gc
import importlib
import marshal
import os
import select
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import ModuleType

from attrs import Factory, define, frozen

from forked.becoming import FAULTS, Identity
from forked.ending import run_to_the_end
from icefarm.farm.router.inside.icefarm_fork import of_interpreter

#: What a fork does that is a farm: its arguments, and what the system shows as such.
BeFarm = Callable[[list[str], Sequence[str]], None]
#: As `call.py` has it.
_ALONE = 0
#: Descriptors that a caller can pass on at once (scm(7)).
_MOST_FILES = 253


@frozen
class Call:
    """What a fork is to be."""

    #: The program, ``icefarm`` or ``python``; its arguments, with its path in front.
    name: str
    arguments: list[str]
    identity: Identity

    @property
    def needs_interpreter(self) -> bool:
        """Whether a fork could not do what a new interpreter does."""
        first = next(iter(self.arguments[1:]), "-")
        if self.name == "python" and first != "-c" and (first.startswith("-") or not os.path.isfile(self._here(first))):
            return True
        return of_interpreter(self.identity.environment, [FAULTS]) != of_interpreter(os.environ, [FAULTS])

    @property
    def is_farm(self) -> bool:
        return self.name == "icefarm" and self.arguments[1:2] == ["up"]

    def _here(self, path: str) -> str:
        return os.path.join(self.identity.directory, path)

    def become(self) -> None:
        """Make this process the caller's in all but its code."""
        os.setsid()
        self.identity.assume()

    def run(self) -> None:
        if self.name == "icefarm":
            from icefarm.cli import main

            sys.argv[:] = self.arguments
            main()
        else:
            _run_python(self.arguments[1:])


def _run_python(arguments: list[str]) -> None:
    if arguments[0] == "-c":
        _, text, *rest = arguments
        sys.argv[:], directory, file = ["-c", *rest], "", "<string>"
    else:
        sys.argv[:], file = arguments, os.path.abspath(arguments[0])
        directory = os.path.dirname(os.path.realpath(file))
        with open(file, "rb") as script:
            text = script.read()
    sys.path.insert(0, directory)
    module = sys.modules["__main__"] = ModuleType("__main__")
    if arguments[0] != "-c":
        module.__file__ = file
    exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)


def _received(connection: socket.socket) -> Call | None:
    """Return what a caller asks for; None if it was killed meanwhile."""
    files: list[int] = []
    try:
        head, files, _, _ = socket.recv_fds(connection, 4, _MOST_FILES)
        length = int.from_bytes(head, "little")
        data = connection.recv(length, socket.MSG_WAITALL)
    except ConnectionError:
        length, data = 0, b""
    if length == 0 or len(data) < length:
        for file in files:
            os.close(file)
        return None
    name, arguments, directory, umask, ignored, environment, numbers = marshal.loads(data)
    return Call(name, arguments, Identity(directory, umask, ignored, environment, numbers, files))


@define
class Server:
    """Forks for callers, and tells each of them how its process has ended."""

    _listener: socket.socket
    _poll: select.poll = Factory(select.poll)
    #: The processes by descriptors that say that they have ended, and by those of their callers.
    _ends: dict[int, tuple[int, socket.socket]] = Factory(dict)
    _callers: dict[int, int] = Factory(dict)

    def serve(self) -> Call | None:
        """Return what this process is to be, which is a fork; in the server itself, return None at the end."""
        self._poll.register(sys.stdin.fileno(), select.POLLHUP)
        self._poll.register(self._listener.fileno(), select.POLLIN)
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == sys.stdin.fileno():
                    self._end_all()
                    return None
                if descriptor in self._ends:
                    self._ended(descriptor)
                elif descriptor in self._callers:
                    # It was killed.
                    os.kill(self._callers[descriptor], signal.SIGKILL)
                    self._forget_caller(descriptor)
                elif descriptor == self._listener.fileno():
                    call = self._fork()
                    if call is not None:
                        return call

    def _fork(self) -> Call | None:
        connection, _ = self._listener.accept()
        call = _received(connection)
        if call is None:
            connection.close()
            return None
        pid = _ALONE if call.needs_interpreter else os.fork()
        if pid == 0 and not call.needs_interpreter:
            return call
        for file in call.identity.files:
            os.close(file)
        # A caller that was killed meanwhile is noticed by its end of the connection.
        with suppress(ConnectionError):
            connection.sendall(pid.to_bytes(4, "little"))
        if pid == _ALONE:
            connection.close()
        else:
            end = os.pidfd_open(pid)
            self._ends[end] = pid, connection
            self._callers[connection.fileno()] = pid
            self._poll.register(end, select.POLLIN)
            self._poll.register(connection.fileno(), select.POLLHUP)
        return None

    def _ended(self, end: int) -> None:
        pid, connection = self._ends.pop(end)
        self._poll.unregister(end)
        os.close(end)
        _, status = os.waitpid(pid, 0)
        if connection.fileno() in self._callers:
            self._forget_caller(connection.fileno())
        with suppress(OSError):
            connection.sendall(status.to_bytes(4, "little"))
        connection.close()

    def _forget_caller(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._callers[descriptor]

    def _end_all(self) -> None:
        for pid, _ in self._ends.values():
            # One that was forked a moment ago leads no group yet.
            for end in (os.killpg, os.kill):
                with suppress(ProcessLookupError):
                    end(pid, signal.SIGKILL)


def import_all() -> None:
    """Import what commands and scripts of clients need."""
    from icefarm.cli import VERBS

    for module, _, _ in VERBS.values():
        importlib.import_module(f"icefarm.cli.commands.{module}")
    for module in ("icefarm.wamp.link", "icefarm.client.api.reactor_thread", "icefarm.client.aio", "asyncio", "json"):
        importlib.import_module(module)
    assert "twisted.internet.reactor" not in sys.modules


def be(listener: str, directory: str, be_farm: BeFarm | None = None) -> None:
    """Serve; a fork goes on here, and ``be_farm`` is what it is as ``icefarm up``."""
    call = Server(socket.socket(fileno=int(listener))).serve()
    if call is None:
        shutil.rmtree(directory, ignore_errors=True)
        return
    call.become()
    if be_farm is not None and call.is_farm:
        be_farm(call.arguments, call.arguments)
    else:
        call.run()


def run() -> None:
    """Be the server as a process of its own, which a nursery has not forked."""
    import_all()
    gc.collect()
    gc.freeze()
    run_to_the_end(lambda: be(*sys.argv[1:]))
