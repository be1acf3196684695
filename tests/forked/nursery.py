"""A nursery: a process that has imported what others need, and forks one of those when its parent asks.

A fork becomes a child of the nursery's parent, like any process that the parent starts: the parent is for that moment
the one that gets orphans (PR_SET_CHILD_SUBREAPER, prctl(2)), and the process between it and the fork ends.  So the
parent waits for it, and is what its death signal watches.  A fork may have a nursery of its own, for what it starts.
"""

from __future__ import annotations

import atexit
import ctypes
import marshal
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Lock

from attrs import Factory, define, frozen

from forked.becoming import Identity
from icefarm.farm.router.inside.icefarm_fork import fork_by_twisted, of_interpreter

__all__ = ["PADDING", "Nursery", "Request", "fork_by_nursery", "nursery_of_this", "serve", "show"]

#: From linux/prctl.h.
_PR_SET_CHILD_SUBREAPER = 36
#: Bytes of a request; the environment is most of it.
MOST = 200_000
#: Room for the arguments of a fork, which take the place of the nursery's.
PADDING = " " * 4000
#: Variables of the interpreter that `Identity` heeds, and one that is the business of who asks.
_HEEDED = ("PYTHONUNBUFFERED", "PYTHONFAULTHANDLER", "PYTHONPATH")

_libc = ctypes.CDLL(None, use_errno=True)


def _become_reaper(value: int) -> None:
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


@define(eq=False)
class Nursery:
    """The parent's end."""

    _socket: socket.socket
    _environment: Mapping[str, str]
    _lock: Lock = Factory(Lock)
    #: Of requests.
    _numbers: Iterator[int] = Factory(count)

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Tell whether its interpreter is as one would be that starts in this environment."""
        return of_interpreter(environment, _HEEDED) == of_interpreter(self._environment, _HEEDED)

    def fork(
        self,
        words: Sequence[str],
        directory: str,
        environment: Mapping[str, str],
        files: Mapping[int, int],
        session: bool,
    ) -> int:
        """Return the process id of a new child.  ``files`` are its descriptors, and which of this process they are."""
        umask = os.umask(0)
        os.umask(umask)
        ignores = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        given = list(words), directory, umask, ignores, dict(environment), list(files), session
        with self._lock:
            number = next(self._numbers)
            _become_reaper(1)
            try:
                socket.send_fds(self._socket, [marshal.dumps((number, *given))], list(files.values()))
                return self._answer(number)
            finally:
                _become_reaper(0)

    def _answer(self, number: int) -> int:
        """Return the answer to a request; that to an earlier one, which a test's limit interrupted, may come first."""
        while answer := self._socket.recv(8):
            if int.from_bytes(answer[:4], "little") == number:
                break
        if len(answer) < 8:
            raise ChildProcessError("the nursery has ended")
        return int.from_bytes(answer[4:], "little")


def fork_by_nursery(nursery: Callable[[], Nursery], can_fork: Callable[[list[str], Mapping[str, str]], bool]) -> None:
    """Have Twisted fork what can be forked, by its words and environment, of all that this process starts from now."""

    def fork(words: list[str], directory: str, environment: dict[str, str], files: Mapping[int, int]) -> int | None:
        if can_fork(words, environment) and nursery().suits(environment):
            return nursery().fork(words, directory, environment, files, session=False)
        return None

    fork_by_twisted(fork)


@frozen
class Request:
    """What a fork is to be."""

    number: int
    words: list[str]
    identity: Identity
    #: It leads a session, from the start.
    session: bool

    @classmethod
    def received(cls, end: socket.socket) -> Request | None:
        """Return the next one; None if there is no parent any more."""
        data, files, _, _ = socket.recv_fds(end, MOST, 16)
        if not data:
            return None
        number, words, directory, umask, ignores, environment, numbers, session = marshal.loads(data)
        return cls(number, words, Identity(directory, umask, ignores, environment, numbers, files), session)


def serve(end: socket.socket) -> Request | None:
    """Return what this process is to be, which is a fork; in the nursery itself, return None at the end."""
    while True:
        request = Request.received(end)
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
            end.send(request.number.to_bytes(4, "little") + os.read(number[0], 4))
        for file in (number[0], goes_on[1]):
            os.close(file)


def nursery_of_this(be: Callable[[Request], None]) -> Nursery | None:
    """Return a nursery that is a fork of this process, for what it starts; it ends before this process.

    None is for its forks, in which ``be`` has done what there was to do.
    """
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    nursery = os.fork()
    if nursery == 0:
        here.close()
        _leave_alone()
        before = show(["nursery"])
        # Closed before its number may be that of another file.
        with there:
            request = serve(there)
        if request is not None:
            show([os.fsdecode(before)])
            be(request)
        return None
    there.close()
    atexit.register(_end, nursery)
    return Nursery(here, dict(os.environ))


def _end(nursery: int) -> None:
    # Nothing of a farm may be left when it has ended.
    os.kill(nursery, signal.SIGKILL)
    os.waitpid(nursery, 0)


def _leave_alone() -> None:
    """Have no part in what is done to the parent by its terminal, or waits for the end of its output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)


def show(words: Sequence[str]) -> bytes:
    """Show these arguments to the system (/proc/PID/cmdline) in place of this process's; return what was there."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    # arg_start and arg_end; the state is the third field of the file.
    begin, end = (int(fields[number - 3]) for number in (48, 49))
    before = ctypes.string_at(begin, end - begin)
    text = b"\0".join(map(os.fsencode, words))[: end - begin - 1]
    ctypes.memmove(begin, text.ljust(end - begin, b"\0"), end - begin)
    return before
