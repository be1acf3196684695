"""Text of debug lines that the router does not log is not made."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import pytest

from icefarm.farm.router.inside.icefarm_plain_text import SPARED, plain, spare


@pytest.fixture
def recursion_limit() -> Iterator[None]:
    """Crossbar.io imports py_ecc, which raises the limit so far that deep JSON overflows the stack in a later test."""
    limit = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.usefixtures("recursion_limit")
@pytest.mark.parametrize("name", list(SPARED))
def test_the_router_has_what_is_replaced(name: str) -> None:
    pytest.importorskip("crossbar", reason="the router is in an environment of its own")
    module = import_module(name)
    assert [function for function in SPARED[name] if not hasattr(module, function)] == []


def test_functions_that_are_there_are_replaced_and_nothing_is_added() -> None:
    dealer = ModuleType("crossbar.router.dealer")
    dealer.hlid = dealer.other = repr  # type: ignore[attr-defined]
    spare({"crossbar.router.dealer": dealer})
    assert dealer.hlid is plain  # type: ignore[attr-defined]
    assert dealer.other is repr  # type: ignore[attr-defined]
    assert not hasattr(dealer, "hltype")


def test_what_is_to_be_shown_stays_as_it_is_until_somebody_logs_it() -> None:
    value = object()
    assert plain(value, "GRANTED", color="green") is value
