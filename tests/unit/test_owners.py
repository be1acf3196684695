"""Which worker has which board: `icefarm.control.storage.mirror`."""

from __future__ import annotations

from recording_farm import device

from icefarm.control.storage.mirror import BoardOwners
from icefarm.control.telemetry.events import BoardsChanged, BoardsDeleted


def test_a_board_belongs_to_the_worker_that_it_was_last_seen_at() -> None:
    owners = BoardOwners()
    owners.heard(BoardsChanged([device("A", worker="pi1"), device("B", worker="pi1")]))
    owners.heard(BoardsChanged([device("A", worker="pi2")]))
    assert (owners.worker_of("A"), owners.worker_of("B"), len(owners)) == ("pi2", "pi1", 2)


def test_what_the_database_had_does_not_replace_what_was_heard_since() -> None:
    owners = BoardOwners()
    owners.heard(BoardsChanged([device("A", worker="pi2")]))
    owners.learn([device("A", worker="pi1"), device("B", worker="pi1")])
    assert (owners.worker_of("A"), owners.worker_of("B")) == ("pi2", "pi1")


def test_a_board_that_is_deleted_belongs_to_no_worker() -> None:
    owners = BoardOwners()
    owners.learn([device("A", worker="pi1")])
    owners.heard(BoardsDeleted(["A", "unknown"]))
    assert (owners.worker_of("A"), len(owners)) == (None, 0)
