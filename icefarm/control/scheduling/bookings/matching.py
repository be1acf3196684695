"""Pure: no I/O, no clock.  Which boards meet the claims of bookings at one moment.

`assign` goes through the boards in order of preference and takes one if all claims together can still use it.  That is
the greedy algorithm on a transversal matroid, so it serves as many claims as can be, with the boards that come first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from attrs import define, field, frozen

from icefarm.contract import BookingRecord

__all__ = ["Claim", "Matching", "assign"]


@frozen
class Claim:
    """What a booking claims at a moment: so many of these boards, which are free or held by its own accounts."""

    booking: BookingRecord
    amount: int
    boards: frozenset[str]
    #: Those of them that its own accounts hold.
    own: frozenset[str] = frozenset()


@define
class Matching:
    """Boards for claims; takes one more at a time."""

    claims: Sequence[Claim]
    given: list[set[str]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.given = [set() for _ in self.claims]

    @property
    def missing(self) -> int:
        """How many boards the claims lack."""
        return sum(claim.amount - len(given) for claim, given in zip(self.claims, self.given, strict=True))

    def owners(self) -> dict[str, BookingRecord]:
        """Return whose each board is."""
        both = zip(self.claims, self.given, strict=True)
        return {serial: claim.booking for claim, given in both for serial in given}

    def add_all(self, order: Iterable[str]) -> None:
        """Take the boards that are of use, in this order, as long as any is."""
        for serial in order:
            if not self.missing:
                return
            if not any(serial in given for given in self.given):
                self.add(serial)

    def add(self, serial: str) -> None:
        """Take a board, if the claims can use one more; others may change their claim for it."""
        # Each claim that was reached: the board that it would get, and the claim that gives it away.
        reached: dict[int, tuple[str, int | None]] = {
            number: (serial, None) for number, claim in enumerate(self.claims) if serial in claim.boards
        }
        line = deque(reached)
        while line:
            number = line.popleft()
            if len(self.given[number]) < self.claims[number].amount:
                self._pass_on(number, reached)
                return
            for other, claim in enumerate(self.claims):
                movable = self.given[number] & claim.boards if other not in reached else None
                if movable:
                    reached[other] = (min(movable), number)
                    line.append(other)

    def _pass_on(self, number: int | None, reached: Mapping[int, tuple[str, int | None]]) -> None:
        while number is not None:
            serial, before = reached[number]
            if before is not None:
                self.given[before].discard(serial)
            self.given[number].add(serial)
            number = before


def assign(claims: Sequence[Claim], order: Iterable[str]) -> tuple[dict[str, BookingRecord], int]:
    """Assign boards to claims, the first in ``order`` if there is a choice; return each claim, and the shortage."""
    matching = Matching(claims)
    matching.add_all(order)
    return matching.owners(), matching.missing
