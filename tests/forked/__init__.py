"""Commands of icefarm, and Python scripts of clients, without their imports: a process that has them forks for each.

Use `icefarm`, `python` and `programs` like the installed programs.  Take those, by `sys.executable`, where a test is
about the process itself: how it starts, its options of Python, a terminal that it is to control.

After `farms`, farms of `FarmProcess` and their services, and those that Twisted starts here, are forked as well.
"""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from forked.modules import module_command
from forked.nursery import PADDING, Nursery, fork_by_nursery
from forked.services import SERVER, can_fork

__all__ = ["Popen", "farms", "forks", "icefarm", "programs", "python"]

_HERE = Path(__file__).parent
#: Set where the lines are counted that are run: that begins with an interpreter.
_COVERAGE = "COVERAGE_PROCESS_CONFIG"
#: The head of a program, a command to the shell and a string to Python: the kernel takes no interpreter with a space in
#: its path.  Python starts without the environment and without packages, which is sooner.
_LAUNCH = """\
#!/bin/sh
'''exec' {} -IS "$0" "$@"
' '''
"""
#: Seconds for the server to end.
END_LIMIT = 30


def icefarm(*arguments: str) -> list[str]:
    """Return a command that runs ``icefarm`` with these arguments."""
    return [str(programs() / "icefarm"), *arguments]


def python(*arguments: str) -> list[str]:
    """Return a command that runs a script, or the text behind ``-c``, with what a client imports at hand."""
    return [str(programs() / "python"), *arguments]


def forks() -> bool:
    """Tell whether commands fork.  To ask starts no server."""
    return _COVERAGE not in os.environ


@cache
def programs() -> Path:
    """Return a directory for PATH with ``icefarm`` and ``python``.  It and their server end with this process."""
    if not forks():
        return Path(sys.executable).parent
    directory = Path(tempfile.mkdtemp(prefix="icefarm-forks-"))
    for name in ("icefarm", "python"):
        program = directory / name
        program.write_text(_LAUNCH.format(shlex.quote(sys.executable)) + (_HERE / "call.py").read_text())
        program.chmod(0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "socket"))
        # Those that call before the server accepts wait for it.
        listener.listen(64)
        server = Popen(
            [*SERVER, str(listener.fileno()), str(directory)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[listener.fileno()], start_new_session=True,
            # It uses no files of the tests.
            cwd=directory,
        )  # fmt: skip
    atexit.register(_end, server, directory)
    return directory


@cache
def _nursery() -> Nursery:
    """Return this process's nursery, which ends with it."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with there:
        subprocess.Popen(
            module_command("services", str(there.fileno()), PADDING),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[there.fileno()], start_new_session=True,
        )  # fmt: skip
    return Nursery(here, dict(os.environ))


class Popen(subprocess.Popen[Any]):
    """A process that is forked by the nursery, if that can be what the command says."""

    def _execute_child(self, args: Any, *how: Any) -> None:
        directory, environment = how[4:6]
        pipes = input_read, _, _, output_write, _, error_write = how[9:15]
        given = dict(os.environ if environment is None else environment)
        if not (can_fork(args, given) and _nursery().suits(given)):
            super()._execute_child(args, *how)  # type: ignore[misc]
            return
        ends = enumerate((input_read, output_write, error_write))
        files = {number: number if end == -1 else end for number, end in ends}
        files |= {number: number for number in how[3]}
        session = bool(how[20])
        self.pid = _nursery().fork(args, os.fspath(directory or os.getcwd()), given, files, session)
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def farms() -> None:
    """Fork farms and services from now on, unless nothing is forked."""
    if forks():
        from icefarm.testing.processes.farm_process import FarmProcess

        FarmProcess.popen = Popen
        fork_by_nursery(_nursery, can_fork)


def _end(server: subprocess.Popen[bytes], directory: Path) -> None:
    assert server.stdin is not None
    server.stdin.close()
    server.wait(END_LIMIT)
    # The server removes it, unless it has failed.
    shutil.rmtree(directory, ignore_errors=True)
