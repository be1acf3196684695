"""Forked commands (tests/forked) are to those who call them what a new process is."""

from __future__ import annotations

import marshal
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import forked
import pytest
from attrs import frozen
from forked.router import installed
from forked.services import can_fork

from icefarm.farm.router.node import STAND_INS
from icefarm.testing.processes.farm_process import Witness

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not forked.forks(), reason="nothing is forked under coverage"),
]

LIMIT = 60
#: Says its process id, and waits.
WAITS = "import os, time; print(os.getpid(), flush=True); time.sleep(1000)"
#: A farm, and one that says how it is used.
UP = [sys.executable, "-P", "-m", "icefarm", "up"]
HELP = [*UP, "--help"]


@frozen
class Ended:
    code: int
    said: str
    complained: str


def ended(command: Sequence[str], *, given: str = "", **how: object) -> Ended:
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=LIMIT, check=False, **how)  # type: ignore[call-overload]
    return Ended(done.returncode, done.stdout, done.stderr)


def both(*arguments: str, **how: object) -> tuple[Ended, Ended]:
    """Run Python twice: forked, and as a new process."""
    return ended(forked.python(*arguments), **how), ended([sys.executable, *arguments], **how)


def said_by(text: str, *arguments: str, **how: object) -> str:
    """Run a text in a fork and in a new process; return what both say."""
    fork, process = both("-c", text, *arguments, **how)
    assert fork == process
    return fork.said


def test_a_fork_is_what_the_test_believes_it_to_be() -> None:
    text = "import sys; print('icefarm.client' in sys.modules, 'twisted.internet.reactor' in sys.modules)"
    fork, process = both("-c", text)
    assert (fork.said, process.said) == ("True False\n", "False False\n")


def test_a_fork_has_the_arguments_the_directory_the_umask_and_the_environment_of_its_caller(tmp_path: Path) -> None:
    text = "import os, sys; print(sys.argv, sys.path[0], os.getcwd(), os.umask(0), os.environ['OWN'], len(os.environ))"
    said = said_by(text, "a", "-b", cwd=tmp_path, env={**os.environ, "OWN": "x"}, umask=0o27)
    assert said.startswith(f"['-c', 'a', '-b']  {tmp_path} 23 x ")


def test_a_script_finds_what_is_beside_it_and_itself(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("here = True")
    (tmp_path / "script.py").write_text("import beside, sys; print(beside.here, __file__, __name__, sys.argv)")
    fork, process = both("script.py", "x", cwd=tmp_path)
    assert fork == process == Ended(0, f"True {tmp_path}/script.py __main__ ['script.py', 'x']\n", "")


def test_the_streams_of_a_fork_are_those_of_a_process() -> None:
    names = "mode encoding errors newlines line_buffering"
    text = f"import sys; print(*(getattr(s, n) for s in (sys.stdin, sys.stdout, sys.stderr) for n in {names.split()}))"
    assert "utf-8" in said_by(text)


def test_a_fork_reads_its_input_and_other_files_that_are_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of a file")
    with open(tmp_path / "file") as file:
        text = f"import os, sys; print(sys.stdin.read(), os.read({file.fileno()}, 100))"
        fork = ended(forked.python("-c", text), given="given", pass_fds=[file.fileno()])
    assert fork == Ended(0, "given b'of a file'\n", "")


def test_a_fork_has_no_other_files_open_than_a_new_process(tmp_path: Path) -> None:
    # Who reads what it says waits for the last one that could write it.
    text = "import os; print(sorted(os.listdir('/proc/self/fd')))"
    with open(tmp_path / "file", "w") as file:
        assert f"'{file.fileno()}'" in said_by(text, pass_fds=[file.fileno()])


@pytest.mark.parametrize(
    "text",
    ["import sys; sys.exit(7)", "import os; os._exit(3)", "import os; os.kill(os.getpid(), 15)", "1 / 0",
     "raise KeyboardInterrupt", "import atexit; atexit.register(print, 'last'); raise SystemExit('so')",
     # A variable, a thread, and a reader that are there to the end, or not.
     "class Says:\n def __del__(self): print('gone')\n_says = Says()",
     "import threading as t; t.Thread(target=lambda: (t.main_thread().join(), print('after it'))).start()",
     "import os; ends = os.pipe(); os.close(ends[0]); os.dup2(ends[1], 1); print('to nobody')"],
)  # fmt: skip
def test_a_fork_ends_like_a_process(text: str) -> None:
    fork, process = both("-c", text)
    assert (fork.code, fork.said) == (process.code, process.said)
    assert fork.complained.splitlines()[-1:] == process.complained.splitlines()[-1:]


@pytest.mark.parametrize("arguments", [["-V"], ["-u", "-c", "print(1)"], ["-m", "this"], ["missing.py"], []])
def test_what_a_fork_cannot_do_a_new_process_does(arguments: list[str]) -> None:
    fork, process = both(*arguments)
    assert fork == process


def test_what_an_interpreter_takes_from_its_environment_needs_a_new_one() -> None:
    text = "import sys; print(sys.stdout.encoding, 'icefarm.client' in sys.modules)"
    assert said_by(text, env={**os.environ, "PYTHONIOENCODING": "latin-1"}) == "iso8859-1 False\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_who_sends_a_signal_to_the_command_ends_the_fork(number: signal.Signals) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("whoever started the tests has all of them ignore it, as nohup does")
    with subprocess.Popen(forked.python("-c", WAITS), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as command:
        assert command.stdout is not None
        fork = int(command.stdout.readline())
        assert fork != command.pid
        witness = Witness([fork])
        command.send_signal(number)
        assert command.wait(LIMIT) == -number
    assert witness.left() == []


def test_a_fork_that_is_killed_ends_its_command() -> None:
    with subprocess.Popen(forked.python("-c", WAITS), stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        os.kill(int(command.stdout.readline()), signal.SIGKILL)
        assert command.wait(LIMIT) == -signal.SIGKILL


def test_a_reader_that_has_gone_is_noticed_by_a_fork() -> None:
    with subprocess.Popen(forked.icefarm("help"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout is not None
        command.stdout.close()
        assert command.wait(LIMIT) == 141


def test_forks_end_with_the_process_of_tests_that_started_them() -> None:
    text = (
        f"import sys, subprocess; sys.path.insert(0, {str(Path(forked.__file__).parents[1])!r}); import forked\n"
        f"subprocess.run(forked.python('-c', {WAITS!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tests:
        assert tests.stdout is not None
        fork = int(tests.stdout.readline())
        server = int(Path(f"/proc/{fork}/stat").read_text().rpartition(")")[2].split()[1])
        directory = Path(f"/proc/{server}/cwd").readlink()
        witness = Witness([fork, server])
        tests.kill()
        tests.wait(LIMIT)
    assert witness.left() == []
    assert not directory.exists()


def test_callers_that_are_killed_before_they_have_said_what_they_want_disturb_no_other() -> None:
    for part in (b"", b"\x10\0\0\0", b"\x10\0\0\0half"):
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(forked.programs() / "socket"))
            caller.sendall(part)
    assert ended(forked.python("-c", "print('served')")) == Ended(0, "served\n", "")


def test_a_caller_that_is_killed_while_the_server_forks_disturbs_no_other() -> None:
    request = marshal.dumps(("python", ["python", "-c", WAITS], "/", 0o77, False, dict(os.environ), []))
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(forked.programs() / "socket"))
        caller.sendall(len(request).to_bytes(4, "little") + request)
    assert ended(forked.python("-c", "print('served')")) == Ended(0, "served\n", "")


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["devices", "--nonsense"], ["no-verb"]])
def test_a_verb_says_the_same(arguments: list[str]) -> None:
    assert ended(forked.icefarm(*arguments)) == ended([sys.executable, "-m", "icefarm", *arguments])


@pytest.mark.parametrize(
    "command",
    [
        HELP,
        [*UP, "--boards", "many"],
        [str(Path(sys.executable).with_name("twistd")), "--nodaemon", "--pidfile=", "icefarm-control", "--help"],
        [str(Path(sys.executable).with_name("twistd")), "--nodaemon", "--pidfile=", "icefarm-worker", "--nonsense"],
    ],
)
def test_farms_and_services_are_forked_as_children_and_say_what_a_new_process_says(command: Sequence[str]) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with forked.Popen(command, text=True, **pipes) as fork:
        # It stays until it is waited for.
        of_fork = Path(f"/proc/{fork.pid}/stat").read_text().rpartition(")")[2].split()
        said, complained = fork.communicate(timeout=LIMIT)
    assert int(of_fork[1]) == os.getpid()
    assert Ended(fork.returncode, said, complained) == ended(command)


@pytest.mark.parametrize("arguments", [["--help"], ["--nonsense"]])
def test_a_router_is_forked_with_the_packages_of_its_own_environment(arguments: Sequence[str]) -> None:
    router = installed()
    if router is None:
        pytest.skip("the router has another version of Python")
    command = [*router.command, "start", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(STAND_INS)}
    assert can_fork(command, environment)
    # One that would import the libraries of blockchains is started.
    assert not can_fork(command, dict(os.environ))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with forked.Popen(command, text=True, env=environment, **pipes) as fork:
        said, complained = fork.communicate(timeout=LIMIT)
    assert Ended(fork.returncode, said, complained) == ended(command, env=environment)


def test_a_world_is_apart_until_it_is_entered(tmp_path: Path) -> None:
    (tmp_path / "attrs.py").write_text("there = True")
    (tmp_path / "only_there.py").write_text("import attrs; assert attrs.there")
    text = f"""
import attrs, sys
sys.path.insert(0, {str(Path(forked.__file__).parents[1])!r})
from forked.worlds import World
own, path = attrs, sys.path[:]
world = World.imported("/bin/python", [{str(tmp_path)!r}, *path], lambda: __import__("only_there"))
import attrs
print(attrs is own, sys.path == path, "only_there" in sys.modules)
world.enter("first")
import attrs
print(attrs is own, sys.path[0], "only_there" in sys.modules, sys.executable)
"""
    said = ended([sys.executable, "-c", text])
    assert said == Ended(0, "True True False\nFalse first True /bin/python\n", "")


@frozen
class Interrupted:
    """A socket whose reader meets its limit."""

    _socket: socket.socket

    def sendmsg(self, *message: Any) -> int:
        return self._socket.sendmsg(*message)

    def recv(self, _: int) -> bytes:
        raise TimeoutError


def test_a_fork_that_was_interrupted_is_not_taken_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    nursery = forked._nursery()
    with monkeypatch.context() as patch:
        patch.setattr(nursery, "_socket", Interrupted(nursery._socket))
        with pytest.raises(TimeoutError):
            forked.Popen(HELP, stdout=subprocess.DEVNULL)
    # The first one ends with 0.
    with forked.Popen([*UP, "--boards", "many"], stderr=subprocess.DEVNULL) as fork:
        assert fork.wait(LIMIT) != 0


def test_who_forks_gets_no_orphans_of_others() -> None:
    with forked.Popen(HELP, stdout=subprocess.DEVNULL) as fork:
        fork.wait(LIMIT)
    # A process of the test's whose parent ends.
    text = "import subprocess; print(subprocess.Popen(['sleep', '1000'], stdout=-3, stderr=-3).pid)"
    orphan = int(ended([sys.executable, "-c", text]).said)
    try:
        parent = Path(f"/proc/{orphan}/stat").read_text().rpartition(")")[2].split()[1]
        assert int(parent) != os.getpid()
    finally:
        os.kill(orphan, signal.SIGKILL)
