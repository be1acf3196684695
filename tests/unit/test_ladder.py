"""One script on each rung of the ladder, and nothing virtual for who did not ask for it where there are real boards."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from icefarm.client import Farm
from icefarm.contract import DeviceRecord, DeviceStatus, ReservationRecord, WorkerRecord
from icefarm.control.scheduling.elastic import GROWS, groups
from icefarm.control.scheduling.fair_queue import QueuedRequest, decide
from icefarm.control.scheduling.placement import ReservationRequest
from icefarm.errors import Unavailable
from icefarm.kinds import Kinds
from icefarm.selectors.boards import names_virtual, parse_boards
from icefarm.testing.in_memory import FarmInMemory
from icefarm.worker.flash.images import Images
from icefarm.worker.sources import VirtualBoards

EXAMPLES = Path(__file__).parents[2] / "examples"
LADDER = runpy.run_path(str(EXAMPLES / "ladder.py"))
CIRCUITS = [str(path) for path in sorted((EXAMPLES / "circuits").glob("square_*.bin"))]


@contextmanager
def rung(model: str) -> Iterator[FarmInMemory]:
    with FarmInMemory(boards=2, model=model) as farm:
        yield farm


def climb(farm: FarmInMemory, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the script on a farm."""

    def connected() -> Farm:
        return farm.client(name="ladder")

    monkeypatch.setitem(LADDER["main"].__globals__, "Farm", connected)
    LADDER["main"](where, CIRCUITS)


@pytest.mark.parametrize("model", ["landscape", "simulated"])
def test_the_script_measures_on_the_rung_that_its_selector_names(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with rung(model) as farm:
        climb(farm, model, monkeypatch)
        with farm.client(name="other") as other, pytest.raises(Unavailable, match="real leaves 0"):
            other.reserve(1, where="real")
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(CIRCUITS)
    assert {origin for _, origin, _ in lines} == {model}


def test_the_same_script_measures_on_real_boards(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real as far as the farm knows: their worker does not say that they are virtual."""
    virtual = VirtualBoards.images

    async def images(self: VirtualBoards, kinds: Kinds) -> Images:
        return evolve(await virtual(self, kinds), model=None)

    monkeypatch.setattr(VirtualBoards, "images", images)
    with rung("simulated") as farm:
        climb(farm, "real", monkeypatch)
        with farm.client(name="other") as other:
            with pytest.raises(Unavailable, match="virtual leaves 0"):
                other.reserve(1, where="virtual")
            with other.reserve(1) as boards:
                assert len(boards) == 1
    assert len(capsys.readouterr().out.splitlines()) == len(CIRCUITS)


# ------------------------------------------------------------------------------------------- who did not ask for it

NOW = 1_000_000.0
WORKER = WorkerRecord("w1", "online", False, "host", "1.0", ["pulsecount"], 0, NOW)
#: Selectors that allow virtual boards, and those that do not.
ALLOW = [
    "virtual",
    "simulated and lab=1",
    "landscape or healthy",
    "real or virtual",
    "not virtual=false",
    "lab=1 and virtual",
]
FORBID = [
    *(None, "real", "healthy", "lab=1", "not landscape", "healthy and not (simulated or landscape)"),
    *("virtual=false or lab=1", "not virtual", "lab=1 or not simulated"),
]


def board(number: int, model: str | None, holder: str | None, lab: int) -> DeviceRecord:
    held = (holder, f"r{number}", "pulsecount") if holder else (None, None, None)
    record = DeviceRecord(
        f"B{number}", "w1", DeviceStatus.AVAILABLE, None, None, None, None, None, None, None, 0, 0, 0, None, 0.0,
        model=model, labels={"lab": str(lab)},
    )  # fmt: skip
    return evolve(record, client=held[0], reservation=held[1], kind=held[2])


@pytest.mark.parametrize("text", ALLOW)
def test_a_selector_that_wants_virtual_boards_allows_them(text: str) -> None:
    assert names_virtual(parse_boards(text))


@pytest.mark.parametrize("text", FORBID[1:])
def test_a_selector_that_excludes_some_or_says_nothing_of_them_does_not(text: Any) -> None:
    assert not names_virtual(parse_boards(text))


MODELS = st.sampled_from([None, "simulated", "landscape", "simulated,landscape"])
BOARDS = st.lists(st.tuples(MODELS, st.sampled_from([None, None, "eve"]), st.integers(1, 2)), min_size=1, max_size=8)
REQUESTS = st.lists(
    st.tuples(st.sampled_from([*ALLOW, *FORBID]), st.integers(1, 4), st.booleans(), st.booleans()), max_size=6
)


@settings(max_examples=100, deadline=None)
@given(BOARDS, REQUESTS)
def test_where_there_are_real_boards_nothing_virtual_is_given_to_who_did_not_ask_for_it(
    shelf: list[tuple[str | None, str | None, int]], asked: list[tuple[str | None, int, bool, bool]]
) -> None:
    boards = [board(number, *each) for number, each in enumerate(shelf)]
    held = [
        ReservationRecord(
            *(f"r{number}", f"B{number}", "w1", "eve", "pulsecount", {}, NOW, NOW + 60),
            request="g",
            wanted=8,
            at_least=1,
        )
        for number, (_, holder, _) in enumerate(shelf)
        if holder is not None
    ]
    queue = [
        QueuedRequest(
            f"{GROWS if grows else ''}q{number}", f"c{number}",
            ReservationRequest("pulsecount", amount, at_least=1 if fewer else None,
                               where=None if where is None else parse_boards(where)),
            number=number, since=NOW - 1e4, grows=grows,
        )
        for number, (where, amount, fewer, grows) in enumerate(asked)
    ]  # fmt: skip
    model_of = {each.serial: each.model for each in boards}
    allowed = {queued.id: names_virtual(queued.request.where) for queued in queue}
    for verdict in decide(queue, boards, [WORKER], NOW, lenders=groups(held)):
        if None in model_of.values() and not allowed[verdict.id]:
            assert [model_of[serial] for serial in [*verdict.serials, *verdict.asks]] == [None] * len(
                [*verdict.serials, *verdict.asks]
            )
