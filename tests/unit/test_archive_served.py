"""Whose the rows of a reservation are is asked once."""

from __future__ import annotations

from typing import Any

from icefarm.control.archive.copying.served import MOST, ServedReservations


class Reservations:
    """A cursor of a database in which a worker serves some."""

    def __init__(self, **served: str) -> None:
        self.served = served
        self.asked: list[set[str]] = []
        self._found: list[tuple[str, str, str]] = []

    def execute(self, _: str, fields: dict[str, Any]) -> None:
        self.asked.append(set(fields["ids"]))
        self._found = [(id, "A", "ada") for id in fields["ids"] if self.served.get(id) == fields["worker"]]

    def fetchall(self) -> list[tuple[str, str, str]]:
        return self._found


def test_a_reservation_is_asked_for_once_and_one_that_is_not_the_workers_each_time() -> None:
    served, cursor = ServedReservations(), Reservations(r1="w1", r2="w2")
    assert served.of("w1", {"r1", "r2"}, cursor) == {"r1": ("A", "ada")}
    # It came to this worker meanwhile.
    cursor.served["r2"] = "w1"
    assert served.of("w1", {"r1", "r2"}, cursor).keys() == {"r1", "r2"}
    assert served.of("w1", {"r1", "r2"}, cursor).keys() == {"r1", "r2"}
    assert cursor.asked == [{"r1", "r2"}, {"r2"}]


def test_what_one_worker_serves_says_nothing_of_another() -> None:
    served, cursor = ServedReservations(), Reservations(r1="w1")
    assert served.of("w1", {"r1"}, cursor)
    assert served.of("w2", {"r1"}, cursor) == {}


def test_too_many_are_forgotten_and_asked_for_again() -> None:
    many = {f"r{number}" for number in range(MOST + 1)}
    served, cursor = ServedReservations(), Reservations(**dict.fromkeys([*many, "last"], "w1"))
    served.of("w1", many, cursor)
    assert served.of("w1", {"r0", "last"}, cursor).keys() == {"r0", "last"}
    assert cursor.asked[1] == {"r0", "last"}
