"""Pure: no I/O, no clock.  What the farm should reach on two cores, and what icefarm 0.1.16 was measured to do.

The figures of 0.1.16 were taken on a machine of the same class, with boards that answer at once (4 to 200 of them).  It
has two servers, which differ: each text names its own.  "240 ms" is what its users see with real boards.  Where figures
vary, ``existing`` is the best one, and the text has all.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

__all__ = ["GOALS", "Comparison", "Goal", "compare"]


@frozen
class Goal:
    """A figure to reach."""

    name: str
    unit: str
    #: The goal; None if there is only a figure to compare with.
    goal: float | None
    #: The better end of what 0.1.16 was measured to do; None where it never got there.
    existing: float | None
    #: The same in words.
    existing_text: str
    more_is_better: bool = False


def _of_forms() -> Iterator[Goal]:
    """Yield the goals of each form of circuits, with 64 boards."""
    alone = "not measured"
    yield Goal("evaluations a second, 64 boards, sparse", "/s", 2000, None, alone, more_is_better=True)
    for party, goal in (("client", 0.30), ("router", 0.05), ("worker", 0.35)):
        yield Goal(f"CPU per evaluation of the {party}, 64 boards, sparse", "ms", goal, None, alone)
    yield Goal("CPU per evaluation but the boards', 64 boards, sparse", "ms", 0.7, None, alone)
    yield Goal("CPU per evaluation but the boards', 64 boards, dense", "ms", 3.0, None, alone)
    yield Goal("CPU per evaluation but the boards', 64 boards, related", "ms", 1.5, None, alone)
    yield Goal("bytes on the wire per evaluation, related", "B", 1000, None, alone)
    for form in ("", ", sparse", ", dense", ", related"):
        for together in (1, 16):
            name = f"part of the bare router's rate, {together} in a message, 64 boards{form}"
            yield Goal(name, "", None, None, "", more_is_better=True)


def _of_many_boards() -> Iterator[Goal]:
    """Yield the goals of farms with many boards that take no time, unless they say so."""
    never = "never (production)"
    yield Goal("reserve all, 1000 boards", "s", 2, None, never)
    yield Goal("all are free again, 1000 boards", "s", 3, None, never)
    yield Goal("available(), p50, 1000 boards", "ms", 2, None, never)
    yield Goal("part of real boards' rate, one client, 1000 boards", "", 0.95, None, never, more_is_better=True)
    yield Goal("CPU per evaluation, 1000 boards, real speed", "ms", 1.0, None, never)
    for boards, goal in ((1000, 5), (2000, 8)):
        yield Goal(f"router killed, until each board has evaluated, {boards} boards", "s", goal, None, never)
    yield Goal("idle control, 4000 boards", "% of a core", 5, None, never)


GOALS = {
    goal.name: goal
    for goal in (
        Goal("evaluations a second, 1 board", "/s", None, 53, "53 (debug)", more_is_better=True),
        Goal("evaluations a second, 4 boards", "/s", None, 140, "95 to 140 (debug)", more_is_better=True),
        Goal(
            "evaluations a second, 64 boards",
            "/s",
            1000,
            218,
            "160 to 218 (debug), 115 (production)",
            more_is_better=True,
        ),
        Goal("evaluations a second, 200 boards", "/s", None, 228, "137 to 228 (debug)", more_is_better=True),
        Goal(
            "new small circuits simulated a second, 64 boards",
            "/s",
            500,
            None,
            "none are simulated",
            more_is_better=True,
        ),
        Goal(
            "known small circuits simulated a second, 64 boards",
            "/s",
            500,
            None,
            "none are simulated",
            more_is_better=True,
        ),
        Goal("CPU per evaluation but the boards', 64 boards", "ms", 1.5, 6.2, "6.2 to 7.6 (debug), 11.7 (production)"),
        *_of_forms(),
        *_of_many_boards(),
        Goal("one evaluation, submit to result, p50", "ms", 2, 32, "32 (debug), 100 (production)"),
        # The goal of 2 ms was set where a bare call, one at a time over RawSocket, took 0.6 ms.
        Goal("the same, in calls that are alone over the bare router, p50", "", 3.3, None, "not measured"),
        Goal("reserve to ready, 1 board", "s", 0.1, 2.05, "2.05 (debug)"),
        Goal("reserve to ready, 64 boards", "s", 1, 2.6, "2.6 (debug), 128.9 (production)"),
        Goal("reserve to ready, 200 boards", "s", 3, None, "never (production)"),
        Goal("threads of the worker, 200 boards", "", None, 2225, "2225 (debug)"),
        Goal("bytes on the wire per evaluation", "B", None, 105_000, "105 kB (debug)"),
        Goal("CPU per evaluation of the archive", "ms", 0.1, None, "keeps no measurements"),
        Goal("beyond a window of 0.1 s, 16 real boards", "ms", 45, 240, "240 (server unknown)"),
        Goal("beyond a window of 1 s, 16 real boards", "ms", 45, 240, "240 (server unknown)"),
    )
}


@frozen
class Comparison:
    """A measured figure beside its goal."""

    goal: Goal
    measured: float

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None without a goal."""
        wanted = self.goal.goal
        if wanted is None:
            return None
        return self.measured >= wanted if self.goal.more_is_better else self.measured <= wanted

    @property
    def ratio(self) -> float | None:
        """How many times as good as the existing system's."""
        existing = self.goal.existing
        if existing is None or self.measured == 0:
            return None
        return self.measured / existing if self.goal.more_is_better else existing / self.measured


def compare(figures: dict[str, float]) -> list[Comparison]:
    """Put figures beside what is known of them, in the order of `GOALS`."""
    return [Comparison(goal, figures[name]) for name, goal in GOALS.items() if name in figures]
