"""A database that has lost boards of a worker gets them back from the worker."""

from __future__ import annotations

from pytest_twisted import ensureDeferred

from icefarm.contract import WorkerHello
from icefarm.control.inventory.agreement import CountAgreement
from icefarm.control.storage.shared import FRESH
from icefarm.testing.memory.control_harness import PULSECOUNT, MemoryControl


def test_a_heartbeat_that_agrees_asks_for_nothing() -> None:
    agreement = CountAgreement()
    agreement.greeted("w", 4, 4)
    assert agreement.beats("w", 4, 4)
    assert agreement.beats("w", 3, 4)


def test_boards_that_are_missing_twice_in_a_row_are_asked_for() -> None:
    agreement = CountAgreement()
    agreement.greeted("w", 4, 4)
    assert agreement.beats("w", 4, 3)
    assert not agreement.beats("w", 4, 3)


def test_of_a_worker_whose_hello_could_not_be_stored_no_board_may_be_missing() -> None:
    agreement = CountAgreement()
    agreement.greeted("w", 5, None)
    assert agreement.beats("w", 5, 4)
    assert not agreement.beats("w", 5, 4)


def test_a_hello_begins_anew_for_its_worker_alone() -> None:
    agreement = CountAgreement()
    for worker in ("v", "w"):
        agreement.greeted(worker, 4, 4)
        assert agreement.beats(worker, 4, 3)
    agreement.greeted("w", 4, 4)
    assert agreement.beats("w", 4, 3)
    assert not agreement.beats("v", 4, 3)


def test_boards_that_were_missing_after_the_hello_may_be_missing_and_no_more() -> None:
    agreement = CountAgreement()
    agreement.greeted("w", 4, 3)
    for _ in range(3):
        assert agreement.beats("w", 4, 3)
    assert agreement.beats("w", 4, 2)
    assert not agreement.beats("w", 4, 2)


def test_what_is_not_known_settles_a_doubt() -> None:
    for present, stored in ((None, 3), (4, None)):
        agreement = CountAgreement()
        agreement.greeted("w", 4, 4)
        assert agreement.beats("w", 4, 3)
        assert agreement.beats("w", present, stored)
        assert agreement.beats("w", 4, 3)


def test_a_report_that_arrives_between_two_heartbeats_settles_it() -> None:
    agreement = CountAgreement()
    agreement.greeted("w", 4, 4)
    assert agreement.beats("w", 5, 4)
    assert agreement.beats("w", 5, 5)
    assert agreement.beats("w", 6, 5)


def test_boards_that_were_refused_at_the_hello_are_not_asked_for_again() -> None:
    agreement = CountAgreement()
    agreement.greeted("w", 4, 3)
    assert all(agreement.beats("w", 4, 3) for _ in range(5))
    agreement.beats("w", 4, 2)
    assert not agreement.beats("w", 4, 2)


def test_a_worker_of_an_earlier_version_and_a_database_that_is_away_ask_for_nothing() -> None:
    agreement = CountAgreement()
    assert all(agreement.beats("w", None, 0) and agreement.beats("w", 4, None) for _ in range(5))


@ensureDeferred
async def test_a_farm_whose_inventory_was_falsified_heals_with_the_workers_heartbeats() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A1", "A2")
    client = await farm.client("ada")
    empty = WorkerHello("w1", "forged", "host", "1.0", [PULSECOUNT], [])
    await farm.store.hello(empty)
    # Control reads anew what somebody else has changed in the database.
    farm.clock.advance(FRESH)
    await client.call("available")
    assert (await client.call("available"))["amount"] == 0
    beats = [await worker.heartbeat() for _ in range(2)]
    assert beats == [True, False]
    assert (await client.call("available"))["serials"] == ["A1", "A2"]
