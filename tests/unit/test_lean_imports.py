"""What a process does not import: nothing costs as much before the first answer as imports that nobody uses."""

from __future__ import annotations

import pytest
from imports import imported

thorough = pytest.mark.thorough

#: Packages that take long to import.
TWISTED = ("twisted", "autobahn", "OpenSSL")
HEAVY = (*TWISTED, "numpy", "asyncio", "rich", "importlib.metadata", "cattrs")


def _command(*arguments: str) -> str:
    return f"sys.argv[:] = ['icefarm', *{arguments!r}]\nfrom icefarm.cli import main\nmain()"


def test_neither_a_script_nor_a_command_imports_what_takes_long() -> None:
    # The commonest of all, in one process, so that `make check` has it, too.
    assert imported(f"from icefarm.client import Farm, Result\n{_command('devices', '--help')}", HEAVY) == []


@thorough
def test_the_check_sees_what_is_imported() -> None:
    assert imported("import asyncio", HEAVY) == ["asyncio"]


@thorough
def test_the_list_of_verbs_imports_nothing_that_takes_long() -> None:
    assert imported(_command("--help"), HEAVY) == []


@thorough
@pytest.mark.parametrize("verb", ["devices", "evaluate", "watch", "end", "simulate"])
def test_the_help_of_a_verb_imports_nothing_that_takes_long(verb: str) -> None:
    assert imported(_command(verb, "--help"), HEAVY) == []


@thorough
@pytest.mark.parametrize(
    "statement",
    ["from icefarm.client import Farm", "from icefarm.client.aio import Farm", "from icefarm.client import Result"],
)
def test_a_script_imports_twisted_only_when_it_makes_a_farm(statement: str) -> None:
    assert imported(statement, HEAVY) == []


@thorough
def test_a_farm_imports_no_numpy() -> None:
    assert imported("import icefarm.wamp.link, icefarm.client.api.reactor_thread", ("numpy", "bjdata")) == []
