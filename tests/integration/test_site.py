"""The documentation builds, and its Python is Python."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import attrs
import pytest
from guides import MADE

from icefarm import contract, errors
from icefarm.cli import VERBS
from icefarm.control.http.routes import ENDPOINTS

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_PYTHON = re.compile(r"^( *)```python\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


@pytest.mark.timeout(400)
def test_the_site_builds_without_warnings_and_names_all_that_is_on_the_wire_and_on_the_command_line(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", tmp_path / "trees", ROOT / "docs", tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    wamp = (tmp_path / "wamp.html").read_text()
    names = (*contract.CONTROL_PROCEDURES, *contract.OPERATOR_PROCEDURES)
    uris = [
        *map(contract.control_procedure, names),
        *map(contract.control_worker_procedure, contract.WORKER_PROCEDURES),
        *map(contract.event_topic, contract.EVENT_TOPICS),
        *(errors.error_uri(getattr(errors, name)) for name in errors.__all__ if name[0].isupper()),
        contract.worker_procedure("NAME", "prepare"),
        contract.READING_TOPIC,
    ]
    assert [uri for uri in uris if uri not in wamp] == []
    records = [name for name, cls in vars(contract).items() if attrs.has(cls) and cls is not contract.Permission]
    assert [name for name in records if f'id="{name.lower()}"' not in wamp] == []
    http = (tmp_path / "http-api.html").read_text()
    assert [path for path in ENDPOINTS if path not in http] == []
    api = (tmp_path / "api.html").read_text()
    assert [name for name in errors.__all__ if name[0].isupper() and f'id="icefarm.errors.{name}"' not in api] == []
    assert {f'id="icefarm.client.{name}.reserve"' in api for name in ("Farm", "aio.Farm", "deferred.Farm")} == {True}
    # Links to edit a page need a repository; copied commands have no prompt.
    assert "Edit this page" not in api
    assert "formatCopyText(text, '$ '" in (tmp_path / "_static" / "copybutton.js").read_text()
    options = (tmp_path / "options.html").read_text()
    assert [verb for verb in VERBS if f"icefarm {verb}" not in options] == []


def test_the_page_on_the_command_line_names_every_verb() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    table = {word for row in re.findall(r"^\| (`.*?) \|", page, re.M) for word in re.findall(r"`([a-z]+)", row)}
    assert [verb for verb in VERBS if verb not in table] == []


def test_the_page_on_the_command_line_speaks_of_options_that_there_are() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    spoken = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page))
    options = options_text()
    assert [option for option in sorted(spoken) if not re.search(rf"(?<![\w-]){option}\b", options)] == []


def test_the_page_on_wamp_is_as_the_code_and_the_examples_make_it() -> None:
    committed = (ROOT / "docs" / "wamp.md").read_text(encoding="utf-8")
    assert committed == made_page("wamp_page"), "run: .venv/bin/python docs/_ext/wamp_page.py"


def options_text() -> str:
    return made_page("options_page")


def made_page(module: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; sys.stdout.write({module}.page())"],
        env={"PYTHONPATH": str(ROOT / "docs" / "_ext"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_blocks_of_python_are_python(path: Path) -> None:
    for _, block in _PYTHON.findall(path.read_text()):
        ast.parse(dedent(block))


def test_pages_that_are_made_from_the_code_are_those_that_are_left_out_of_git_and_of_the_tests_of_blocks() -> None:
    made = re.findall(r'"(\S+\.md)": ', (ROOT / "docs" / "_ext" / "made_pages.py").read_text())
    assert sorted(f"docs/{name}" for name in made) == sorted(MADE)
    assert {f"/docs/{name}" for name in made} <= set((ROOT / ".gitignore").read_text().splitlines())
