"""Real child processes: when they are ready, what is kept of what they say, and that none stays behind."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from icefarm.farm.errors import CannotStart
from icefarm.farm.processes.process import ChildProcess, Program, without_reprs
from icefarm.farm.processes.supervisor import Ended

pytestmark = pytest.mark.integration

MakeChild = Callable[..., ChildProcess]


@pytest.fixture
def child(tmp_path: Path) -> MakeChild:
    def make(code: str, ready: str | None = "ready", complain: Callable[[str], None] = print) -> ChildProcess:
        program = Program(
            name="part",
            command=(sys.executable, "-c", code),
            directory=tmp_path,
            log=tmp_path / "part.log",
            environment=dict(os.environ),
            ready=None if ready is None else re.compile(ready),
            complaint=re.compile(r"^Oh no: (?P<text>.*)"),
            omit=re.compile("secret"),
        )
        return ChildProcess(reactor, program, complain)

    return make


def ended(pid: int) -> bool:
    """Tell whether a process is gone (a zombie that nobody has collected yet is)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def wait_for_end(pid: int) -> None:
    """Wait until a process that is nobody's child here is gone; the kernel tells through a pidfd."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    gone: Deferred[None] = Deferred()

    class Watch:
        def fileno(self) -> int:
            return descriptor

        def doRead(self) -> None:
            reactor.removeReader(self)  # type: ignore[call-arg]
            gone.callback(None)

        def connectionLost(self, _: object) -> None: ...

        def logPrefix(self) -> str:
            return "watch"

    reactor.addReader(Watch())  # type: ignore[call-arg]
    try:
        await gone.addTimeout(20, reactor)
    finally:
        os.close(descriptor)


SLEEP = "import signal; print('ready'); signal.pause()"


@ensureDeferred
async def test_a_program_is_ready_when_it_says_so(child: MakeChild, tmp_path: Path) -> None:
    part = child("print('one'); print('it is ready now'); __import__('signal').pause()")
    await part.start()
    assert (tmp_path / "part.log").read_text() == "one\nit is ready now\n"
    await part.stop()


@ensureDeferred
async def test_lines_that_are_not_for_the_log_are_left_out(child: MakeChild, tmp_path: Path) -> None:
    part = child("print('one'); print('a secret' + 70000 * '.'); print('ready'); __import__('signal').pause()")
    await part.start()
    assert (tmp_path / "part.log").read_text() == "one\nready\n"
    await part.stop()


class FullDisk:
    """A file on it."""

    def write(self, _: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@ensureDeferred
async def test_a_log_on_a_full_disk_goes_on_when_there_is_space_again(child: MakeChild, tmp_path: Path) -> None:
    heard: list[str] = []
    told: Deferred[Ended] = Deferred()
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGUSR1, lambda *_: print('Oh no: two', flush=True))\n"
        "signal.signal(signal.SIGUSR2, lambda *_: os._exit(print('four', end='', flush=True) or 3))\n"
        "print('ready', flush=True)\n"
        "while True: signal.pause()"
    )
    log = tmp_path / "part.log"
    complained: Deferred[None] = Deferred()

    def complain(words: str) -> None:
        heard.append(words)
        complained.callback(None)

    part = child(code, complain=complain)
    part.on_exit(told.callback)
    await part.start()
    follower: Any = part._protocol
    disk, follower._log.file._file = follower._log.file._file, FullDisk()
    os.kill(follower.pid, signal.SIGUSR1)
    await complained.addTimeout(20, reactor)
    follower._log.file._file = disk
    os.kill(follower.pid, signal.SIGUSR2)
    assert await told.addTimeout(20, reactor) == Ended("exited with code 3: two; its log is " + str(log))
    assert heard == ["part: two"]
    assert log.read_text() == "ready\n\n(1 line before this could not be written)\nfour\n"


@ensureDeferred
async def test_a_program_that_ends_before_it_is_ready_is_quoted(child: MakeChild) -> None:
    with pytest.raises(CannotStart, match=r"^part: the disk is full \(its log: .*part\.log\)$"):
        await child("import sys; print('Oh no: the disk is full'); print('bye'); sys.exit(3)").start()


@ensureDeferred
async def test_a_program_without_words_is_reported_by_its_code(child: MakeChild) -> None:
    with pytest.raises(CannotStart, match="part exited with code 3"):
        await child("import sys; sys.exit(3)").start()


@ensureDeferred
async def test_a_missing_program_is_named(child: MakeChild, tmp_path: Path) -> None:
    part = child("")
    part.program = evolve(part.program, command=(str(tmp_path / "missing"),))
    with pytest.raises(CannotStart, match=r"cannot run .*missing: No such file or directory"):
        await part.start()


@ensureDeferred
async def test_a_program_that_is_never_ready_is_stopped(child: MakeChild) -> None:
    part = child("import os, signal; print(os.getpid(), flush=True); signal.pause()")
    part.start_limit = 0.5
    with pytest.raises(CannotStart, match="was not ready within"):
        await part.start()
    pid = int(part.program.log.read_text() or 0)
    assert pid == 0 or ended(pid)


@ensureDeferred
async def test_an_unexpected_end_is_told(child: MakeChild) -> None:
    part = child("import os, signal; print('ready', os.getpid()); signal.pause()")
    told: Deferred[Ended] = Deferred()
    part.on_exit(told.callback)
    await part.start()
    os.kill(int(part.program.log.read_text().split()[1]), signal.SIGKILL)
    assert await told.addTimeout(20, reactor) == Ended("was killed by signal 9 (SIGKILL)")


@ensureDeferred
async def test_a_program_that_complained_and_was_killed_later_is_said_to_be_killed(child: MakeChild) -> None:
    heard: Deferred[str] = Deferred()
    code = "import signal; print('ready', flush=True); print('Oh no: smoke', flush=True); signal.pause()"
    part = child(code, complain=heard.callback)
    told: Deferred[Ended] = Deferred()
    part.on_exit(told.callback)
    await part.start()
    await heard.addTimeout(20, reactor)
    assert part.pid is not None
    os.kill(part.pid, signal.SIGSEGV)
    assert await told.addTimeout(20, reactor) == Ended("was killed by signal 11 (SIGSEGV)")


@ensureDeferred
async def test_a_program_that_complained_and_failed_is_said_to_have_failed_for_that(child: MakeChild) -> None:
    part = child("print('ready', flush=True); print('Oh no: smoke', flush=True); raise SystemExit(3)")
    told: Deferred[Ended] = Deferred()
    part.on_exit(told.callback)
    await part.start()
    ended = await told.addTimeout(20, reactor)
    assert ended == Ended(f"exited with code 3: smoke; its log is {part.program.log}")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("<crossbar.router.session.RouterSession object at 0x7f8a3c2d1e90>", ""),
        ("session <a.b.Session object at 0x7f01> is not attached", "session is not attached"),
        ("(<function f at 0x7fff>)", ""),
        ("port 80 is <free>", "port 80 is <free>"),
    ],
)
def test_complaints_are_told_without_the_objects_that_libraries_print(line: str, words: str) -> None:
    assert without_reprs(line) == words


@ensureDeferred
async def test_a_program_that_may_leave_has_left_when_it_ends_with_code_0(child: MakeChild) -> None:
    for leaves, code, ended in [
        ("it was drained", 0, Ended("it was drained", left=True)),
        ("it was drained", 1, Ended("exited with code 1")),
        (None, 0, Ended("exited with code 0")),
    ]:
        part = child(f"print('ready', flush=True); raise SystemExit({code})")
        part.program = evolve(part.program, leaves=leaves)
        told: Deferred[Ended] = Deferred()
        part.on_exit(told.callback)
        await part.start()
        assert await told.addTimeout(20, reactor) == ended


@ensureDeferred
async def test_a_complaint_of_a_running_program_is_passed_on(child: MakeChild) -> None:
    heard: Deferred[str] = Deferred()
    part = child("import signal; print('ready'); print('Oh no: smoke'); signal.pause()", complain=heard.callback)
    await part.start()
    assert await heard.addTimeout(20, reactor) == "part: smoke"
    await part.stop()


@ensureDeferred
async def test_what_does_not_stop_is_killed(child: MakeChild) -> None:
    code = "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', os.getpid())"
    part = child(f"{code}\nwhile True: signal.pause()")
    part.stop_limit = 0.3
    await part.start()
    pid = int(part.program.log.read_text().split()[1])
    await part.stop()
    assert ended(pid)


@ensureDeferred
async def test_what_a_program_has_started_ends_with_it(child: MakeChild) -> None:
    code = (
        "import subprocess, sys; "
        "other = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']); "
        "print('ready', other.pid); __import__('signal').pause()"
    )
    part = child(code)
    await part.start()
    other = int(part.program.log.read_text().split()[1])
    await part.stop()
    await wait_for_end(other)
    assert ended(other)


@ensureDeferred
async def test_a_child_ends_when_its_parent_is_killed() -> None:
    code = (
        "import subprocess, signal; from icefarm.farm.processes.child import child_command; "
        "print(subprocess.Popen(child_command(['sleep', '1000'])).pid, flush=True); signal.pause()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
    try:
        assert parent.stdout is not None
        child_pid = int(parent.stdout.readline())
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    await wait_for_end(child_pid)
    assert ended(child_pid)
