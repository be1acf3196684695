"""The build backend: when the dashboard is built, and what a person hears where it cannot be."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def backend(tmp_path: Path) -> ModuleType:
    """The backend of a source tree of its own, whose page was built."""
    tree = tmp_path / "tree"
    (tree / "build_backend").mkdir(parents=True)
    source = tree / "build_backend" / "icefarm_build.py"
    source.write_bytes((ROOT / "build_backend" / "icefarm_build.py").read_bytes())
    (tree / "frontend" / "src").mkdir(parents=True)
    (tree / "frontend" / "src" / "main.jsx").write_text("1")
    spec = importlib.util.spec_from_file_location("backend_of_a_tree", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
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
    (backend.FRONTEND / "src" / "main.jsx").write_text("2")
    assert backend._node_requirement() == [backend.NODE_PACKAGE]


@pytest.mark.usefixtures("no_node")
def test_what_npm_installed_and_tests_are_no_sources(backend: ModuleType) -> None:
    for name in ("node_modules", "test"):
        (backend.FRONTEND / name).mkdir()
        (backend.FRONTEND / name / "a.js").write_text("3")
    assert not backend._needed()


@pytest.mark.usefixtures("no_node")
def test_the_dashboard_can_be_left_out(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    (backend.FRONTEND / "src" / "main.jsx").write_text("2")
    monkeypatch.setenv("ICEFARM_DASHBOARD", "skip")
    backend.build_dashboard()
    assert backend._node_requirement() == []


@pytest.mark.usefixtures("no_node")
def test_a_build_that_fails_says_how_to_do_without(backend: ModuleType, tmp_path: Path) -> None:
    (backend.FRONTEND / "src" / "main.jsx").write_text("2")
    for name, text in (("node", "echo v22.12.0"), ("npm", "echo the registry is away >&2; exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(SystemExit, match=r"(?s)the registry is away.*ICEFARM_DASHBOARD=skip"):
        backend.build_dashboard()


def test_the_lock_file_names_no_registry() -> None:
    assert "resolved" not in (ROOT / "frontend" / "package-lock.json").read_text()


def test_nothing_that_was_built_is_committed() -> None:
    asked = subprocess.run(
        ["git", "ls-files", "icefarm/dashboard/static", "frontend/node_modules"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert asked.stdout == ""
