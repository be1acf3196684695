"""`make test` runs every suite, shows what each printed, and names those that failed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from costs import cpu_seconds
from marks import MARKS, misplaced
from scheduling import LONG, group_of
from shares import LONG as LONG_FILES
from shares import USUAL, Share, shared_out

from icefarm.testing.processes.farm_process import OwnProcess

SUITES = Path(__file__).parents[2] / "build_backend" / "suites.py"
#: Stands for make: prints what it is to run, fails where that is called so, and says when it is ended.
#: Of `left` and `right`, each waits for the other; `whole` says whether it runs beside one of them, and how willingly.
MAKE = """#!/bin/sh
echo "this is $2"
cd "${0%/*}"
others() { ls *.here 2>/dev/null | tr '\\n' ' '; }
case "$2" in left) other=right;; right) other=left;; whole) echo "beside: $(others)at $(nice)";; esac
if [ -n "$other" ]; then
    touch "$2.here"
    until [ -e "$other.here" ] || [ -e "$other.was" ]; do sleep 0.02; done
    mv "$2.here" "$2.was"
fi
if [ "$2" = endless ]; then
    trap 'echo "$2 was ended"; exit 1' TERM
    echo > begun
    while :; do sleep 0.05; done
fi
[ "$2" != broken ] || { echo "$2 is wrong" >&2; exit 2; }
"""


@pytest.fixture
def make(tmp_path: Path) -> str:
    program = tmp_path / "a make"
    program.write_text(MAKE)
    program.chmod(0o755)
    return str(program)


def run(make: str, *suites: str, cores: int = 2) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SUITES), make, str(cores), *suites]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    done.stdout = at_any_speed(done.stdout)
    return done


def at_any_speed(said: str) -> str:
    """Leave out how many seconds each suite took: more on a busy machine."""
    return re.sub(r" in \d+ s$", " in N s", said, flags=re.MULTILINE)


def test_all_suites_run_and_what_they_print_is_shown(make: str) -> None:
    done = run(make, "lint", "types", "unit")
    assert done.returncode == 0
    assert all(f"this is {suite}\n{suite}: passed in N s" in done.stdout for suite in ("lint", "types", "unit"))


def test_a_suite_that_fails_hides_no_other_and_is_named_last(make: str) -> None:
    done = run(make, "lint", "broken", "unit")
    assert "this is broken\nbroken is wrong\nbroken: failed in N s" in done.stdout
    assert "this is unit\n" in done.stdout
    assert (done.returncode, done.stderr) == (1, "failed: broken\n")


def test_one_after_the_other_each_prints_between_its_name_and_its_end(make: str) -> None:
    done = run(make, "lint", "broken", "unit", cores=1)
    said = [line.strip("= ") for line in done.stdout.splitlines()]
    expected = ["lint", "this is lint", "lint: passed in N s", "broken", "this is broken", "broken is wrong"]
    assert said[:8] == [*expected, "broken: failed in N s", "unit"]
    assert (done.returncode, done.stderr) == (1, "failed: broken\n")


def test_suites_share_the_cores_and_one_that_takes_all_runs_alone(make: str) -> None:
    done = run(make, "whole=2", "left=1", "right=1", "whole=2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count(f"this is whole\nbeside: at {os.nice(0)}\nwhole: passed in N s") == 2
    assert all(f"this is {suite}\n{suite}: passed in N s" in done.stdout for suite in ("left", "right"))


def test_a_suite_in_the_background_runs_beside_one_that_takes_all_cores_and_is_shown_after_it(make: str) -> None:
    done = run(make, "left=2", "right=background", "lint=2")
    assert (done.returncode, done.stderr) == (0, "")
    shown = [line.strip("= ") for line in done.stdout.splitlines()]
    left = ["left", "this is left", "left: passed in N s", "right begins"]
    assert shown[:4] == left
    # It may end before the last one begins, or beside it.
    whole = done.stdout.partition("all suites")[0]
    assert "this is right\nright: passed in N s" in whole
    assert "this is lint\nlint: passed in N s" in whole


def test_in_the_background_there_is_one_fewer_than_cores_and_with_no_other_left_one_on_each(make: str) -> None:
    # Each of the two waits for the other.
    assert run(make, "left=background", "right=background").returncode == 0
    done = run(make, "lint=1", "whole=background", cores=1)
    shown = [line.strip("= ") for line in done.stdout.splitlines()]
    assert shown[:5] == ["lint", "this is lint", "lint: passed in N s", "whole begins", "whole"]
    assert f"beside: at {min(os.nice(0) + 10, 19)}\n" in done.stdout


def test_a_suite_that_takes_more_cores_than_there_are_runs_on_those(make: str) -> None:
    assert "this is lint\nlint: passed in N s" in run(make, "lint=2", cores=1).stdout


@pytest.mark.parametrize("jobs", [1, 2])
def test_suites_that_are_ended_show_what_they_printed_and_no_other_one_begins(make: str, jobs: int) -> None:
    pipe = Path(make).with_name("begun")
    os.mkfifo(pipe)
    begun = os.open(pipe, os.O_RDWR)
    command = [sys.executable, str(SUITES), make, str(jobs), *["endless"] * jobs, "unit"]
    with OwnProcess(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for _ in range(jobs):
            os.read(begun, 1)
        process.terminate()
        out, err = process.communicate(timeout=60)
    os.close(begun)
    assert at_any_speed(out).count("this is endless\nendless was ended\nendless: failed in N s") == jobs
    assert "this is unit" not in out
    assert (process.returncode, err) == (1, "interrupted\n")


def test_tests_of_a_file_stay_together_and_attacks_on_one_farm() -> None:
    assert group_of("tests/integration/test_up.py::test_it_starts[tls-a]") == "tests/integration/test_up.py"
    on_tls = [
        f"tests/attacks/{rest}" for rest in ("test_matrix.py::test_a[tls-x [::1]]", "test_growth.py::test_b[tls]")
    ]
    assert {group_of(each) for each in on_tls} == {"attacks on tls"}
    halves = {group_of(f"tests/faults/test_processes.py::test_{number}") for number in range(9)}
    assert halves == {f"tests/faults/test_processes.py {half}" for half in range(2)}


def test_files_that_are_said_to_take_long_are_there() -> None:
    root = Path(__file__).parents[2]
    assert [each for each in LONG if ".py" in each and not (root / each.split()[0]).is_file()] == []


def test_cpu_time_is_that_of_a_process_and_of_its_children_the_ended_ones_too() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        spent = cpu_seconds(process.pid)
        process.communicate(b"\n", timeout=60)
    assert 0.3 <= spent < 30


def test_every_directory_of_tests_is_in_a_suite_and_its_tests_have_the_mark_of_that() -> None:
    tests = Path(__file__).parents[1]
    assert {path.parent.relative_to(tests).parts[0] for path in tests.rglob("test_*.py")} == set(MARKS)
    assert misplaced("unit", set()) is misplaced("faults", {"faults", "slow"}) is misplaced("unit", {"nightly"}) is None


@pytest.mark.parametrize(
    ("directory", "marks", "words"),
    [
        ("new", {"integration"}, "is in tests/new, which no suite of the Makefile runs; enter it there"),
        ("unit", {"integration"}, "is marked integration; tests/unit has no mark"),
        ("faults", {"browser", "integration"}, "is marked browser, integration; tests/faults has faults"),
        ("browser", {"slow"}, "is marked not at all; tests/browser has browser"),
    ],
)
def test_a_test_that_is_in_no_suite_or_in_that_of_others_is_named(directory: str, marks: set[str], words: str) -> None:
    assert str(misplaced(directory, marks)).startswith(words)


TESTS = Path(__file__).parents[1]


def test_every_test_file_is_in_one_share_and_shares_take_alike() -> None:
    files = set(TESTS.rglob("test_*.py"))
    for amount in (1, 2, 3):
        shares = shared_out(sorted(files, reverse=True), amount)
        assert set.union(*shares) == files
        assert sum(map(len, shares)) == len(files)
        assert shares == shared_out(sorted(files), amount)
    first, second = (sum(LONG_FILES.get(each.name, USUAL) for each in share) for share in shared_out(files, 2))
    assert abs(first - second) <= USUAL + 1e-6
    assert {each.name for each in files} >= set(LONG_FILES)


def test_a_share_passes_over_the_files_of_the_others(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("test_a.py", "b/test_b.py", "b/test_c.py")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    shares = [Share.parse(words, [tmp_path]) for words in ("1/2", "2/2")]
    for file in files:
        assert [share.pytest_ignore_collect(file) for share in shares].count(None) == 1
        assert [share.pytest_ignore_collect(file) for share in shares].count(True) == 1
    # What is no test file, or stands outside, is nobody else's.
    for other in (tmp_path / "conftest.py", tmp_path / "b", tmp_path.parent / "test_a.py"):
        assert [share.pytest_ignore_collect(other) for share in shares] == [None, None]


SHARING = """
import os
from pathlib import Path
from shares import Share

def pytest_configure(config):
    if "SHARE" in os.environ:
        config.pluginmanager.register(Share.parse(os.environ["SHARE"], [Path(__file__).parent]))
"""
#: Neither of the two goes on before the other one has begun, and so has read what failed before.
MEETING = """
def test_it():
    open("meeting", "{mode}").close()
    assert False
"""


@pytest.mark.thorough
def test_what_failed_in_any_share_is_run_again_by_lf(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "meeting")
    (tmp_path / "conftest.py").write_text(SHARING)
    for name, mode in (("a", "r"), ("b", "w")):
        (tmp_path / f"test_{name}.py").write_text(MEETING.format(mode=mode))
    plugins = [f"-pno:{name}" for name in ("icefarm", "randomly", "xdist", "twisted")]
    command = [sys.executable, "-m", "pytest", "--rootdir", str(tmp_path), *plugins]
    plain = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTEST_ADDOPTS": ""}
    first, second = (
        OwnProcess(command, cwd=tmp_path, env={**plain, "SHARE": share}, stdout=subprocess.PIPE)
        for share in ("1/2", "2/2")
    )
    with first, second:
        assert "1 failed" in first.communicate(timeout=60)[0]
        assert "1 failed" in second.communicate(timeout=60)[0]
    again = subprocess.run(
        [*command, "--lf", "--collect-only", "-q"], cwd=tmp_path, env=plain, capture_output=True, text=True, timeout=60
    )
    assert "test_a.py::test_it\ntest_b.py::test_it\n" in again.stdout


@pytest.mark.parametrize("words", ["0/2", "3/2", "1", "", "one/two", "-1/2"])
def test_a_share_that_there_is_not_is_refused(words: str, tmp_path: Path) -> None:
    with pytest.raises(pytest.UsageError, match="--share takes NUMBER/SHARES"):
        Share.parse(words, [tmp_path])


@pytest.mark.parametrize(
    ("command", "suite"), [("check", "unit-check"), pytest.param("test", "unit", marks=pytest.mark.thorough)]
)
def test_make_runs_every_share_of_the_unit_tests(command: str, suite: str) -> None:
    said = _printed(command)
    amount = max(map(int, re.findall(r"--share \d+/(\d+)", said)))
    numbers = [str(number + 1) for number in range(amount)]
    # They run side by side, and are shown as they end.
    assert sorted(re.findall(r"--share (\d+)/", said)) == numbers
    assert sorted(re.findall(rf"--suite {suite}-(\d+)=", said)) == numbers


def test_every_suite_runs_in_random_order_and_says_how() -> None:
    """Of the unit tests, of those with real parts, and of both where coverage is measured."""
    said = _printed("unit-1", "integration", "browser", "faults-quick", "coverage")
    suites = [line for line in said.splitlines() if " -m pytest " in line]
    assert len(suites) == 7
    assert [line for line in suites if " -p randomly" not in line] == []
    assert " -p randomly" not in _printed("unit-1", "integration", "browser", "faults-quick", "RANDOM_ORDER=")


def _printed(*words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--just-print", *words], cwd=TESTS.parent, env=environment, capture_output=True, text=True, check=True,
        timeout=100,
    ).stdout  # fmt: skip


IN_ANY_ORDER = """
import pytest

@pytest.mark.parametrize("number", range(20))
def test_it(number, request):
    with open(request.config.rootpath / "order", "a") as order:
        print(request.path.name, number, request.config.getoption("randomly_seed"), file=order)
"""


@pytest.mark.thorough
def test_each_process_of_a_suite_has_the_seed_that_the_first_lines_say(tmp_path: Path) -> None:
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / name).write_text(IN_ANY_ORDER)
    plugins = [f"-pno:{name}" for name in ("cacheprovider", "icefarm", "twisted", "randomly")]
    command = [sys.executable, "-m", "pytest", "--rootdir", str(tmp_path), *plugins, "-p", "randomly"]
    said = subprocess.run(
        [*command, "--numprocesses", "2", "--dist", "loadfile"], cwd=tmp_path, env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True, text=True, check=True, timeout=100,
    ).stdout  # fmt: skip
    first = re.search(r"^Using --randomly-seed=(\d+)$", "\n".join(said.splitlines()[:6]), re.MULTILINE)
    assert first is not None, said
    ran = [line.split() for line in (tmp_path / "order").read_text().splitlines()]
    assert [seed for *_, seed in ran] == [first[1]] * 40
    for name in ("test_a.py", "test_b.py"):
        numbers = [int(number) for file, number, _ in ran if file == name]
        # By chance in one run of 20!.
        assert sorted(numbers) == list(range(20)) != numbers
