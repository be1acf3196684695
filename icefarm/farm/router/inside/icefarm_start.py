"""Starts Crossbar.io's program in half the time: its second process is a fork of the first one.

A node is two processes, a controller and a router.  Each of them imports the same in a second and more, one after the
other, since the controller starts the router late::

    import what both need --> fork --> controller: goes on as Crossbar.io's program --> starts the router
                                |                                                          |
                                +----> waits -------- command, directory, environment, ----+
                                                      descriptors --> is the router

What always holds:

- The fork is the controller's own child, so the controller waits for it as for any process that it starts.
- It ends with the controller: nobody else has the other end of its socket.
- Both processes have a reactor of their own: what is imported before the fork imports none.
- A start that it cannot serve, the second one or one with another interpreter's environment, is a process as usual.

It runs in the router's environment, without icefarm: ``python icefarm_start.py CROSSBAR ARGUMENT...``.
"""

from __future__ import annotations

import gc
import importlib
import marshal
import os
import runpy
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import ModuleType

# It is beside this file, for whoever runs that.
from icefarm_fork import (  # type: ignore[import-not-found]
    fork_by_twisted,
    of_interpreter,
    open_streams,
    take_environment,
    take_files,
)

__all__ = ["SECOND", "Fork", "main"]

#: How the controller starts the router, after the interpreter.
SECOND = ["-u", "-m", "crossbar.worker.main"]
#: What both import, most of it only once they have begun: modules that import the reactor stop there.
IMPORTED = (
    "crossbar.node.main",
    "crossbar.personality",
    "crossbar.worker.router",
    "autobahn.twisted.component",
    "cfxdb",
    "treq",
    "txtorcon",
    "zlmdb",
    "twisted.web.proxy",
    "twisted.web.static",
    "twisted.web.wsgi",
    "werkzeug.routing",
)
_REACTOR = "twisted.internet.reactor"
#: Another personality of Crossbar.io, with clients of HTTP, Docker and blockchains: a realm's manager of links imports
#: it for the name of a type alone, which it gives to an annotation.
_EDGE, _OF_EDGE = "crossbar.edge.worker.router", "ExtRouterRealm"
#: Variables of the interpreter that the fork takes over, or has as `SECOND` says.
_TAKEN_OVER = ("PYTHONPATH", "PYTHONUNBUFFERED")
#: Bytes of a request; the environment and the router's options are most of it.
_MOST = 200_000


def main() -> None:
    """Be Crossbar.io's program, which is the first argument."""
    del sys.argv[0]
    if sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
        # It is not that program's.
        del sys.path[0]
    import_most()
    fork = Fork.made()
    if fork is not None:
        fork.replace_first_start()
        runpy.run_path(sys.argv[0], run_name="__main__")


def import_most() -> None:
    """Import what takes no reactor."""
    edge = sys.modules[_EDGE] = ModuleType(_EDGE)
    setattr(edge, _OF_EDGE, object)
    sys.modules[_REACTOR] = None  # type: ignore[assignment]
    for module in IMPORTED:
        # What does not go now is imported once it is needed, or its error told.
        with suppress(Exception):
            importlib.import_module(module)
    del sys.modules[_REACTOR]
    # Its plugins are looked for again, in the directories that the node's configuration names.
    sys.modules.pop("twisted.plugins", None)
    gc.collect()
    gc.freeze()


class Fork:
    """The process that will be the router, as the controller has it."""

    def __init__(self, pid: int, end: socket.socket) -> None:
        self.pid = pid
        self._end: socket.socket | None = end
        self._environment = _of_interpreter(os.environ)

    @classmethod
    def made(cls) -> Fork | None:
        """Fork this process; None is for the fork, once it has ended as the router."""
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            here.close()
            _serve(there)
            return None
        there.close()
        return cls(pid, here)

    def replace_first_start(self) -> None:
        """Have Twisted take it where the router is to be started."""
        fork_by_twisted(self.taken)

    def taken(
        self, words: Sequence[str], directory: str, environment: Mapping[str, str], files: Mapping[int, int]
    ) -> int | None:
        """Return its process id if it has become what is to be started."""
        if self.takes(words, environment) and self.hand_over(words, directory, environment, files):
            return self.pid
        return None

    def takes(self, words: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Tell whether a command is that of the router, and what it is to run in is like this process."""
        is_router = words[0] == sys.executable and list(words[1 : 1 + len(SECOND)]) == SECOND
        return self._end is not None and is_router and _of_interpreter(environment) == self._environment

    def hand_over(
        self, words: Sequence[str], directory: str, environment: Mapping[str, str], files: Mapping[int, int]
    ) -> bool:
        """Make it the router; ``files`` are its descriptors, and which of this process they are.  Tells whether it is.

        It has one chance: if it has ended already, or this is too long for a message, the router is started as usual.
        """
        end, self._end = self._end, None
        assert end is not None
        given = marshal.dumps((list(words), directory, dict(environment), list(files)))
        with end:
            if len(given) <= _MOST:
                with suppress(OSError):
                    socket.send_fds(end, [given], list(files.values()))
                    return True
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return False


def _of_interpreter(environment: Mapping[str, str]) -> dict[str, str]:
    return of_interpreter(environment, _TAKEN_OVER)


def _serve(end: socket.socket) -> None:
    """In the fork: wait for what it is to be, and be that to the end; return if it is to be nothing."""
    with end:
        data, files, _, _ = socket.recv_fds(end, _MOST, 16)
    if not data:
        return
    words, directory, environment, numbers = marshal.loads(data)
    take_files(numbers, files)
    open_streams(unbuffered=True)
    os.chdir(directory)
    take_environment(environment)
    added = [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each]
    sys.path[:] = [os.getcwd(), *dict.fromkeys([*added, *sys.path])]
    sys.argv[:] = words[len(SECOND) :]
    # Others import it too.  runpy would warn of that, and the controller, which tells by the router's first line how
    # its log is written, would copy it as JSON.
    sys.modules.pop(SECOND[-1], None)
    runpy.run_module(SECOND[-1], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
