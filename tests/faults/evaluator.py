"""A client's program: reserves boards, evaluates circuits, gives boards back; tells all of it as JSON, a line each.

It ends when it has done its rounds, or when its standard input closes.
"""

from __future__ import annotations

import argparse
import json
import select
import sys
import time
from collections import deque
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from icefarm.client import Boards, Farm
from icefarm.client.connection.events import BoardsChange, ClientEvent
from icefarm.client.evaluation.results import Result
from icefarm.errors import IcefarmError, ReservationEnded


class _Numbered(str):
    """The path of a circuit, and the number of the item that it is."""

    number: int


def tell(event: str, **fields: Any) -> None:
    # In one piece: events arrive in another thread.
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


class Evaluator:
    """Carries out rounds: each reserves, evaluates some items, and ends its reservations."""

    def __init__(self, farm: Farm, options: argparse.Namespace) -> None:
        self.farm = farm
        self.options = options
        self.random = Random(options.seed)
        self.circuits = len(list(Path(options.circuits).glob("*.bin")))
        self.numbers = count()
        #: Items that have been given to the client and not answered; those to be given again first.
        self.owed: dict[int, _Numbered] = {}
        self.again: deque[_Numbered] = deque()

    def run(self) -> None:
        rounds = 0
        while self.again or (not self.told_to_end() and rounds < (self.options.rounds or float("inf"))):
            rounds += self.round()
            time.sleep(self.random.uniform(0.0, self.options.pause))
        tell("end", asked=next(self.numbers), owed=sorted(self.owed))

    def round(self) -> bool:
        """Tell whether it came to its end."""
        amount = self.options.boards if self.options.boards > 0 else self.random.randint(1, -self.options.boards)
        try:
            boards = self.farm.reserve(
                amount,
                wait=True,
                timeout=self.options.patience,
                window=self.options.window,
                where=self.options.where,
                overlap=True,
                **self.terms(),
            )
        except IcefarmError as error:
            tell("refused", error=error.name, message=error.message)
            return False
        tell("reserved", boards={record.serial: record.id for record in boards.reservations})
        done = self.evaluate(boards)
        try:
            boards.end()
        except IcefarmError as error:
            tell("not ended", error=error.name, message=error.message)
        tell("given back")
        return done

    def terms(self) -> Any:
        """Return how its boards are shared with others."""
        if not self.options.lend:
            return {}
        return {"at_least": 1, "preemptible": True, "priority": 10.0, "on_boards_changed": changed}

    def evaluate(self, boards: Boards) -> bool:
        try:
            for result in boards.evaluate(self.items()):
                self.answered(result)
        except ReservationEnded as error:
            tell("deserted", message=error.message)
            self.again.extend(self.owed.values())
            return False
        if self.options.hold:
            tell("holding")
            sys.stdin.read()
        return True

    def items(self) -> Iterator[_Numbered]:
        """Yield the items of a round: those that are owed first."""
        amount = self.options.items if self.options.items >= 0 else self.random.randint(1, -self.options.items)
        fresh = count() if amount == 0 else range(amount - len(self.again))
        while self.again:
            yield self.again.popleft()
        for _ in fresh:
            if self.told_to_end():
                return
            number = next(self.numbers)
            item = _Numbered(Path(self.options.circuits, f"{number % self.circuits}.bin"))
            item.number = number
            self.owed[number] = item
            yield item

    def answered(self, result: Result) -> None:
        number = result.source.number
        self.owed.pop(number, None)
        if result.error is not None:
            tell("failure", item=number, error=result.error.name, message=result.error.message)
            return
        measured = result.measurement
        tell(
            "answer",
            item=number,
            evaluation_id=measured.evaluation_id,
            circuit=int(Path(result.source).stem),
            serial=measured.serial,
            value=measured.value,
            window_us=measured.window_us,
            attempt=measured.attempt,
            started_at=measured.started_at,
        )

    def told_to_end(self) -> bool:
        return bool(select.select([sys.stdin], [], [], 0)[0])


def heard(event: ClientEvent) -> None:
    tell("told", name=event.name, serial=event.serial, reason=event.reason)


def changed(change: BoardsChange) -> None:
    tell("changed", came=change.came, left=change.left, reason=change.reason)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--circuits", required=True)
    parser.add_argument("--boards", type=int, default=1, help="to reserve; -N: 1 to N, at random")
    parser.add_argument("--where", help="which boards")
    parser.add_argument("--items", type=int, default=0, help="in a round; -N: 1 to N, at random; 0: without end")
    parser.add_argument("--rounds", type=int, default=1, help="0: without end")
    parser.add_argument("--window", type=float, default=1.0)
    parser.add_argument("--patience", type=float, default=60.0, help="seconds in the queue")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two rounds, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lend", action="store_true", help="give boards to others, down to one, and get them back")
    parser.add_argument("--hold", action="store_true", help="keep the boards until standard input closes")
    options = parser.parse_args()
    with Farm(options.url, name=options.name, connect_timeout=30.0, on_event=heard) as farm:
        Evaluator(farm, options).run()


if __name__ == "__main__":
    main()
