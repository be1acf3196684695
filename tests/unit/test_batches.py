"""What is asked for one by one is carried out together when it is busy."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from twisted.internet.defer import Deferred

from icefarm.control.inventory.board_reports import Batches
from icefarm.errors import Busy


class Writer:
    """Carries out batches; each ends when the test says so."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.ends: list[Deferred[None]] = []
        self.asked: Batches[int, int] = Batches(self.write)

    async def write(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.ends.append(Deferred())
        await self.ends[-1]
        return [10 * number for number in numbers]

    def quiet(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.asked.quiet())


def test_a_lone_item_is_carried_out_at_once() -> None:
    writer = Writer()
    answer = writer.asked.put(1)
    assert writer.batches == [[1]]
    writer.ends[0].callback(None)
    assert answer.result == 10


def test_items_that_come_while_others_are_carried_out_share_the_next_batch() -> None:
    writer = Writer()
    answers = [writer.asked.put(number) for number in range(5)]
    assert writer.batches == [[0]]
    writer.ends[0].callback(None)
    assert writer.batches == [[0], [1, 2, 3, 4]]
    writer.ends[1].callback(None)
    assert [answer.result for answer in answers] == [0, 10, 20, 30, 40]
    writer.asked.put(9)
    assert writer.batches[2:] == [[9]]


def test_an_error_is_that_of_its_batch_alone() -> None:
    writer = Writer()
    first, *others = [writer.asked.put(number) for number in range(3)]
    writer.ends[0].errback(Busy("away"))
    with pytest.raises(Busy):
        first.result.raiseException()  # type: ignore[attr-defined]
    first.addErrback(lambda _: None)
    writer.ends[1].callback(None)
    assert [answer.result for answer in others] == [10, 20]


def test_one_who_gives_up_has_its_item_carried_out_still() -> None:
    writer = Writer()
    writer.asked.put(0)
    gone, stays = writer.asked.put(1), writer.asked.put(2)
    gone.addErrback(lambda _: None)
    gone.cancel()
    writer.ends[0].callback(None)
    assert writer.batches[1] == [1, 2]
    writer.ends[1].callback(None)
    assert stays.result == 20


def test_it_is_quiet_once_all_that_was_put_so_far_has_ended() -> None:
    writer = Writer()
    assert writer.quiet().called
    writer.asked.put(0)
    first = writer.quiet()
    writer.asked.put(1)
    both = writer.quiet()
    writer.ends[0].callback(None)
    assert first.called
    assert not both.called
    writer.asked.put(2)
    writer.ends[1].callback(None)
    assert both.called
