"""The command line in a real terminal (tmux), commands that it runs, and completion in three shells."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from attrs import frozen
from test_cli import SQUARE, Shell
from waiting import wait_until

from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration

#: Seconds in which a terminal must show something; far above what it needs.
LIMIT = 60.0
#: As a shell takes them.
ICEFARM = shlex.quote(str(Path(sys.executable).with_name("icefarm")))
CIRCUIT = shlex.quote(str(SQUARE))
BOARDS = 6


@pytest.fixture(scope="module")
def shell(short_directory: Path) -> Iterator[Shell]:
    arguments = ("--listen", "127.0.0.1:0", "--speed", "20", "--boards", str(BOARDS), "--name", "bench-1")
    with FarmProcess(short_directory / "term", arguments) as farm:
        farm.wait_until_ready()
        yield Shell(farm)


@frozen
class Terminal:
    """A terminal of tmux, with one command in it."""

    socket: Path

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self.socket), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT).stdout

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def wait(self, shows: Callable[[str], bool]) -> list[str]:
        """Return the lines of the screen when they are what is waited for."""
        shown = ""

        def is_shown() -> bool:
            nonlocal shown
            shown = self.screen()
            return shows(shown)

        wait_until(is_shown, lambda: f"the terminal shows:\n{shown}", LIMIT)
        return shown.splitlines()


@pytest.fixture
def terminal(shell: Shell, short_directory: Path) -> Iterator[Callable[..., Terminal]]:
    """Opens terminals of some size, with a command of the shell in them."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    opened: list[Terminal] = []
    # The terminal's size counts, not that of the one where the tests run.
    environment = {name: value for name, value in shell.environment.items() if name not in ("COLUMNS", "LINES")}

    def open_one(command: str, width: int, height: int = 24) -> Terminal:
        terminal = Terminal(short_directory / f"tmux-{uuid4().hex[:8]}")
        size = ("-x", str(width), "-y", str(height))
        subprocess.run(
            ["tmux", "-S", str(terminal.socket), "-f", os.devnull, "new-session", "-d", *size, "sh"],
            check=True,
            timeout=LIMIT,
            env={**environment, "PS1": "$ ", "TERM": "xterm-256color", "PYTHON": sys.executable},
        )
        opened.append(terminal)
        terminal.keys(f"{command}; echo ended=$?", "Enter")
        return terminal

    yield open_one
    for each in opened:
        subprocess.run(["tmux", "-S", str(each.socket), "kill-server"], check=False, timeout=LIMIT)


def has_ended(text: str) -> bool:
    return any(line.startswith("ended=") for line in text.splitlines())


# ------------------------------------------------------------------------------------------------------ tables


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_board_takes_one_line_and_its_serial_stays_whole(
    width: int, shell: Shell, terminal: Callable[..., Terminal]
) -> None:
    serials = shell.run("devices", "--columns", "serial").stdout.split()[1:]
    lines = terminal(f"clear; {ICEFARM} devices", width).wait(has_ended)
    head = next(index for index, line in enumerate(lines) if line.startswith("SERIAL"))
    assert [line.split()[0] for line in lines[head + 1 : head + 1 + BOARDS]] == serials
    note = lines[head + 1 + BOARDS]
    assert note.startswith("not shown: ") if width < 100 else note.startswith(("not shown: ", "ended=0"))


def test_the_picture_of_watch_scrolls_by_keys_and_leaves_the_terminal_as_it_was(
    shell: Shell, terminal: Callable[..., Terminal]
) -> None:
    serials = shell.run("devices", "--columns", "serial").stdout.split()[1:]
    opened = terminal(f"clear; stty -a > {shell.farm.data_dir}/before; {ICEFARM} watch", 80, 10)
    lines = opened.wait(lambda text: "boards 1 to 4 of 6" in text)
    assert "6 boards" in lines[0]
    assert lines[1].startswith("SERIAL")
    opened.keys("End")
    lines = opened.wait(lambda text: "boards 3 to 6 of 6" in text)
    assert [line.split()[0] for line in lines[2:6]] == serials[2:]
    opened.keys("q")
    opened.wait(lambda text: "ended=0" in text)
    opened.keys(f"clear; stty -a > {shell.farm.data_dir}/after; echo compared=$?", "Enter")
    opened.wait(lambda text: "compared=0" in text and "echo" not in text)
    before, after = ((shell.farm.data_dir / name).read_text() for name in ("before", "after"))
    assert before == after


def test_waiting_for_boards_takes_one_line_of_the_terminal(terminal: Callable[..., Terminal]) -> None:
    wanted = f"{ICEFARM} evaluate {CIRCUIT} --devices {BOARDS} --wait --timeout 3"
    opened = terminal(f"clear; {ICEFARM} reserve {BOARDS} -- {wanted} --name other", 120)
    lines = opened.wait(lambda text: "waiting, place 1" in text)
    assert sum("waiting, place" in line for line in lines) == 1
    lines = opened.wait(has_ended)
    assert not any("waiting, place" in line for line in lines)


# ------------------------------------------------------------------------------------------------- holding


def test_a_command_has_boards_while_it_runs_and_its_exit_code_is_passed_on(shell: Shell) -> None:
    evaluated = f"{ICEFARM} evaluate {CIRCUIT} --each -o csv"
    script = f"echo $ICEFARM_SERIALS; {ICEFARM} reservations -o json; {evaluated}; exit 7"
    done = shell.run("reserve", "--window", "0.1", "2", "--", "sh", "-c", script)
    assert done.returncode == 7, done.stderr
    serials, rest = done.stdout.split("\n", 1)
    held, end = json.JSONDecoder().raw_decode(rest)
    assert [record["serial"] for record in held] == serials.split()
    assert {row["serial"] for row in csv.DictReader(rest[end:].lstrip().splitlines())} == set(serials.split())
    assert json.loads(shell.run("reservations", "-o", "json").stdout) == []


def test_a_script_uses_the_boards_that_are_held_for_it(shell: Shell, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from icefarm.client import Farm\n"
        "farm = Farm()\n"
        "boards = farm.adopt()\n"
        f"print(*(result.value for result in boards.evaluate_each([{SQUARE!r}])))\n"
        "farm.close(end=False)\n"
    )
    done = shell.run("reserve", "--window", "0.1", "2", "--", sys.executable, str(script))
    assert (done.returncode, done.stdout) == (0, "200 200\n"), done.stderr


def test_a_signal_reaches_the_command_and_the_boards_are_returned(shell: Shell) -> None:
    with shell.started(
        "reserve", "--", sys.executable, "-c", "print('up', flush=True); import time; time.sleep(60)"
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT) == 128 + signal.SIGTERM
    assert json.loads(shell.run("reservations", "-o", "json").stdout) == []


@pytest.mark.parametrize(("command", "code"), [("/nonexistent", 127), ("/", 126)])
def test_a_command_that_cannot_be_run_is_answered_as_by_env(command: str, code: int, shell: Shell) -> None:
    done = shell.run("reserve", "--", command)
    assert done.returncode == code
    assert json.loads(shell.run("reservations", "-o", "json").stdout) == []


# -------------------------------------------------------------------------------------------------- overview


def test_a_board_is_shown_by_the_beginning_of_its_serial(shell: Shell) -> None:
    serial = shell.run("devices", "--columns", "serial").stdout.split()[1]
    done = shell.run("board", serial[:6].lower())
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split() == ["serial:", serial]
    assert "last events:" in done.stdout


def test_logs_of_something_unknown_are_refused(shell: Shell) -> None:
    assert shell.run("logs", "bench-1").returncode == 0
    done = shell.run("logs", "bensh-1")
    assert done.returncode == 2
    assert "did you mean bench-1" in done.stderr


# ------------------------------------------------------------------------------------------------ completion

#: What each shell prints for a command line that is completed at its end.
_COMPLETES = {
    "bash": """
eval "$(icefarm completion bash)"
COMP_WORDS=({line} {incomplete}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
[ -n "{incomplete}" ] || {{ COMP_WORDS+=(""); COMP_CWORD=$((COMP_CWORD + 1)); }}
_icefarm_completion icefarm; printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "zsh": """
compdef() {{ :; }}
_describe() {{ eval "printf '%s\\n' \\"\\${{$3[@]}}\\""; }}
compadd() {{ eval "printf '%s\\n' \\"\\${{$4[@]}}\\""; }}
eval "$(icefarm completion zsh)"
words=({line} "{incomplete}"); CURRENT=${{#words}}
_icefarm_completion
""",
    "fish": """
icefarm completion fish | source
complete -C "{line} {incomplete}"
""",
}


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "incomplete", "expected"),
    [
        ("icefarm", "devi", "devices"),
        ("icefarm drain", "be", "bench-1"),
        ("icefarm evaluate x.bin --kind", "multi", "multipulsecount"),
        ("icefarm board", "", "SERIAL"),
    ],
)
def test_names_are_completed(name: str, line: str, incomplete: str, expected: str, shell: Shell) -> None:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    serials = shell.run("devices", "--columns", "serial").stdout.split()[1:]
    done = subprocess.run(
        [program, "-c", _COMPLETES[name].format(line=line, incomplete=incomplete)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        env={**shell.environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    found = {found.split("\t")[0].split(":")[0] for found in done.stdout.splitlines()}
    assert found >= (set(serials) if expected == "SERIAL" else {expected}), done.stderr
