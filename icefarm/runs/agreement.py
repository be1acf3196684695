"""Pure: no I/O, no clock.  Whether two measurements of the same circuits agree, with their uncertainty.

docs/runs.md has the formula.  Both sides are lines of results, as `icefarm.runs.manifest.lines_of` makes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from math import sqrt
from statistics import median
from typing import Any

from attrs import Factory, define, frozen

from icefarm.errors import InvalidArgument
from icefarm.text.counts import counted

__all__ = ["CLOCK_PPM", "COVERAGE", "Agreement", "Cell", "Difference", "Noise", "compared", "samples_of"]

#: By how many standard uncertainties two values may differ: in 99.7 of 100 cases they do, where they agree.
COVERAGE = 3.0
#: Two boards' clocks differ by so many millionths at most: each crystal is within 30 of its nominal frequency.
CLOCK_PPM = 60.0
#: Kinds whose values are counts, and the standard uncertainty of one: it may be off by one either way, evenly.
_COUNTS = ("pulsecount", "multipulsecount")
_ONE_COUNT = 1 / sqrt(3)

#: A result, by the names of its fields.
Line = Mapping[str, Any]


@frozen
class Difference:
    """Something in the provenance of two runs that is not the same."""

    what: str
    first: str
    second: str


@frozen
class Noise:
    """How much repeated measurements of one circuit on one board scatter, as a part of their mean."""

    relative: float
    #: How many repetitions that is known from; 0: nothing is known.
    freedom: int


@frozen
class Cell:
    """One quantity of one circuit on one board, measured twice."""

    index: int
    circuit: str | None
    sha256: str | None
    #: Which of several quantities it is, such as the counts on several pins; 0 for the only one.
    quantity: int
    #: The boards.
    first_board: str
    second_board: str | None
    first: float | None
    second: float | None
    difference: float | None
    #: The standard uncertainty of the difference.
    uncertainty: float | None
    #: None where a side has no value.
    agrees: bool | None
    #: The errors of the sides that have none.
    errors: Sequence[str] = ()


@frozen
class Agreement:
    """What a comparison found."""

    differences: Sequence[Difference]
    cells: Sequence[Cell]
    noise: tuple[Noise, Noise]
    coverage: float = COVERAGE

    @property
    def agrees(self) -> bool:
        """Whether every value of the first run has one in the second that agrees, and there are some."""
        compared = [cell for cell in self.cells if cell.first is not None]
        return bool(compared) and all(cell.agrees for cell in compared)

    @property
    def summary(self) -> str:
        """Say it in a line."""
        both = [cell for cell in self.cells if cell.agrees is not None]
        lost = sum(cell.first is not None and cell.second is None for cell in self.cells)
        agreeing = sum(bool(cell.agrees) for cell in both)
        agree = "agrees" if agreeing == 1 else "agree"
        within = f"within {self.coverage:g} standard uncertainties"
        parts = [f"{agreeing} of {counted(len(both), 'value')} {agree} {within}"]
        if lost:
            parts.append(f"{lost} have no value now")
        relative = [cell.difference / cell.first for cell in both if cell.first and cell.difference is not None]
        if relative:
            parts.append(f"the median difference is {median(relative) * 1e6:+.1f} ppm")
        if not any(noise.freedom for noise in self.noise):
            parts.append("nothing was measured repeatedly, so noise is not in the uncertainty")
        return "; ".join(parts)


def samples_of(kind: str, value: Any) -> list[list[float]]:
    """Return the quantities that a value has, and of each what repeated windows gave.  Raises `InvalidArgument`."""
    match value:
        case bool():
            pass
        case int() | float():
            return [[float(value)]]
        case [int() | float() as first, list()] if kind == "variance":
            return [[float(first)]]
        case [*rows] if rows and all(_is_number(each) for each in rows):
            # Pins, or repeats of the one quantity there is.
            return [[float(each)] for each in rows] if kind == "multipulsecount" else [[float(each) for each in rows]]
        case [*rows] if rows and all(isinstance(each, list) and each for each in rows):
            if kind == "variance":
                return [[samples_of(kind, each)[0][0] for each in rows]]
            if all(_is_number(each) for row in rows for each in row) and len({len(row) for row in rows}) == 1:
                return [[float(each) for each in column] for column in zip(*rows, strict=True)]
    raise InvalidArgument(f"values of kind {kind!r} such as {value!a:.60} are no numbers that can be compared")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@define
class _Scatter:
    """Squares of relative deviations from the mean of their group."""

    groups: dict[tuple[Any, ...], list[float]] = Factory(dict)

    def add(self, line: Line, quantities: Iterable[Sequence[float]]) -> None:
        for number, samples in enumerate(quantities):
            self.groups.setdefault((line["sha256"], line["serial"], number), []).extend(samples)

    @property
    def noise(self) -> Noise:
        squares, freedom = 0.0, 0
        for samples in self.groups.values():
            mean = sum(samples) / len(samples)
            if len(samples) > 1 and mean:
                squares += sum((each / mean - 1) ** 2 for each in samples)
                freedom += len(samples) - 1
        return Noise(sqrt(squares / freedom) if freedom else 0.0, freedom)


def noise_of(kind: str, lines: Iterable[Line]) -> Noise:
    """Return how much the values of a run scatter where it measured the same repeatedly."""
    scatter = _Scatter()
    for line in lines:
        if line["error"] is None:
            scatter.add(line, samples_of(kind, line["value"]))
    return scatter.noise


def compared(
    kind: str,
    pairs: Sequence[tuple[Line, Line | None]],
    differences: Sequence[Difference] = (),
    clock_ppm: float = CLOCK_PPM,
) -> Agreement:
    """Compare lines of a first run with those of a second one, which measured the same again.

    Raises `InvalidArgument` for values that are not comparable.
    """
    first = noise_of(kind, (one for one, _ in pairs))
    second = noise_of(kind, (two for _, two in pairs if two is not None))
    # Where one side did not repeat anything, the other one's noise stands for it.
    noise = (first if first.freedom else second, second if second.freedom else first)
    cells = [cell for one, two in pairs for cell in _cells(kind, one, two, noise, clock_ppm)]
    return Agreement(differences, cells, noise)


def _cells(kind: str, one: Line, two: Line | None, noise: tuple[Noise, Noise], clock_ppm: float) -> Iterable[Cell]:
    firsts, seconds = _quantities(kind, one), _quantities(kind, two)
    if firsts and seconds and len(firsts) != len(seconds):
        raise InvalidArgument(
            f"circuit {one['index']} has {len(firsts)} values in one run and {len(seconds)} in the other"
        )
    board = None if two is None else two["serial"]
    begun = partial(Cell, one["index"], one["circuit"], one["sha256"])
    if not firsts or not seconds:
        errors = [str(line["error"]) for line in (one, two) if line is not None and line["error"] is not None]
        if two is None:
            errors.append("not measured")
        for number, samples in enumerate(firsts or seconds or [[]]):
            mean = sum(samples) / len(samples) if samples else None
            first, second = (mean, None) if firsts else (None, mean)
            yield begun(number, one["serial"], board, first, second, None, None, None, errors)
        return
    for number, sides in enumerate(zip(firsts, seconds, strict=True)):
        before, after = (sum(samples) / len(samples) for samples in sides)
        uncertainty = _uncertainty(kind, sides, noise, 0.0 if board == one["serial"] else clock_ppm)
        agrees = abs(after - before) <= COVERAGE * uncertainty
        yield begun(number, one["serial"], board, before, after, after - before, uncertainty, agrees)


def _quantities(kind: str, line: Line | None) -> list[list[float]]:
    """Return what a line measured; nothing if it failed, or there is none."""
    return [] if line is None or line["error"] is not None else samples_of(kind, line["value"])


def _uncertainty(
    kind: str, sides: tuple[Sequence[float], Sequence[float]], noise: tuple[Noise, Noise], clock_ppm: float
) -> float:
    """Return the standard uncertainty of the difference of two means."""
    resolution = _ONE_COUNT if kind in _COUNTS else 0.0
    square = 0.0
    for samples, scatter in zip(sides, noise, strict=True):
        mean = sum(samples) / len(samples)
        square += (resolution**2 + (scatter.relative * mean) ** 2) / len(samples)
    clock = clock_ppm * 1e-6 * sum(sides[0]) / len(sides[0]) / sqrt(3)
    return sqrt(square + clock**2)
