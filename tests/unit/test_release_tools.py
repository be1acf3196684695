"""What makes a release ready: its version, set everywhere at once; what speaks against it; the nightly run's page."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import pytest
from attrs import Factory, frozen
from waiting import wait_until

from build_backend import mutation, mutation_tries, nightly, version
from icefarm.testing.processes.farm_process import OwnProcess

ROOT = Path(__file__).resolve().parents[2]
CHANGELOG = "# Changelog\n\n## Unreleased\n\n### Added\n- A thing.\n\n## 1.0.0 - 2026-11-29\n\n### Added\n- All.\n"
COMMIT = "c" * 40


@frozen
class Ready:
    """A tree that is ready to be released as 1.1.0, but for what a test changes."""

    changes: Mapping[str, object] = Factory(dict)

    def tree(self) -> version.Tree:
        results = [{"name": name, "passed": True, "seconds": 3700.0} for name in version.NEEDED]
        values = {
            "version": "1.1.0",
            "cited": "1.1.0",
            "changelog": version.dated(CHANGELOG, "1.1.0", date(2026, 12, 24)),
            "classifiers": ("Development Status :: 5 - Production/Stable",),
            "changes": "",
            "commit": COMMIT,
            "tags": ("v1.0.0",),
            "nightly": json.dumps({"commit": COMMIT, "results": results}),
        }
        return version.Tree(**{**values, **self.changes})  # type: ignore[arg-type]


def test_nothing_speaks_against_a_release_that_is_ready() -> None:
    assert version.obstacles(Ready().tree()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": "1.1.0.dev0"}, "the version 1.1.0.dev0 is that of no release"),
        ({"cited": "1.0.0"}, "CITATION.cff names version 1.0.0, not 1.1.0"),
        ({"tags": ("v1.0.0", "v1.1.0")}, "there is a tag v1.1.0 already"),
        ({"changelog": CHANGELOG}, "no section '## 1.1.0 - YYYY-MM-DD'"),
        ({"changelog": CHANGELOG}, "changes under 'Unreleased'"),
        ({"classifiers": ("Development Status :: 3 - Alpha",)}, "3 - Alpha"),
        ({"changes": " M README.md"}, "not committed:\n M README.md"),
        ({"nightly": None}, "no results of a nightly run"),
        ({"nightly": json.dumps({"commit": "d" * 40, "results": []})}, "of commit dddddddddddd, not of cccccccccccc"),
        ({"nightly": json.dumps({"commit": COMMIT, "results": []})}, "nightly run: soak did not run"),
        (
            {"nightly": json.dumps({"commit": COMMIT, "results": [{"name": "soak", "passed": False}]})},
            "nightly run: soak failed",
        ),
        (
            {
                "nightly": json.dumps(
                    {"commit": COMMIT, "results": [{"name": "soak", "passed": True, "seconds": 120.4}]}
                )
            },
            "nightly run: soak took 120 s, not 3600",
        ),
    ],
)
def test_what_speaks_against_a_release_is_said(changes: dict[str, object], said: str) -> None:
    found = version.obstacles(Ready(changes).tree())
    assert any(said in line for line in found), found


def test_every_part_that_a_release_takes_is_one_of_the_nightly_run_which_lasts_as_long() -> None:
    commands = {part.name: part.command for part in nightly.PARTS}
    assert set(version.NEEDED) <= commands.keys()
    assert version.LEAST.keys() <= set(version.NEEDED)
    assert f"SECONDS={version.LEAST['fuzz']}" in commands["fuzz"]
    assert f"MINUTES={version.LEAST['soak'] // 60}" in commands["soak"]


def test_a_release_dates_the_changes_and_leaves_room_for_the_next_ones() -> None:
    text = version.dated(CHANGELOG, "1.1.0", date(2026, 12, 24))
    assert re.findall(r"^## (.+)$", text, re.M) == ["Unreleased", "1.1.0 - 2026-12-24", "1.0.0 - 2026-11-29"]
    assert text.index("1.1.0 - ") < text.index("- A thing.") < text.index("1.0.0 - ")


def test_a_release_without_changes_is_refused() -> None:
    with pytest.raises(version.Unfit, match="nothing under 'Unreleased'"):
        version.dated("# Changelog\n\n## Unreleased\n\n## 1.0.0 - 2026-11-29\n\n- All.\n", "1.0.1", date(2026, 12, 24))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The files of this repository that name its version."""
    (tmp_path / "icefarm").mkdir()
    for name in ("icefarm/_version.py", "CITATION.cff"):
        shutil.copy(ROOT / name, tmp_path / name)
    # The repository's own has no changes right after a release.
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def test_a_version_is_set_in_every_file_that_names_it(tree: Path) -> None:
    version.set_version(tree, "7.8.9", date(2026, 12, 24))
    assert '\n__version__ = "7.8.9"\n' in (tree / "icefarm" / "_version.py").read_text()
    assert "\nversion: 7.8.9\n" in (tree / "CITATION.cff").read_text()
    assert "\n## Unreleased\n\n## 7.8.9 - 2026-12-24\n" in (tree / "CHANGELOG.md").read_text()


def test_a_version_in_development_does_not_date_the_changelog(tree: Path) -> None:
    before = (tree / "CHANGELOG.md").read_text()
    version.set_version(tree, "7.9.0.dev0", date(2026, 12, 24))
    assert (tree / "CHANGELOG.md").read_text() == before
    assert "\nversion: 7.9.0.dev0\n" in (tree / "CITATION.cff").read_text()


@pytest.mark.parametrize("wrong", ["1.0", "v1.0.0", "1.0.0 ", "one"])
def test_what_is_no_version_changes_nothing(tree: Path, wrong: str) -> None:
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    with pytest.raises(version.Unfit, match="is not a version"):
        version.set_version(tree, wrong, date(2026, 12, 24))
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A repository of three commits, the second of which promises that versions work together."""
    root = tmp_path / "repository"
    subprocess.run(["git", "init", "--quiet", root], check=True)
    for name in ("code", version.PROMISE, "more"):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        _git(root, "add", ".")
        _git(root, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", name)
    return root


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def test_before_the_first_release_the_commit_that_promises_stands_for_the_previous_one(history: Path) -> None:
    assert version.previous(history) == _git(history, "rev-parse", "HEAD~1")


def test_the_previous_release_is_that_of_the_newest_tag(history: Path) -> None:
    _git(history, "tag", "v1.0.0", "HEAD~2")
    assert version.previous(history) == "v1.0.0"


def test_a_clone_without_history_says_how_to_get_it(history: Path, tmp_path: Path) -> None:
    _git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{history}", "shallow")
    with pytest.raises(version.Unfit, match="git fetch --tags --unshallow"):
        version.previous(tmp_path / "shallow")


def _part(script: str, **changes: object) -> nightly.Part:
    values: dict[str, object] = {
        "name": "a part",
        "what": "it",
        "command": (sys.executable, "-c", script),
        "minutes": 1,
    }
    return nightly.Part(**{**values, **changes})  # type: ignore[arg-type]


def test_a_part_that_passes_says_its_figure(tmp_path: Path) -> None:
    result = nightly.run(_part("print('score 70'); print('score 91')", figure=r"^score (\d+)$"), tmp_path)
    assert (result.passed, result.says) == (True, "91")
    assert (tmp_path / result.log).read_text() == "score 70\nscore 91\n"


def test_a_part_that_fails_says_its_last_line(tmp_path: Path) -> None:
    result = nightly.run(_part("import sys; print('fine', flush=True); sys.exit('it broke')"), tmp_path)
    assert (result.passed, result.says) == (False, "exit code 1: it broke")


def test_a_part_that_fails_halfway_says_how_far_it_came(tmp_path: Path) -> None:
    script = "import sys; print('3 passed in 2 s', flush=True); sys.exit('make: it broke')"
    result = nightly.run(_part(script, figure=r"^(\d+ passed.*)$"), tmp_path)
    assert (result.passed, result.says) == (False, "3 passed in 2 s, exit code 1: make: it broke")


def test_a_run_that_is_ended_ends_its_part(tmp_path: Path) -> None:
    part = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(f'{{os.getpid()}}.'); time.sleep(600)"
    run = f"""
import sys
from pathlib import Path
from build_backend import nightly
nightly.INTO = Path({str(tmp_path)!r})
nightly.parts = lambda *_: (nightly.Part("endless", "it", (sys.executable, "-c", {part!r}), 9),)
nightly.PARTS = nightly.parts()
nightly.main([])
"""
    with OwnProcess([sys.executable, "-c", run], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        told = tmp_path / "pid"
        wait_until(lambda: told.is_file() and told.read_text().endswith("."), "the part runs", 60.0)
        process.terminate()
        assert process.wait(60) != 0
    wait_until(lambda: not _runs(int(told.read_text()[:-1])), "the part has ended", 10.0)


def test_a_part_without_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, time; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    result = nightly.run(_part(script, minutes=1 / 30), tmp_path)
    assert (result.passed, result.says) == (False, "no end after 0.0333333 minutes")
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not _runs(pid), "what it started has ended", 10.0)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_part_has_its_environment(tmp_path: Path) -> None:
    part = _part("import os; print(os.environ['ICEFARM_PART'])", figure="(.+)", environment=(("ICEFARM_PART", "x"),))
    assert nightly.run(part, tmp_path).says == "x"


#: Of a log of each part, the lines that its figure is in, and what it is.
FIGURES = {
    "pythons": (
        "nox > Ran multiple sessions:\nnox > * tests-3.11: success\nnox > * tests-3.12: failed, took 2 minutes",
        "tests-3.11: success, tests-3.12: failed",
    ),
    "oldest": (
        "================= 2690 passed, 2 skipped in 90.60s (0:01:30) =================\nunit-1 passed in 91 s\n"
        "= 1 failed, 700 passed in 300.00s (0:05:00) =\n",
        "2690 passed, 2 skipped in 90.60s (0:01:30), 1 failed, 700 passed in 300.00s (0:05:00)",
    ),
    "coverage": ("===== 12 passed in 9.00s =====\n94 % of lines and branches\n", "94 %"),
    "mutation": (
        "10430 of 11020 changes noticed (94.6 %): build/mutation.md\n",
        "10430 of 11020 changes noticed (94.6 %): build/mutation.md",
    ),
    "interleavings": (
        "  - during generate phase (700.12 seconds):\n    - 2000 passing, 0 failing, and 71 invalid test cases\n",
        "2000 passing, 0 failing",
    ),
    "fuzz": (
        "frame: 70 inputs, 0 of them made it fail\n170 inputs in all, 0 of them made something fail\n",
        "170 inputs in all, 0 of them made something fail",
    ),
    "fuzz ice40": ("#3019\tDONE   cov: 12\nDone 3019 runs in 601 second(s)\n", "3019 runs in 601 second"),
    "soak": (
        "| kill client | 7 | 1.0 s | 2.0 s |\n"
        "70 faults in 3600 s: 9 right values, 0 named errors, 0 lost, double or wrong\n",
        "70 faults in 3600 s: 9 right values, 0 named errors, 0 lost, double or wrong",
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_the_figure_of_a_part_is_found_in_its_log(name: str, tmp_path: Path) -> None:
    log, says = FIGURES[name]
    (part,) = nightly.parts_named([name], nightly.PARTS)
    script = f"print({log!r})"
    result = nightly.run(_part(script, figure=part.figure, each_match=part.each_match), tmp_path)
    assert (result.passed, result.says) == (True, says)


def _result(name: str, says: str = "", *, passed: bool = True) -> nightly.Result:
    return nightly.Result(name, "it", passed, says, 90.0, f"{name}.log", "2026-11-29T03:00:00+00:00")


def test_the_page_says_which_parts_failed_when_they_began_and_where_their_logs_are() -> None:
    text = nightly.page([_result("dist"), _result("soak", "a | b", passed=False)], "abc")
    assert "Commit `abc`: failed: soak." in text
    assert "| dist | it | passed | 2026-11-29 03:00 | 1.5 | [dist.log](dist.log) |" in text
    assert "| soak | it | **failed**: a \\| b | 2026-11-29 03:00 | 1.5 | [soak.log](soak.log) |" in text


def test_the_page_says_which_parts_did_not_run() -> None:
    passed, failed = _result("dist"), _result("oldest", passed=False)
    assert "`abc`: all passed.\n" in nightly.page([passed], "abc")
    assert "`abc`: all that ran passed; did not run: fuzz, soak.\n" in nightly.page([passed], "abc", ["fuzz", "soak"])
    assert "`abc`: failed: oldest; did not run: soak.\n" in nightly.page([passed, failed], "abc", ["soak"])


def _ran(into: Path) -> dict[str, tuple[bool, str]]:
    found = json.loads((into / "results.json").read_text())
    return {each["name"]: (each["passed"], each["says"]) for each in found["results"]}


def _named(name: str, says: str, code: int = 0) -> nightly.Part:
    return _part(f"import sys; print({says!r}); sys.exit({code})", name=name, figure="^(.+)$")


def _run_all(into: Path, *parts: nightly.Part, commits: Sequence[str] = (COMMIT,)) -> int:
    left = iter(commits)
    now = [next(left)]

    def commit_now() -> str:
        found = now[-1]
        now.append(next(left, found))
        return found

    return nightly.run_all(parts, into, commit_now)


def test_parts_of_one_commit_run_over_several_evenings(tmp_path: Path) -> None:
    assert _run_all(tmp_path, _named("soak", "first"), _named("coverage", "no clang", 1)) == 1
    assert _run_all(tmp_path, _named("dist", "made")) == 0
    assert _ran(tmp_path) == {
        "dist": (True, "made"), "coverage": (False, "no clang, exit code 1: no clang"), "soak": (True, "first"),
    }  # fmt: skip
    assert list(_ran(tmp_path)) == ["dist", "coverage", "soak"]
    assert _run_all(tmp_path, _named("coverage", "again")) == 0
    assert _ran(tmp_path) == {"dist": (True, "made"), "coverage": (True, "again"), "soak": (True, "first")}
    page = (tmp_path / "index.md").read_text()
    assert f"Commit `{COMMIT}`: all that ran passed; did not run: pythons, oldest" in page
    assert "| dist | it | passed: made |" in page


@pytest.mark.parametrize("commits", [("d" * 40,), (f"{COMMIT}+",)])
def test_parts_of_another_commit_or_of_a_changed_tree_do_not_stay(tmp_path: Path, commits: Sequence[str]) -> None:
    _run_all(tmp_path, _named("dist", "made"))
    _run_all(tmp_path, _named("soak", "done"), commits=commits)
    assert list(_ran(tmp_path)) == ["soak"]
    # What ran in a changed tree does not stay in the next run of it either.
    _run_all(tmp_path, _named("dist", "made"), commits=commits)
    assert list(_ran(tmp_path)) == (["dist"] if commits[0].endswith("+") else ["dist", "soak"])


def test_a_tree_that_changes_while_a_part_runs_has_no_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run_all(tmp_path, _named("dist", "made"), _named("soak", "done"), commits=(COMMIT, "d" * 40))
    assert json.loads((tmp_path / "results.json").read_text())["commit"] == f"{COMMIT}+"
    assert capsys.readouterr().out.count("the tree has changed meanwhile") == 1


@pytest.mark.parametrize("left", ["", "{", "[]", json.dumps({"commit": COMMIT, "results": [{"name": "dist"}]})])
def test_results_that_cannot_be_read_do_not_stay(tmp_path: Path, left: str) -> None:
    (tmp_path / "results.json").write_text(left)
    _run_all(tmp_path, _named("soak", "done"))
    assert list(_ran(tmp_path)) == ["soak"]


def test_what_a_nightly_run_leaves_is_what_a_release_is_judged_by(tmp_path: Path) -> None:
    _run_all(tmp_path, _named("soak", "no board", 1))
    found = version.obstacles(Ready({"nightly": (tmp_path / "results.json").read_text()}).tree())
    assert "nightly run: soak failed" in found
    assert "nightly run: dist did not run" in found


def test_parts_are_chosen_by_name_and_run_in_their_order() -> None:
    assert [part.name for part in nightly.parts_named(["soak", "dist"], nightly.PARTS)] == ["dist", "soak"]
    assert nightly.parts_named([], nightly.PARTS) == list(nightly.PARTS)
    with pytest.raises(ValueError, match="no part moon"):
        nightly.parts_named(["moon"], nightly.PARTS)


def test_parts_run_targets_and_files_that_there_are() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for part in nightly.PARTS:
        if part.command[:2] == ("make", "-C"):
            assert part.command[3] in (ROOT / part.command[2] / "Makefile").read_text()
        elif part.command[0] == "make":
            assert part.command[1] in targets
        assert [word for word in part.command if word.startswith("tests/") and not (ROOT / word).exists()] == []


def test_every_version_of_a_release_is_of_one_form() -> None:
    sections = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert sections[0] == "Unreleased"
    assert [each for each in sections[1:] if not re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", each)] == []


def test_what_became_of_changes_is_read_from_what_mutmut_leaves(tmp_path: Path) -> None:
    (tmp_path / "icefarm").mkdir()
    codes = {"icefarm.a.x_f__mutmut_1": 1, "icefarm.a.x_f__mutmut_2": 0, "icefarm.a.x_g__mutmut_1": None}
    (tmp_path / "icefarm" / "a.py.meta").write_text(json.dumps({"exit_code_by_key": codes}))
    more = {"icefarm.b.x_h__mutmut_1": 36, "icefarm.b.x_h__mutmut_2": 33}
    (tmp_path / "icefarm" / "b.py.meta").write_text(json.dumps({"exit_code_by_key": more}))
    assert mutation.statuses(tmp_path) == {
        "icefarm.a.x_f__mutmut_1": "noticed",
        "icefarm.a.x_f__mutmut_2": "unnoticed",
        "icefarm.b.x_h__mutmut_1": "noticed",
        "icefarm.b.x_h__mutmut_2": "no tests",
    }


SAME = mutation.Equivalent("icefarm.a.x_f", ("-    a < b", "+    a <= b"), "a is never b")
CHANGES = [
    mutation.Change("icefarm.a.x_f__mutmut_1", "noticed"),
    mutation.Change("icefarm.a.x_f__mutmut_2", "unnoticed", ("-    1", "+    2")),
    mutation.Change("icefarm.a.x_f__mutmut_3", "unnoticed", SAME.lines),
]


def test_a_change_that_changes_nothing_does_not_count() -> None:
    assert mutation.score(CHANGES) == pytest.approx(100 / 3)
    assert mutation.score(mutation.judged(CHANGES, [SAME])) == 50


def test_the_page_has_each_module_and_each_change_that_was_not_noticed() -> None:
    text = mutation.page(mutation.judged(CHANGES, [SAME]))
    assert "| `icefarm.a` | 3 | 1 | 1 | 50 |" in text
    assert "`icefarm.a.x_f__mutmut_2`: unnoticed\n```diff\n-    1\n+    2\n```" in text
    assert "x_f__mutmut_1" not in text
    assert "x_f__mutmut_3" not in text


def test_nothing_that_was_tried_is_no_success() -> None:
    assert mutation.score([]) == 0


def test_each_change_that_is_said_to_change_nothing_is_of_a_function_that_there_is() -> None:
    for each in mutation.equivalents((ROOT / "tests" / "equivalent_changes.toml").read_text()):
        module, _, function = each.function.rpartition(".")
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
        # A function is x_NAME, a method xǁCLASSǁNAME.
        name = function.rpartition("ǁ")[2] if "ǁ" in function else function.removeprefix("x_")
        assert f"def {name}(" in source, each
        assert all(line[1:].strip() in source for line in each.lines if line.startswith("-")), each
        assert each.why


def test_the_fastest_tests_that_reach_a_change_come_first_and_long_ones_not_at_all() -> None:
    reach = mutation_tries.Reach({"a.x_f": [0, 1, 2]}, {0: 0.5, 1: 0.1, 2: 9.0})
    assert reach.of("a.x_f__mutmut_12", longest=1.0) == [1, 0]
    assert reach.of("a.x_g__mutmut_1", longest=1.0) == []


#: Changes of a function f: the first breaks it, the second does not, the third waits forever, the fourth computes
#: forever; nothing reaches g.  What h returned while the tests were collected is kept, and its change breaks it.
TRIED = """
import functools, gc, os, sys, time
from pathlib import Path
import pytest
from build_backend import mutation_tries
mutation_tries.AT_LEAST, mutation_tries.WAITS, mutation_tries.LOOK = 0.5, 0.5, 0.1
sys.modules["own"] = own = type(sys)("own")
own.active, own.reached = "", set()
def f():
    if own.active == "stats":
        own.reached.add("a.x_f")
    if own.active == "a.x_f__mutmut_3":
        time.sleep(600)
    while own.active == "a.x_f__mutmut_4":
        pass
    return own.active != "a.x_f__mutmut_1"
@functools.cache
def h():
    if own.active == "stats":
        own.reached.add("a.x_h")
    return own.active != "a.x_h__mutmut_1"
h.__module__ = "icefarm.own"
own.f, own.h = f, h
gc.freeze()
tries = mutation_tries.Tries(
    Path.cwd(), ["*_[1-4]"], 1, 60.0, 2, False, lambda name: setattr(own, "active", name), own.reached
)
pytest.main(["-q", "-p", "no:cacheprovider"], plugins=[tries])
"""


def tried(directory: Path, test: str) -> tuple[dict[str, str], str]:
    """Try the changes with a test file; return what became of each, and what was printed."""
    (directory / "test_own.py").write_text(test)
    changes = (("f", 1), ("f", 2), ("f", 3), ("f", 4), ("f", 5), ("g", 1), ("h", 1))
    names = [f"a.x_{name}__mutmut_{number}" for name, number in changes]
    (directory / "a.py.meta").write_text(json.dumps({"exit_code_by_key": dict.fromkeys(names)}))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-c", TRIED]
    ended = subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True, text=True)
    return mutation.statuses(directory), ended.stdout


@pytest.mark.thorough
def test_each_change_is_tried_in_a_process_that_ends(tmp_path: Path) -> None:
    found, _ = tried(tmp_path, "import own\n\nown.h()\n\ndef test_f():\n    assert own.f() and own.h()\n")
    assert found == {
        "a.x_f__mutmut_1": "noticed",
        "a.x_f__mutmut_2": "unnoticed",
        "a.x_f__mutmut_3": "noticed",
        "a.x_f__mutmut_4": "noticed",
        "a.x_g__mutmut_1": "no tests",
        "a.x_h__mutmut_1": "noticed",
    }


@pytest.mark.thorough
def test_a_test_that_fails_without_any_change_is_named(tmp_path: Path) -> None:
    found, said = tried(tmp_path, "import own\n\ndef test_f():\n    assert not own.f()\n")
    assert found == {}
    assert "without any change, test_own.py::test_f fails" in said
