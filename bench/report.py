"""The figures as text for users, and as a value for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import Any

import attrs
from attrs import Factory, define

from bench.archiving import ArchiveFigures
from bench.circuits import Mix
from bench.feeding import FeedFigures
from bench.goals import Comparison, compare
from bench.instant import InstantFigures, Stretch
from bench.many_boards import ManyFigures
from bench.real import RealFigures
from bench.simulated import SimulatedFigures

__all__ = [
    "Figures",
    "archive_lines",
    "comparison_lines",
    "feed_lines",
    "instant_lines",
    "real_lines",
    "simulated_lines",
]

#: The parties whose cost somebody pays for, in the way of an evaluation; ``boards`` is the simulation.
_PARTIES = ("client", "router", "control", "worker", "PostgreSQL", "supervisor", "boards")
_PERCENT = 100


@define
class Figures:
    """All that was measured."""

    #: Machine, versions, circuits, load.
    conditions: dict[str, Any]
    #: The form of the circuits: each has goals of its own.
    mix: Mix = Mix.MIXED
    instant: list[InstantFigures] = Factory(list)
    real: list[RealFigures] = Factory(list)
    simulated: list[SimulatedFigures] = Factory(list)
    #: The archive's cost: of rows that are fed to it, and of whole evaluations.
    rows: list[ArchiveFigures] = Factory(list)
    archive: list[ArchiveFigures] = Factory(list)
    feed: list[FeedFigures] = Factory(list)
    many: list[ManyFigures] = Factory(list)

    def compared(self) -> list[Comparison]:
        """Return the figures that there are goals for."""
        found: dict[str, float] = {}
        for figures in self.instant:
            found.update(_of_instant(figures, "" if self.mix is Mix.MIXED else f", {self.mix}"))
        for each in self.real:
            found[f"beyond a window of {each.window:g} s, {each.boards} real boards"] = each.beyond
        for figures_of in self.simulated:
            found[f"new small circuits simulated a second, {figures_of.boards} boards"] = figures_of.new_rate
            found[f"known small circuits simulated a second, {figures_of.boards} boards"] = figures_of.known_rate
        for cost in self.rows:
            found["CPU per evaluation of the archive"] = cost.cost
        for farm in self.many:
            # The goals are those of one router; a farm of several is compared with it by ratios.
            if farm.routers == 1:
                found.update(farm.beside_goals())
        return compare(found)

    def as_json(self) -> dict[str, Any]:
        """Return everything, with what is derived."""
        return {
            "conditions": self.conditions,
            "instant": [_instant_json(each) for each in self.instant],
            "real": [attrs.asdict(each) for each in self.real],
            "simulated": [_simulated_json(each) for each in self.simulated],
            "rows": [_archive_json(each) for each in self.rows],
            "archive": [_archive_json(each) for each in self.archive],
            "feed": [attrs.asdict(each) for each in self.feed],
            "many": [attrs.asdict(each) for each in self.many],
            "goals": [
                {**attrs.asdict(each.goal), "measured": each.measured, "met": each.met, "ratio": each.ratio}
                for each in self.compared()
            ],
        }


def _archive_json(figures: ArchiveFigures) -> dict[str, Any]:
    # JSON has no number for the infinite margin of a single pair.
    margin = figures.margin if isfinite(figures.margin) else None
    return {**attrs.asdict(figures), "cost": figures.cost, "margin": margin}


def _of_instant(figures: InstantFigures, form: str) -> dict[str, float]:
    boards, stretch = f"{figures.boards} board{'s' if figures.boards > 1 else ''}", figures.stretch
    found = {
        f"evaluations a second, {boards}{form}": stretch.rate,
        f"CPU per evaluation but the boards', {boards}{form}": stretch.cpu_without_boards,
        f"reserve to ready, {boards}": figures.median_ready,
        f"threads of the worker, {boards}": figures.accounts["worker"].threads,
        f"bytes on the wire per evaluation{form}": stretch.sent + stretch.received,
    }
    for party in ("client", "router", "worker"):
        found[f"CPU per evaluation of the {party}, {boards}{form}"] = stretch.cpu_ms.get(party, 0.0)
    for limit in figures.router:
        found[f"part of the bare router's rate, {limit.together} in a message, {boards}{form}"] = (
            stretch.rate / limit.circuits
        )
    if figures.boards == 1:
        found["one evaluation, submit to result, p50"] = figures.latency_at(0.5)
        found["the same, in calls that are alone over the bare router, p50"] = figures.latency_in_calls
    return found


def _instant_json(figures: InstantFigures) -> dict[str, Any]:
    stretches = [_stretch_json(each) for each in figures.stretches]
    return {
        "boards": figures.boards,
        "ready_s": list(figures.ready),
        "latency_ms": {"p50": figures.latency_at(0.5), "p99": figures.latency_at(0.99)},
        "lone_call_ms": {"p50": figures.lone_call},
        "stretches": stretches,
        "router": [{"together": each.together, "calls": each.calls} for each in figures.router],
        "accounts": {party: attrs.asdict(account) for party, account in figures.accounts.items()},
    }


def _stretch_json(stretch: Stretch) -> dict[str, Any]:
    return {**attrs.asdict(stretch), "rate": stretch.rate, "cpu_without_boards": stretch.cpu_without_boards}


def _simulated_json(figures: SimulatedFigures) -> dict[str, Any]:
    return {
        "boards": figures.boards,
        "new": [_stretch_json(each) for each in figures.new],
        "known": [_stretch_json(each) for each in figures.known],
    }


def instant_lines(figures: InstantFigures) -> Iterator[str]:
    """Tell of one farm."""
    stretch = figures.stretch
    rates = ", ".join(f"{each.rate:.0f}" for each in figures.stretches)
    others = ", ".join(f"{each.others:.1f}" for each in figures.stretches)
    paces = ", ".join(f"{each.pace:.1f}" for each in figures.stretches)
    ready = figures.ready
    yield f"{figures.boards} instant board{'s' if figures.boards > 1 else ''}"
    yield f"  evaluations/s            {stretch.rate:.0f} (of {rates}; cores busy with other things: {others})"
    for limit in figures.router:
        part = stretch.rate / limit.circuits
        yield (
            f"  bare router, {limit.together:2} together  "
            f"{limit.circuits:.0f} circuits/s in {limit.calls:.0f} calls/s; the farm does {part:.2f} of it"
        )
    yield f"  pace of the machine      {paces} ms for the same piece of Python"
    yield f"  one evaluation           p50 {figures.latency_at(0.5):.1f} ms, p99 {figures.latency_at(0.99):.1f} ms"
    in_calls = f"an evaluation takes {figures.latency_in_calls:.1f} of them"
    yield f"  one call, bare router    p50 {figures.lone_call:.2f} ms; {in_calls}"
    yield f"  reserve to ready         {figures.median_ready:.3f} s ({min(ready):.3f} to {max(ready):.3f})"
    yield f"  bytes per evaluation     {stretch.sent:.0f} sent, {stretch.received:.0f} received by the client"
    yield f"                           {figures.known:.0f} in all of circuits that the worker has had before"
    yield f"                           {stretch.usb:.0f} received by the boards"
    yield "                          " + "".join(f"{party:>11}" for party in _PARTIES) + "  all but boards"
    cpu = "".join(f"{stretch.cpu_ms.get(party, 0):11.2f}" for party in _PARTIES)
    yield f"  CPU ms per evaluation   {cpu}{stretch.cpu_without_boards:16.2f}"
    accounts = [figures.accounts.get(party) for party in _PARTIES]
    yield "  processes               " + "".join(f"{each.processes if each else 0:11}" for each in accounts)
    yield "  threads                 " + "".join(f"{each.threads if each else 0:11}" for each in accounts)
    yield "  resident MB             " + "".join(f"{each.rss / 1e6 if each else 0:11.0f}" for each in accounts)


def real_lines(figures: RealFigures) -> Iterator[str]:
    """Tell of boards of real speed."""
    yield f"{figures.boards} boards of real speed, window {figures.window:g} s, {figures.evaluations} evaluations"
    yield (
        f"  time per evaluation beyond the window  {figures.beyond:.1f} ms (slowest board {figures.worst:.1f}; "
        f"loading the FPGA is {figures.load:.1f} of it)"
    )
    yield f"  boards measure                         {figures.utilisation * _PERCENT:.1f} % of the time"
    yield f"  bytes to a board during a window       {figures.received:,.0f}"


def simulated_lines(figures: SimulatedFigures) -> Iterator[str]:
    """Tell of a farm whose boards simulate."""
    yield f"{figures.boards} instant boards that simulate different small circuits"
    for name, stretches in (("new", figures.new), ("known", figures.known)):
        for each in stretches:
            cpu = each.cpu_ms
            yield (
                f"  {name:<6} {each.rate:5.0f} evaluations/s of {each.evaluations}; CPU ms per evaluation: boards "
                f"{cpu.get('boards', 0):.2f}, all else {each.cpu_without_boards:.2f}; "
                f"{each.others:.1f} cores busy with other things, pace {each.pace:.1f}"
            )


def archive_lines(figures: ArchiveFigures) -> Iterator[str]:
    """Tell what the archive costs."""
    yield f"{figures.what}: with the archive and without it, in {len(figures.archived)} pairs of turns"
    for name, turns in (("archived", figures.archived), ("not", figures.plain)):
        yield f"  CPU ms per evaluation, {name:<9} " + ", ".join(f"{each.cpu:.3f}" for each in turns)
    least, most = figures.differences[0], figures.differences[-1]
    cost = f"{figures.cost:.4f} +- {figures.margin:.4f}"
    yield f"  cost of the archive, ms          {cost} (95 %; single pairs {least:.3f} to {most:.3f})"
    for party in figures.parties:
        yield f"    {party:<33}{figures.cost_of(party):+.4f}"


def feed_lines(figures: FeedFigures) -> Iterator[str]:
    """Tell what became of rows that were fed."""
    most = max(each.waiting for each in figures.looks)
    yield f"{figures.rate:g} rows/s fed for {figures.seconds:g} s through a spool: {figures.fed:,} rows"
    yield f"  archived {figures.archived:,}, lost {figures.lost}"
    yield f"  the spool has {most:,} bytes at most; in the second half {figures.grows:+,.0f} of the first, on average"
    parts = {"client": "worker", "router": "router", "control": "control", "PostgreSQL": "PostgreSQL"}
    cpu = ", ".join(f"{name} {figures.cpu_us.get(party, 0):.0f}" for party, name in parts.items())
    total = sum(figures.cpu_us.get(party, 0) for party in parts)
    yield f"  CPU per row, us: {total:.0f} ({cpu}); control has grown by {figures.control_mb:+.1f} MB"


def comparison_lines(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield a table of figures beside goals."""
    row = "{:<66}{:>10}  {:>10} {:<4} {:>7}  {}"
    yield row.format("", "measured", "goal", "", "factor", "0.1.16")
    for each in comparisons:
        goal = each.goal
        wanted = "-" if goal.goal is None else f"{goal.goal:g} {goal.unit}"
        met = {True: "met", False: "NOT", None: ""}[each.met]
        ratio = "-" if each.ratio is None else f"{each.ratio:.1f}"
        measured = f"{each.measured:.4g} {goal.unit}" if each.measured < _ROUND else f"{each.measured:.0f} {goal.unit}"
        yield row.format(goal.name, measured, wanted, met, ratio, goal.existing_text).rstrip()


#: From here on decimals say nothing.
_ROUND = 1000
