"""Output that can't be written: every verb says so in a line, and has the right exit code, without a traceback."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from typing import Any

import click
import pytest
import verb_walker

from icefarm.cli import VERBS, main
from icefarm.cli.ui.exit_codes import Exit

#: The walk takes 10 s of CPU time, and counts for the test that needs it first.
pytestmark = pytest.mark.timeout(300)

Walk = dict[str, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    directory = tmp_path_factory.mktemp("walk")
    command = [sys.executable, verb_walker.__file__, str(directory)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, env=environment)
    assert done.returncode == 0, done.stderr
    found: Walk = json.loads(done.stdout)
    return found


def every_verb() -> list[str]:
    context = click.Context(main)
    names = []
    for name in VERBS:
        command = main.get_command(context, name)
        inner = command.commands if isinstance(command, click.Group) else []
        names += [f"{name} {each}" for each in inner]
        # One that has verbs of its own may do something without them.
        if not isinstance(command, click.Group) or command.invoke_without_command:
            names.append(name)
    return sorted(names)


#: Verbs that run other programs, or that need a farm, an issuer or a database; they have tests of their own.
WALKED_ELSEWHERE = [
    "account limits",
    "console",
    "demo",
    "login",
    "logout",
    "open",
    "replay",
    "reserve",
    "router install",
    "shell",
    "up",
]


def test_every_verb_is_walked() -> None:
    assert sorted([*verb_walker.VERBS, *WALKED_ELSEWHERE]) == every_verb()


@pytest.mark.thorough
def test_every_verb_prints_something_where_it_can(walk: Walk) -> None:
    # A plot is a file; without the pico-sdk nothing is built, and that is said elsewhere.
    assert [verb for verb, runs in walk.items() if not runs[""]["out"]] == ["plot", "firmware build"]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("redirection", "reason"), [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")]
)
def test_data_that_cannot_be_written_is_one_line_and_a_failure(walk: Walk, redirection: str, reason: str) -> None:
    for verb, runs in walk.items():
        if runs[""]["out"]:
            run = runs[redirection]
            assert run["code"] == Exit.FAILED, verb
            last = f"icefarm: cannot write to the standard output: {reason}\n"
            assert run["err"] in (last, runs[""]["err"] + last), verb


@pytest.mark.thorough
def test_a_reader_that_has_gone_ends_every_verb_quietly(walk: Walk) -> None:
    for verb, runs in walk.items():
        if runs[""]["out"]:
            assert runs["|true"]["code"] == Exit.NOBODY_READS, verb
            assert runs["|true"]["err"] in ("", runs[""]["err"]), verb


@pytest.mark.thorough
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_messages_that_cannot_be_written_change_nothing_else(walk: Walk, redirection: str) -> None:
    for verb, runs in walk.items():
        assert runs[redirection]["code"] == runs[""]["code"], verb
        assert bool(runs[redirection]["out"]) == bool(runs[""]["out"]), verb


@pytest.mark.thorough
def test_an_error_keeps_its_exit_code_where_it_cannot_be_said() -> None:
    done = subprocess.run(
        f"{shlex.quote(sys.executable)} -m icefarm evaluate missing.bin 2>&- >&-", shell=True, check=False, timeout=60
    )
    assert done.returncode == Exit.USAGE


@pytest.mark.thorough
def test_a_verb_that_connects_twice_says_nothing_of_its_log() -> None:
    script = "from icefarm.cli.connect import log_quietly; log_quietly(); log_quietly()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_whose_output_is_closed_says_so_and_opens_no_file_in_its_place() -> None:
    done = subprocess.run(
        f"{shlex.quote(sys.executable)} -m icefarm --version >&-",
        shell=True,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (1, "icefarm: cannot write to the standard output: Bad file descriptor\n")
