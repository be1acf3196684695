"""A nursery: a process that has imported what a farm and its services need, and forks one when its parent asks.

Its arguments are the descriptor of a socket of the parent's, with which it ends, and room for the arguments of forks.

A fork becomes a child of the nursery's parent, like any process that the parent starts: the parent is for that moment
the one that gets orphans (PR_SET_CHILD_SUBREAPER, prctl(2)), and the process between it and the fork ends.  So the
parent waits for it, and is what its death signal watches.  A farm has a nursery of its own, a fork of the one that it
comes from, for its services.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import marshal
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from attrs import Factory, define, frozen

from forked.becoming import Identity, of_interpreter

__all__ = ["PADDING", "Nursery", "can_fork", "fork_services"]

#: From linux/prctl.h.
_PR_SET_CHILD_SUBREAPER = 36
#: Bytes of a request; the environment is most of it.
MOST = 200_000
#: Room for the arguments of a fork, which take the place of the nursery's.
PADDING = " " * 4000
#: How a service of a farm starts (`icefarm.farm.processes.child.child_command`), a service alone, and a farm.
_CHILD = [sys.executable, "-m", "icefarm.farm.processes.child"]
_TWISTD = str(Path(sys.executable).with_name("twistd"))
_UP = [sys.executable, "-P", "-m", "icefarm", "up"]
#: The variables in which a service may differ from the nursery although they are the interpreter's.
_OWN = ("PYTHONUNBUFFERED", "PYTHONFAULTHANDLER")

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


@define(eq=False)
class Nursery:
    """The parent's end."""

    _socket: socket.socket
    _environment: Mapping[str, str]
    _lock: Lock = Factory(Lock)

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Tell whether its interpreter is as one would be that starts in this environment."""
        return of_interpreter(environment, _OWN) == of_interpreter(self._environment, _OWN)

    def fork(
        self,
        command: Sequence[str | bytes],
        directory: str,
        environment: Mapping[str, str],
        files: Mapping[int, int],
        session: bool,
    ) -> int:
        """Return the process id of a new child.  ``files`` are its descriptors, and which of this process they are."""
        words = [os.fsdecode(word) for word in command]
        umask = os.umask(0)
        os.umask(umask)
        ignores = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        request = marshal.dumps((words, directory, umask, ignores, dict(environment), list(files), session))
        with self._lock:
            _prctl(_PR_SET_CHILD_SUBREAPER, 1)
            try:
                socket.send_fds(self._socket, [request], list(files.values()))
                answer = self._socket.recv(4)
            finally:
                _prctl(_PR_SET_CHILD_SUBREAPER, 0)
        if len(answer) < 4:
            raise ChildProcessError("the nursery has ended")
        return int.from_bytes(answer, "little")


def can_fork(command: Sequence[str | bytes]) -> bool:
    """Tell whether this starts a farm, control or a worker, as this user."""
    words = [os.fsdecode(word) for word in command]
    return words[: len(_UP)] == _UP or _twistd(_without_child(words))


def _without_child(words: list[str]) -> list[str]:
    """Return what `icefarm.farm.processes.child` is to run, if this is it and its child keeps this user."""
    return words[words.index("--") + 1 :] if words[:3] == _CHILD and "--" in words and "--uid" not in words else words


def _twistd(words: Sequence[str]) -> bool:
    return words[0] == _TWISTD and any(word in words for word in ("icefarm-control", "icefarm-worker"))


def _decoded(environment: Mapping[Any, Any]) -> dict[str, str]:
    return {os.fsdecode(name): os.fsdecode(value) for name, value in environment.items()}


def fork_services(nursery: Callable[[], Nursery]) -> None:
    """Have Twisted fork the services that this process starts from now on."""
    from twisted.internet.process import Process

    start = Process._fork

    def fork(
        self: Any, path: Any, uid: Any, gid: Any, executable: Any, args: Any, environment: Any, **more: Any
    ) -> None:
        given = _decoded(os.environ if environment is None else environment)
        if uid is None and gid is None and can_fork(args) and nursery().suits(given):
            directory = os.fsdecode(path or os.getcwd())
            self.pid = nursery().fork(args, directory, given, more["fdmap"], session=False)
            self.status = -1
        else:
            start(self, path, uid, gid, executable, args, environment, **more)

    Process._fork = fork  # type: ignore[method-assign]


@frozen
class _Request:
    """What a fork is to be."""

    words: list[str]
    identity: Identity
    #: It leads a session, from the start.
    session: bool

    @classmethod
    def received(cls, end: socket.socket) -> _Request | None:
        """Return the next one; None if there is no parent any more."""
        data, files, _, _ = socket.recv_fds(end, MOST, 16)
        if not data:
            return None
        words, directory, umask, ignores, environment, numbers, session = marshal.loads(data)
        return cls(words, Identity(directory, umask, ignores, environment, numbers, files), session)


def _serve(end: socket.socket) -> _Request | None:
    """Return what this process is to be, which is a fork; in the nursery itself, return None at the end."""
    while True:
        request = _Request.received(end)
        if request is None:
            return None
        number, goes_on = os.pipe(), os.pipe()
        between = os.fork()
        if between == 0:
            fork = os.fork()
            if fork > 0:
                os.write(number[1], fork.to_bytes(4, "little"))
                os._exit(0)
            # It goes on once it has its parent.
            os.close(goes_on[1])
            os.read(goes_on[0], 1)
            return request
        for file in (*request.identity.files, number[1], goes_on[0]):
            os.close(file)
        os.waitpid(between, 0)
        with suppress(OSError):
            end.send(os.read(number[0], 4))
        for file in (number[0], goes_on[1]):
            os.close(file)


class _Begins(BaseException):
    """Takes the place of exec."""

    def __init__(self, command: Sequence[str]) -> None:
        super().__init__(command)
        self.command = list(command)


def _begin(_: str, command: Sequence[str]) -> None:
    raise _Begins(command)


def _be(request: _Request) -> None:
    """Be what was asked for, to the end."""
    if request.session:
        os.setsid()
    request.identity.assume()
    if request.words[: len(_UP)] == _UP:
        _be_farm(request.words)
    else:
        _be_service(request.words)


def _be_farm(words: list[str]) -> None:
    # Its own nursery is forked as long as this process is still like one.
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    nursery = os.fork()
    if nursery == 0:
        here.close()
        _leave_alone()
        _live(there)
        return
    there.close()
    atexit.register(_end, nursery)
    _name(words)
    own = Nursery(here, dict(os.environ))
    fork_services(lambda: own)
    from icefarm.cli import main

    sys.argv[:] = ["icefarm", *words[len(_UP) - 1 :]]
    main(prog_name="icefarm")


def _end(nursery: int) -> None:
    """End a farm's nursery before the farm ends: nothing of it is left then."""
    os.kill(nursery, signal.SIGKILL)
    os.waitpid(nursery, 0)


def _be_service(words: list[str]) -> None:
    from twisted.scripts.twistd import run

    if words[:3] == _CHILD:
        words = _become_child(words[3:])
    _name([sys.executable, *words])
    sys.argv[:] = words
    run()


def _become_child(arguments: list[str]) -> list[str]:
    """Do what `icefarm.farm.processes.child` does, and return what it would execute then."""
    from icefarm.farm.processes import child

    execute, os.execvp = os.execvp, _begin  # type: ignore[assignment]
    try:
        child.main(arguments)
    except _Begins as begins:
        return begins.command
    finally:
        os.execvp = execute
    raise AssertionError("it has executed nothing")


def _name(words: Sequence[str]) -> None:
    """Show these arguments to the system (/proc/PID/cmdline) in place of the nursery's."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    # arg_start and arg_end; the state is the third field of the file.
    begin, end = (int(fields[number - 3]) for number in (48, 49))
    text = b"\0".join(map(os.fsencode, words))[: end - begin - 1]
    ctypes.memmove(begin, text.ljust(end - begin, b"\0"), end - begin)


def _import_all() -> None:
    from icefarm.cli import VERBS

    for module, _, _ in VERBS.values():
        importlib.import_module(f"icefarm.cli.commands.{module}")
    for module in (
        "icefarm.control.tap",
        "icefarm.farm.database",
        "icefarm.farm.readiness",
        "icefarm.farm.up",
        "icefarm.wamp.link",
        "icefarm.worker.tap",
        "twisted.scripts._twistd_unix",
        "twisted.scripts.twistd",
    ):
        importlib.import_module(module)
    assert "twisted.internet.reactor" not in sys.modules
    gc.collect()
    gc.freeze()


def _leave_alone() -> None:
    """Have no part in what is done to the parent by its terminal, or waits for the end of its output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)


def _live(end: socket.socket) -> None:
    request = _serve(end)
    if request is not None:
        _be(request)


def run() -> None:
    """Serve; forks go on here."""
    _import_all()
    _live(socket.socket(fileno=int(sys.argv[1])))
