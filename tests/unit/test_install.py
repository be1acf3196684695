"""What `make demo` and `make test` install: only what has changed, the router apart, and a clear word on failure."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_backend import install
from icefarm.farm.router import environment

ROOT = Path(__file__).resolve().parents[2]


class Ran:
    """A plan of two sequences after a first step, and what was run of it."""

    def __init__(self, directory: Path) -> None:
        self.ran: list[str] = []
        self.notes = directory / "notes"
        self.file = directory / "lock"
        self.file.write_text("one==1")
        first, *others = (self._step(name) for name in ("first", "farm", "icefarm", "router"))
        self.plan = install.Plan("a demo", [first], [others[:2], others[2:]])

    def _step(self, name: str) -> object:
        return install.Step(name, name, [self.file], lambda: self.ran.append(name))

    def install(self) -> list[str]:
        self.ran.clear()
        install.install(self.plan, self.notes)
        return self.ran


def test_all_is_installed_once_and_the_first_step_first(tmp_path: Path) -> None:
    plan = Ran(tmp_path)
    ran = plan.install()
    assert ran[0] == "first"
    assert sorted(ran) == ["farm", "first", "icefarm", "router"]
    assert ran.index("farm") < ran.index("icefarm")
    assert plan.install() == []


def test_what_comes_from_a_changed_file_is_installed_again(tmp_path: Path) -> None:
    plan = Ran(tmp_path)
    plan.install()
    plan.file.write_text("one==2")
    assert len(plan.install()) == 4


def test_each_step_is_a_line_with_its_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Ran(tmp_path).install()
    first, *steps, last = capsys.readouterr().out.splitlines()
    assert first.startswith("installing a demo: ")
    assert [line[:7] for line in steps] == [f"  [{each}/4]" for each in (1, 2, 3, 4)]
    assert last.startswith("installed in ")


def test_nothing_is_said_when_all_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Ran(tmp_path)
    plan.install()
    capsys.readouterr()
    plan.install()
    assert capsys.readouterr().out == ""


def test_the_demo_installs_nothing_that_only_tests_take(tmp_path: Path) -> None:
    plan = install.Environment(tmp_path / "venv").for_demo()
    names = [step.name for steps in (plan.first, *plan.together) for step in steps]
    assert names == ["environment", "farm", "icefarm", "router"]
    assert install.packages("farm") < 45


def _python(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_the_router_is_installed_apart_with_hashes_and_from_nothing_but_the_lock(tmp_path: Path) -> None:
    python = _python(tmp_path / "python", f'echo "$@" >> "{tmp_path}/asked"')
    environment.install_router(tmp_path / "router", Path("/locks"), python)
    assert (tmp_path / "router" / "bin" / "python").exists()
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line.split()[-1] for line in asked] == ["/locks/build.txt", "/locks/router.txt"]
    for line in asked:
        assert line.startswith(f"-m pip --python {tmp_path}/router/bin/python install ")
        assert {"--require-hashes", "--no-deps", "--no-build-isolation"} <= set(line.split())


def test_what_pip_says_is_passed_on(tmp_path: Path) -> None:
    python = _python(tmp_path / "python", "echo the hashes differ >&2; exit 1")
    with pytest.raises(environment.RouterNotInstalled, match=r"pip could not install build\.txt:\nthe hashes differ"):
        environment.install_router(tmp_path / "router", Path("/locks"), python)


def test_the_lock_files_are_part_of_icefarm() -> None:
    assert {path.name for path in environment.LOCKED.iterdir()} >= {"build.txt", "router.txt"}
