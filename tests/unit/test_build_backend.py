"""The build backend: when the dashboard is built, and what a person hears where it cannot be."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The backend of a source tree of its own, whose page was built."""
    tree = tmp_path / "tree"
    (tree / "build_backend").mkdir(parents=True)
    for name in ("icefarm_build.py", "frontend_tools.py"):
        (tree / "build_backend" / name).write_bytes((ROOT / "build_backend" / name).read_bytes())
    (tree / "frontend" / "src").mkdir(parents=True)
    (tree / "frontend" / "src" / "main.tsx").write_text("1")
    (tree / "frontend" / "package-lock.json").write_text("{}")
    monkeypatch.syspath_prepend(tree / "build_backend")
    for name in ("icefarm_build", "frontend_tools"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("icefarm_build")
    for name in ("icefarm_build", "frontend_tools"):
        monkeypatch.delitem(sys.modules, name)
    module.BUILT.mkdir(parents=True)
    module.STAMP.write_text(module._fingerprint())
    return module


@pytest.fixture
def no_node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ICEFARM_DASHBOARD", raising=False)


@pytest.mark.usefixtures("no_node")
def test_a_page_of_the_same_sources_is_not_built_again(backend: ModuleType) -> None:
    backend.build_dashboard()
    assert backend._node_requirement() == []


@pytest.mark.usefixtures("no_node")
def test_changed_sources_ask_for_node_where_there_is_none(backend: ModuleType) -> None:
    (backend.FRONTEND / "src" / "main.tsx").write_text("2")
    assert backend._node_requirement() == [backend.NODE_PACKAGE]


@pytest.mark.usefixtures("no_node")
def test_what_npm_installed_and_tests_are_no_sources(backend: ModuleType) -> None:
    for name in ("node_modules", "test"):
        (backend.FRONTEND / name).mkdir()
        (backend.FRONTEND / name / "a.js").write_text("3")
    assert not backend._needed()


@pytest.mark.usefixtures("no_node")
def test_the_dashboard_can_be_left_out(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    (backend.FRONTEND / "src" / "main.tsx").write_text("2")
    monkeypatch.setenv("ICEFARM_DASHBOARD", "skip")
    backend.build_dashboard()
    assert backend._node_requirement() == []


@pytest.mark.usefixtures("no_node")
def test_a_build_that_fails_says_how_to_do_without(backend: ModuleType, tmp_path: Path) -> None:
    (backend.FRONTEND / "src" / "main.tsx").write_text("2")
    fake_node(tmp_path, "v22.12.0", "echo the registry is away >&2; exit 1")
    with pytest.raises(SystemExit, match=r"(?s)the registry is away.*ICEFARM_DASHBOARD=skip"):
        backend.build_dashboard()


def fake_node(directory: Path, version: str, npm: str) -> None:
    """Put a node of this version and an npm that runs this script on PATH."""
    for name, text in (("node", f"echo {version}"), ("npm", npm)):
        (directory / name).write_text(f"#!/bin/sh\n{text}\n")
        (directory / name).chmod(0o755)


@pytest.mark.usefixtures("no_node")
@pytest.mark.parametrize(
    ("version", "builds"),
    [
        ("v20.18.3", False),
        ("v20.19.0", True),
        ("v21.7.0", False),
        ("v22.11.0", False),
        ("v22.12.0", True),
        ("v25.0.1", True),
    ],
)
def test_a_node_that_vite_does_not_run_on_counts_for_nothing(
    backend: ModuleType, tmp_path: Path, version: str, builds: bool
) -> None:
    fake_node(tmp_path, version, "exit 0")
    assert backend.machine_builds() is builds


@pytest.mark.usefixtures("no_node")
def test_the_page_is_built_without_the_tools_that_check_it_and_npm_runs_once(
    backend: ModuleType, tmp_path: Path
) -> None:
    fake_node(tmp_path, "v22.12.0", 'echo "$@" >> asked')
    (backend.FRONTEND / "node_modules").mkdir()
    for word in ("2", "3"):
        (backend.FRONTEND / "src" / "main.tsx").write_text(word)
        backend.build_dashboard()
    (asked,) = (backend.FRONTEND / "asked").read_text().splitlines()
    assert "ci --omit=dev" in asked
    backend.install(backend.node_for_build(), tools=True)
    assert "--omit" not in (backend.FRONTEND / "asked").read_text().splitlines()[1]
    backend.install(backend.node_for_build(), tools=False)
    assert len((backend.FRONTEND / "asked").read_text().splitlines()) == 2


def test_the_lock_file_names_no_registry() -> None:
    assert "resolved" not in (ROOT / "frontend" / "package-lock.json").read_text()


def test_nothing_that_was_built_is_committed() -> None:
    asked = subprocess.run(
        ["git", "ls-files", "icefarm/dashboard/static", "frontend/node_modules"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert asked.stdout == ""


def test_a_tool_that_takes_too_long_ends_with_all_that_it_has_started(backend: ModuleType, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    held = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    # The first process waits for its child, which keeps the outputs open as well.
    script = f"exec 3>{pipe}; echo begun >&3; sleep 100 & wait"
    node = SimpleNamespace(environment=lambda: os.environ)
    with pytest.raises(backend.Failed, match="it waits forever"):
        backend.run(node, ["/bin/sh", "-c", script], "it waits forever", 1.0)
    assert os.read(held, 100) == b"begun\n"
    # Nobody has it open any more.
    assert os.read(held, 100) == b""
    os.close(held)
