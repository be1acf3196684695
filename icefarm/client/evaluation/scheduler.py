"""Pure: no I/O, no clock.  Which evaluation goes to which board next.

Theory of operation
===================
An item is for named boards (an answer from each), or for any board.  It becomes one task for each named board, or one
task for any::

             feed              sendable                succeeded
    item ----------> waiting ------------> in flight ------------> answered
                      ^                      |   |                    ^
                      +-- for any board: ----+   +-- for a named -----+
                          its board failed           board, or no other
                          or was lost                board may try it

An item that can't be sent, or whose boards take no part, is answered at once, with the error.

The caller feeds items (`feed`, `finish`), sends what `sendable` returns, and reports what happened (`succeeded`,
`failed`, `add_board`, `lose_board`).  Each report returns the answers that follow from it.

A task for any board goes to the board with the fewest evaluations in flight.  If that board fails, the task goes to
the head of the line, for a board that has not tried it.

What always holds:

- Each pair of an item and a named board has exactly one answer, and so has each item for any board.
- A task is in one place: in `_any`, in the queue of its board, or in flight on one board.
- No board has more than `depth` tasks in flight; ``_by_load[n]`` lists the boards that have ``n``.
- A task for any board fails on at most `TRIES` boards, on each of them once.
- The outcome of a task that was taken from a lost board gives no answer.
- A board that retires (`retire`) gets nothing new.  What is on its way to it and can be done elsewhere may be withdrawn
  (`movable`); what it had not begun comes back (`returned`), to the head of the line, as if it had not been sent.
- `wanted` bounds what waits: every board has its next tasks at hand, and at most `look_ahead` items wait for slow ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from attrs import Factory, define, field, frozen

from icefarm.client.evaluation.tasks import Blame, Item, Sending, Task, TaskOutcome, blame
from icefarm.errors import IcefarmError, InvalidArgument, NotYours, ReservationEnded

__all__ = ["DEPTH", "LOOK_AHEAD", "Dispatch", "WorkLeft"]

#: Evaluations in flight per board: one being measured, one being received, one on its way.
DEPTH = 3
#: Items that may wait for slower boards, so that faster ones never idle.
LOOK_AHEAD = 256
#: Boards that an item for any board is tried on.
TRIES = 3


@frozen
class WorkLeft:
    """What is left to do."""

    #: Every item has been answered and no more come.
    done: bool
    #: Nothing happens unless more items come, and how many more are taken.
    idle: bool
    wanted: int
    #: Whether there is a board.
    boards: bool


@define(eq=False)
class _BoardQueue:
    in_flight: dict[Sending, None] = Factory(dict)
    queue: deque[Task] = Factory(deque)


@define(eq=False)
class Dispatch:
    """The evaluations of one run.

    ``boards`` are their serials, ``depth`` bounds the evaluations in flight on each, ``fan_out`` is the number of
    boards that an item is for (1 for any), ``look_ahead`` bounds the waiting items.
    """

    _serials: Iterable[str]
    depth: int = field(default=DEPTH)
    fan_out: int = 1
    look_ahead: int = LOOK_AHEAD
    #: No more items come.
    exhausted: bool = field(init=False, default=False)
    in_flight: int = field(init=False, default=0)
    _boards: dict[str, _BoardQueue] = field(init=False, factory=dict)
    _lost: dict[str, IcefarmError] = field(init=False, factory=dict)
    _any: deque[Task] = field(init=False, factory=deque)
    #: Serials of the boards by the number of evaluations in flight; the one that got there last comes last.
    _by_load: list[dict[str, None]] = field(init=False)
    #: Boards that may have something to send from their own queue.
    _stirred: dict[str, None] = field(init=False, factory=dict)
    #: Boards whose worker is away.
    _away: set[str] = field(init=False, factory=set)
    #: Tasks that wait for a named board.
    _queued: int = field(init=False, default=0)
    #: Boards that get no items for any board for a while.
    _resting: set[str] = field(init=False, factory=set)
    #: Boards that are given back when what they have is done.
    _retiring: set[str] = field(init=False, factory=set)

    def __attrs_post_init__(self) -> None:
        if self.depth < 1 or self.look_ahead < 1 or self.fan_out < 1:
            raise InvalidArgument("depth, look_ahead and fan_out are at least 1")
        self._by_load = [{} for _ in range(self.depth + 1)]
        for serial in self._serials:
            self.add_board(serial)

    @property
    def boards(self) -> list[str]:
        """The serials of the participating boards."""
        return list(self._boards)

    @property
    def done(self) -> bool:
        """Whether every item has been answered and no more come."""
        return self.exhausted and not (self.in_flight or self._queued or self._any)

    @property
    def idle(self) -> bool:
        """Whether nothing happens unless more items come."""
        return not (self.in_flight or self._queued or self._any)

    @property
    def wanted(self) -> int:
        """How many more items it takes, so that every board has `depth` in flight and the next ones are ready."""
        if self.exhausted:
            return 0
        if not self._boards:
            return self.look_ahead
        target = 2 * self.depth - 1
        room = -len(self._any)
        for serial, board in self._boards.items():
            if serial in self._retiring:
                continue
            room += max(0, target - len(board.in_flight) - len(board.queue))
        spare = self.look_ahead - self._queued // self.fan_out
        return max(0, min(-(-room // self.fan_out), spare))

    def work_left(self) -> WorkLeft:
        """Return what is left to do."""
        return WorkLeft(self.done, self.idle, self.wanted, bool(self._boards))

    def feed(self, items: Iterable[Item], *, last: bool = False) -> list[TaskOutcome]:
        """Take items, the ``last`` ones perhaps; answer those that can't be sent at once."""
        answers: list[TaskOutcome] = []
        for item in items:
            answers += self._take(item)
        if last:
            self.finish()
        return answers

    def finish(self) -> None:
        """Note that no more items come."""
        self.exhausted = True

    def sendable(self) -> list[Sending]:
        """Take what to send now."""
        sendings: list[Sending] = []
        for serial in self._stirred:
            board = self._boards.get(serial)
            if board is None or serial in self._away:
                continue
            while board.queue and len(board.in_flight) < self.depth:
                self._queued -= 1
                sendings.append(self._send(board.queue.popleft(), serial, board))
        self._stirred.clear()
        passed: list[Task] = []
        while self._any and (free := self._least_loaded()) is not None:
            task = self._any.popleft()
            chosen = free if free not in task.tried else self._least_loaded(task.tried)
            if chosen is None:
                passed.append(task)
            else:
                sendings.append(self._send(task, chosen, self._boards[chosen]))
        self._any.extendleft(reversed(passed))
        return sendings

    def succeeded(self, sending: Sending, result: Any) -> list[TaskOutcome]:
        """Note a board's answer.  It is dropped if the task was taken from the board meanwhile."""
        if not self._landed(sending):
            return []
        return [TaskOutcome(sending.task.item, sending.serial, result)]

    def failed(self, sending: Sending, error: IcefarmError) -> list[TaskOutcome]:
        """Note a board's failure: the item moves to another board, or is answered with the error."""
        if not self._landed(sending):
            return []
        task = sending.task
        task.tried.append(sending.serial)
        task.error = error
        if blame(error) is Blame.ITEM or task.pinned is not None or not self._has_a_chance(task):
            return [TaskOutcome(task.item, sending.serial, error=error)]
        self._any.appendleft(task)
        return []

    def rest(self, serial: str) -> None:
        """Send a board that failed no items for any board, until `wake`.  Items for this very board go on."""
        if serial in self._boards:
            self._resting.add(serial)

    def wake(self, serial: str) -> None:
        """Let a board take part as before.  Harmless if it does."""
        self._resting.discard(serial)

    def retire(self, serial: str) -> None:
        """Give a board nothing more than what it has: what is on its way to it, and what waits for this very board."""
        if serial in self._boards:
            self._retiring.add(serial)

    def uses(self, serial: str) -> bool:
        """Tell whether something is on its way to a board, or waits for this very board."""
        board = self._boards.get(serial)
        return board is not None and bool(board.in_flight or board.queue)

    def movable(self, serial: str) -> list[Sending]:
        """Return what is on its way to a board and another board, which stays, may do as well."""
        board = self._boards.get(serial)
        if board is None:
            return []
        others = [other for other in self._boards if other != serial and other not in self._retiring]
        return [
            sending
            for sending in board.in_flight
            if sending.task.pinned is None and any(other not in sending.task.tried for other in others)
        ]

    def returned(self, sending: Sending) -> None:
        """Note that a board did not begin an evaluation for any board, and won't: another one gets it next."""
        if self._landed(sending):
            self._any.appendleft(sending.task)

    @property
    def last_loss(self) -> IcefarmError | None:
        """Why the board lost last was removed."""
        return next(reversed(self._lost.values()), None)

    def add_board(self, serial: str) -> None:
        """Add a board.  Harmless if it is already there."""
        if serial not in self._boards:
            self._lost.pop(serial, None)
            self._boards[serial] = _BoardQueue()
            self._by_load[0][serial] = None

    def board_away(self, serial: str) -> list[Sending]:
        """Note that a board does not answer now.

        Its items for any board move to boards that do, if there are any; those for this one wait.  Returns the sends
        to cancel.
        """
        if serial in self._boards:
            self._away.add(serial)
        return self._reclaim()

    def board_back(self, serial: str) -> list[Sending]:
        """Note that a board answers again; returns sends to cancel, as `board_away`."""
        self._away.discard(serial)
        self._stirred[serial] = None
        return self._reclaim()

    def lose_board(self, serial: str, error: IcefarmError) -> tuple[list[TaskOutcome], list[Sending]]:
        """Remove a board: its items for any board move to others, those for this one fail.

        Returns the answers, and the sends to cancel.  Harmless if it is not there.
        """
        board = self._boards.pop(serial, None)
        if board is None:
            return [], []
        self._resting.discard(serial)
        self._retiring.discard(serial)
        self._lost[serial] = error
        self._away.discard(serial)
        del self._by_load[len(board.in_flight)][serial]
        self.in_flight -= len(board.in_flight)
        self._queued -= len(board.queue)
        answers = []
        for task in reversed([*(sending.task for sending in board.in_flight), *board.queue]):
            task.error = error
            if task.pinned is not None:
                answers.append(TaskOutcome(task.item, serial, error=error))
            else:
                self._any.appendleft(task)
        return [*reversed(answers), *self._without_a_chance()], list(board.in_flight)

    def _reclaim(self) -> list[Sending]:
        """Take what any board can do from boards that are away, unless all are."""
        if len(self._away) == len(self._boards):
            return []
        boards = (self._boards[serial] for serial in self._away)
        moved = [sending for board in boards for sending in board.in_flight if sending.task.pinned is None]
        for sending in reversed(moved):
            self._landed(sending)
            self._any.appendleft(sending.task)
        return moved

    def _take(self, item: Item) -> Sequence[TaskOutcome]:
        if item.error is not None:
            return [TaskOutcome(item, serial, error=item.error) for serial in item.serials or (None,)]
        if item.serials is None:
            if not self._boards:
                return [TaskOutcome(item, None, error=self._no_board())]
            self._any.append(Task(item, None))
            return ()
        answers = []
        for serial in item.serials:
            board = self._boards.get(serial)
            if board is None or serial in self._retiring:
                answers.append(TaskOutcome(item, serial, error=self._absent(serial)))
            else:
                board.queue.append(Task(item, serial))
                self._queued += 1
                self._stirred[serial] = None
        return answers

    def _absent(self, serial: str) -> IcefarmError:
        if serial in self._retiring:
            return ReservationEnded(f"board {serial} is being given back: others wait for it", serial=serial)
        return self._lost.get(serial) or NotYours(f"board {serial} is not reserved", serial=serial)

    def _no_board(self) -> IcefarmError:
        return self.last_loss or NotYours("there is no board to evaluate on")

    def _least_loaded(self, without: Sequence[str] = ()) -> str | None:
        for serials in self._by_load[: self.depth]:
            for serial in serials:
                if serial not in without and not (
                    serial in self._resting or serial in self._away or serial in self._retiring
                ):
                    return serial
        return None

    def _send(self, task: Task, serial: str, board: _BoardQueue) -> Sending:
        sending = Sending(task, serial)
        load = len(board.in_flight)
        del self._by_load[load][serial]
        self._by_load[load + 1][serial] = None
        board.in_flight[sending] = None
        self.in_flight += 1
        return sending

    def _landed(self, sending: Sending) -> bool:
        board = self._boards.get(sending.serial)
        if board is None or sending not in board.in_flight:
            return False
        load = len(board.in_flight)
        del board.in_flight[sending]
        del self._by_load[load][sending.serial]
        self._by_load[load - 1][sending.serial] = None
        self.in_flight -= 1
        self._stirred[sending.serial] = None
        return True

    def _has_a_chance(self, task: Task) -> bool:
        return len(task.tried) < TRIES and any(serial not in task.tried for serial in self._boards)

    def _without_a_chance(self) -> list[TaskOutcome]:
        """Answer the items for any board that no remaining board may try."""
        hopeless = [task for task in self._any if not self._has_a_chance(task)]
        if hopeless:
            self._any = deque(task for task in self._any if self._has_a_chance(task))
        return [
            TaskOutcome(task.item, task.tried[-1] if task.tried else None, error=task.error or self._no_board())
            for task in hopeless
        ]
