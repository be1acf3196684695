"""The layers hold: imports go down only, and what calls itself pure is held to it by every tool.

`lint-imports` (.importlinter) checks the imports themselves, as part of ``make lint``.
"""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Module(NamedTuple):
    """What is said of itself by a module, and what it defines."""

    docstring: str
    classes: list[str]


@cache
def _modules() -> dict[str, Module]:
    """Return all modules by name; it takes seconds to parse them."""
    found = {}
    for path in (ROOT / "icefarm").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
        found[name] = Module(ast.get_docstring(tree) or "", classes)
    return found


def _pure_by_docstring() -> set[str]:
    return {name for name, module in _modules().items() if module.docstring.startswith("Pure:")}


def _pure_by_import_linter() -> set[str]:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    patterns = contracts["importlinter:contract:pure"]["source_modules"].split()
    return {name for name in _modules() if any(fnmatch(name, pattern) for pattern in patterns)}


def _strict_by_mypy() -> list[str]:
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["overrides"]
    strict = [override for override in overrides if override.get("disallow_untyped_defs")]
    return [pattern for override in strict for pattern in override["module"]]


def test_what_calls_itself_pure_is_held_to_it() -> None:
    assert _pure_by_docstring() == _pure_by_import_linter()


def test_pure_modules_are_typed_strictly() -> None:
    strict = _strict_by_mypy()
    loose = [name for name in _pure_by_docstring() if not any(fnmatch(name, pattern) for pattern in strict)]
    assert loose == []


def test_every_module_says_what_it_does() -> None:
    silent = [name for name, module in _modules().items() if not module.docstring]
    assert silent == []


def test_the_page_about_the_architecture_names_what_is_at_the_top() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page.partition("## The top of icefarm\n")[2].partition("\n\nThey stay")[0].partition("|---|---|\n")[2]
    named = [name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line.split("|")[2])]
    there = {path.stem for path in (ROOT / "icefarm").iterdir() if path.is_dir() or path.suffix == ".py"}
    assert sorted(named) == sorted(name for name in there if not name.startswith("_"))


def test_no_two_classes_share_a_name() -> None:
    """Except the faces of the client, each of which has its own, and the options of the two twistd plugins."""
    faces = {"ArchivedRun", "Boards", "Device", "Experiment", "Farm", "Result", "Results"}
    homes: dict[str, list[str]] = {}
    for name, module in _modules().items():
        for each in module.classes:
            of_client = name.startswith("icefarm.client.") and each in faces
            if not each.startswith("_") and not of_client:
                homes.setdefault(each, []).append(name)
    shared = {name: sorted(modules) for name, modules in homes.items() if len(modules) > 1}
    assert shared == {"Options": ["icefarm.control.tap", "icefarm.worker.tap"]}
