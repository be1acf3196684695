"""The router's second process is a fork of its first one, and a process as usual where it cannot be."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from icefarm.farm.router.config import CrossbarMissing, find_crossbar
from icefarm.farm.router.node import STAND_INS, START, router_command
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration

#: Seconds for a process to end.
END_LIMIT = 30.0

#: In place of Crossbar.io's program: what its controller does, one process after the other.
CONTROLLER = """\
import os, signal, sys
from twisted.internet import reactor
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol

if "kill" in sys.argv:
    mine, = (int(pid) for pid in open(f"/proc/self/task/{os.getpid()}/children").read().split())
    os.kill(mine, signal.SIGKILL)
    # Wait for its end, and leave it to be waited for.
    os.waitid(os.P_PID, mine, os.WEXITED | os.WNOWAIT)

class Second(ProcessProtocol):
    def __init__(self, left):
        self.left = left
    def childDataReceived(self, number, data):
        print("fd", number, data.decode().strip())
    def processEnded(self, reason):
        print("ended", reason.value.exitCode, reason.check(ProcessDone) is not None)
        start(self.left) if self.left else reactor.stop()

def start(left):
    command = [sys.executable, "-u", "-m", "crossbar.worker.main", "--number", str(left)]
    environment = {**os.environ, "PYTHONPATH": os.environ["PYTHONPATH"] + ":/more", "GIVEN": "yes"}
    if "long" in sys.argv:
        environment.update({str(number): 100_000 * "x" for number in range(2)})
    files = {0: "w", 1: "r", 2: "r", 3: "r"}
    process = reactor.spawnProcess(Second(left - 1), sys.executable, command, environment, childFDs=files)
    process.write(b"hello\\n")

print("controller", os.getpid())
reactor.callWhenRunning(start, 2)
reactor.run()
print("left", open(f"/proc/self/task/{os.getpid()}/children").read())
"""
#: In place of the router.
ROUTER = """\
import os, sys

if __name__ == "__main__":
    loaded = "crossbar.before" in sys.modules
    words = sys.argv[1:], sys.stdin.readline().strip(), os.environ["GIVEN"], "/more" in sys.path, os.getppid(), loaded
    # At once: its output is not buffered.
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
    os.write(3, b"third")
    sys.exit(int(sys.argv[-1]))
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Return a program in place of Crossbar.io's, which finds a package of that name."""
    package = tmp_path / "crossbar"
    for directory in (package / "worker", package / "node"):
        directory.mkdir(parents=True)
        (directory / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "before.py").touch()
    (package / "node" / "main.py").write_text("import crossbar.before, crossbar.worker.main\n")
    (package / "worker" / "main.py").write_text(ROUTER)
    script = tmp_path / "program"
    script.write_text(script_of(sys.executable, CONTROLLER))
    return script


def script_of(python: str, text: str) -> str:
    """Return a script as pip writes one for an interpreter in a directory with a space, which any may have."""
    return f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n{text}"


def run(program: Path, *arguments: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(program.parent)}
    command = [*router_command(str(program)), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def expected(controller: int, loaded: tuple[bool, bool]) -> set[str]:
    said = set()
    for number, one in zip((2, 1), loaded, strict=True):
        said |= {f"fd 1 ['--number', '{number}'] hello yes True {controller} {one}", f"ended {number} False"}
    return said | {"fd 3 third", "left "}


def test_the_second_process_has_what_the_first_one_imported_and_all_that_it_was_given(program: Path) -> None:
    first, *said = run(program)
    # A further one is started as usual.
    assert set(said) == expected(int(first.split()[1]), (True, False))


@pytest.mark.parametrize("how", ["kill", "long"])
def test_a_fork_that_has_ended_or_cannot_be_told_is_replaced_by_a_usual_process(program: Path, how: str) -> None:
    first, *said = run(program, how)
    assert set(said) == expected(int(first.split()[1]), (False, False))


def test_the_fork_ends_with_the_process_that_has_it(program: Path) -> None:
    program.write_text("import os\nprint(open(f'/proc/self/task/{os.getpid()}/children').read(), flush=True)\ninput()")
    environment = {**os.environ, "PYTHONPATH": str(program.parent)}
    command = [sys.executable, str(START), str(program)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        fork = os.pidfd_open(int(process.stdout.readline()))
        try:
            process.kill()
            # It is readable once the process has ended.
            assert select.select([fork], [], [], END_LIMIT)[0] == [fork]
        finally:
            os.close(fork)


def test_its_interpreter_may_be_in_a_directory_with_a_space(program: Path, tmp_path: Path) -> None:
    directory = tmp_path / "with a space" / "bin"
    venv.create(directory.parent, symlinks=True)
    program.write_text(script_of(f"{directory}/python", "import sys\nprint(sys.executable)\n"))
    program.chmod(0o700)
    command = router_command(str(program))
    assert command == (f"{directory}/python", str(START), str(program))
    done = subprocess.run([program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == command[0]


def test_its_interpreter_may_be_named_by_the_first_line(tmp_path: Path) -> None:
    script = tmp_path / "crossbar"
    script.write_text("#!/opt/farm/bin/python3.11\nimport crossbar\n")
    assert router_command(str(script)) == ("/opt/farm/bin/python3.11", str(START), str(script))


@pytest.mark.parametrize(
    "text",
    [
        "#!/bin/sh\n",
        "#!/bin/sh\n'''exec' \"/bin/python\n",
        "#!/bin/sh\n'''exec' \n",
        "#!/usr/bin/env python3\n",
        "#!/usr/bin/python3 -sP\n",
        "#!\n",
        "",
    ],
)
def test_what_is_no_script_of_python_or_gives_it_options_is_run_as_it_is(tmp_path: Path, text: str) -> None:
    script = tmp_path / "crossbar"
    script.write_text(text)
    assert router_command(str(script)) == (str(script),)
    assert router_command(str(tmp_path / "missing")) == (str(tmp_path / "missing"),)


def _crossbar() -> str:
    try:
        return find_crossbar(None)
    except CrossbarMissing:
        pytest.skip("Crossbar.io is not installed")


def test_a_realm_of_crossbar_imports_nothing_of_its_other_personalities() -> None:
    python, _, _ = router_command(_crossbar())
    program = (
        "import sys, icefarm_start; icefarm_start.import_most(); from crossbar.worker.rlink import RLinkManager; "
        "RLinkManager(None, None); print(sorted({'crossbar.edge', 'docker', 'requests'} & sys.modules.keys()))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{START.parent}:{STAND_INS}"}
    done = subprocess.run(
        [python, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_second_process_of_a_farms_router_is_a_fork(tmp_path: Path) -> None:
    with FarmProcess(tmp_path / "farm", ("--boards", "0", "--no-standby", "--listen", "127.0.0.1:0")) as farm:
        farm.wait_until_ready()
        layouts = {_layout(pid) for pid in farm.processes("crossbar")}
        assert len(farm.processes("crossbar")) == 2
        assert len(layouts) == 1
        # The controller has understood what the router logs.
        log = (farm.data_dir / "log" / "router.log").read_text()
        assert "[Router" in log
        assert '"log_time"' not in log


def _layout(pid: int) -> str:
    """Return where a process has the C library: each new program has it elsewhere, a fork where its parent does."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return next(line.split()[0] for line in maps if "libc.so" in line or "libc-" in line or "ld-musl" in line)
