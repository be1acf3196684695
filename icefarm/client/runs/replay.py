"""Measures a run again, on this farm or on another one, and compares.

Theory of operation
===================
::

    file, or run of a farm --> Original --> planned --> boards reserved --> each evaluation again --> compared

Each line of the original is measured once more, in the original's order: on the same board where the farm has all of
the run's boards, else on a board that stands in for it throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, evolve, frozen

from icefarm._version import __version__
from icefarm.bitstream import Bitstream, from_bytes
from icefarm.client.evaluation.payload import placed_item
from icefarm.client.evaluation.plan import RunPlan
from icefarm.client.evaluation.results import Result
from icefarm.client.runs.circuit_folder import CircuitFolder
from icefarm.errors import IcefarmError, InvalidArgument
from icefarm.runs.agreement import CLOCK_PPM, Agreement, Difference, compared, samples_of
from icefarm.runs.package import Package

if TYPE_CHECKING:
    from icefarm.client.blocking import ArchivedRun, Boards, Farm

__all__ = ["CircuitFolder", "Original", "assigned", "measured_again", "replay", "wanted_boards"]

#: Missing circuits that an error names.
NAMED = 5


class Circuits(Protocol):
    """Where bitstreams are found by their digest."""

    def find(self, sha256: str) -> bytes | None:
        """Return a bitstream in its normal form; None if it is not there."""


@define(eq=False)
class _InPackage:
    package: Package

    def find(self, sha256: str) -> bytes | None:
        return self.package.circuit(sha256)


@define(eq=False)
class _Kept:
    """What the farm has kept of a run."""

    run: ArchivedRun

    def find(self, sha256: str) -> bytes | None:
        try:
            return self.run.circuit(sha256)
        except InvalidArgument:
            return None


@define(eq=False)
class _AtHand:
    bitstreams: Mapping[str, Bitstream]

    def find(self, sha256: str) -> bytes | None:
        found = self.bitstreams.get(sha256)
        return None if found is None else found.data


@frozen(eq=False)
class Original:
    """A run that is to be measured again."""

    id: str
    manifest: Mapping[str, Any]
    lines: Sequence[Mapping[str, Any]]
    circuits: Sequence[Circuits]

    @classmethod
    def of_file(cls, package: Package, *more: Circuits) -> Original:
        """Read an exported run, and check it.  Raises `InvalidArgument`."""
        return cls(package.id, package.manifest, list(package.results()), (*more, _InPackage(package)))._checked()

    @classmethod
    def of_run(cls, run: ArchivedRun, *more: Circuits) -> Original:
        """Take a run from the archive of a farm.  Raises `InvalidArgument` if it is not closed."""
        manifest = run.manifest
        return cls(str(run.id), manifest, run.results(), (*more, _Kept(run)))._checked()

    def _checked(self) -> Original:
        """Refuse what can't be measured again, or not compared, before anything is reserved."""
        if not any(self.measurable(line) for line in self.lines):
            raise InvalidArgument(f"run {self.id} has no evaluation that can be made again")
        for line in self.lines:
            if line["error"] is None:
                samples_of(self.kind, line["value"])
        return self

    def with_bitstreams(self) -> Original:
        """Return it with its circuits at hand, where they were in a file that is closed now."""
        return evolve(self, circuits=(_AtHand(self.bitstreams()),))

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    @property
    def boards(self) -> list[str]:
        """The serials of its boards."""
        return sorted({str(line["serial"]) for line in self.lines})

    @staticmethod
    def measurable(line: Mapping[str, Any]) -> bool:
        """Tell whether it is known what was measured."""
        return isinstance(line["sha256"], str)

    def bitstreams(self) -> dict[str, Bitstream]:
        """Return the circuits by their digests.  Raises `InvalidArgument`, naming those that are nowhere."""
        found: dict[str, Bitstream] = {}
        missing = []
        for sha256 in dict.fromkeys(line["sha256"] for line in self.lines if self.measurable(line)):
            data = next((data for source in self.circuits if (data := source.find(sha256)) is not None), None)
            if data is None:
                missing.append(sha256)
            else:
                found[sha256] = from_bytes(data)
        if missing:
            more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
            raise InvalidArgument(
                f"{len(missing)} of the run's circuits are missing: {', '.join(missing[:NAMED])}{more}; give the "
                "folder that they are in (--circuits DIR)"
            )
        return found


def assigned(original: Sequence[str], reserved: Sequence[str]) -> dict[str, str]:
    """Return which reserved board does what each of the original's did: itself, or one that stands in for it."""
    others = [serial for serial in sorted(reserved) if serial not in original] or sorted(reserved)
    missing = [serial for serial in original if serial not in reserved]
    stand_ins = {serial: others[number % len(others)] for number, serial in enumerate(missing)}
    return {serial: stand_ins.get(serial, serial) for serial in original}


def replay(
    farm: Farm,
    original: Original,
    *,
    serials: Sequence[str] | None = None,
    experiment: str | None = None,
    clock_ppm: float = CLOCK_PPM,
    **how: Any,
) -> Agreement:
    """Measure a run again on a farm, and return whether it agrees.

    It reserves the run's own boards, where the farm has all of them, else as many others as can be had, or those in
    ``serials``.  ``how`` goes to `Farm.reserve`, such as ``wait=True``.  The farm keeps the measurements under
    ``experiment``, by default ``replay-`` and the first digits of the run's id.

    Raises `InvalidArgument` for circuits that are missing, and what `reserve` raises.
    """
    bitstreams = original.bitstreams()
    amount, chosen = wanted_boards(farm, original, serials)
    options = dict(original.manifest["options"])
    # Each evaluation is for a board of its own: none may leave.
    how.setdefault("preemptible", False)
    with farm.reserve(amount, serials=chosen, kind=original.kind, options=options, **how) as boards:
        return measured_again(farm, boards, original, bitstreams, experiment, clock_ppm)


def wanted_boards(
    farm: Farm, original: Original, chosen: Sequence[str] | None
) -> tuple[int | None, Sequence[str] | None]:
    """Return how many boards to reserve, or which: those that are chosen, else the run's own, else others."""
    own = original.boards
    if chosen is not None:
        return None, chosen
    if set(own) <= {device.serial for device in farm.devices()}:
        return None, own
    return min(len(own), max(1, len(farm.available(original.kind)))), None


def measured_again(
    farm: Farm,
    boards: Boards,
    original: Original,
    bitstreams: Mapping[str, Bitstream],
    experiment: str | None,
    clock_ppm: float,
    advance: Callable[[], None] = lambda: None,
) -> Agreement:
    """Measure it on boards that are reserved, and compare; ``advance`` is called with each result."""
    stand_ins = assigned(original.boards, boards.serials)
    again: dict[int, Result] = {}
    for result in stream(farm, boards, original, bitstreams, stand_ins, experiment):
        assert result.placement is not None
        again[result.placement["index"]] = result
        advance()
    pairs = [(line, _line_of(again.get(index), line)) for index, line in enumerate(original.lines)]
    differences = [Difference("board", own, other) for own, other in stand_ins.items() if own != other]
    differences += provenance(original, [line for _, line in pairs if line is not None], farm)
    return compared(original.kind, pairs, differences, clock_ppm)


def stream(
    farm: Farm,
    boards: Boards,
    original: Original,
    bitstreams: Mapping[str, Bitstream],
    assigned_to: Mapping[str, str],
    experiment: str | None,
) -> Iterator[Result]:
    """Yield each evaluation again, with its place among the original's lines."""
    how = {"placement": "replay"}
    items = (
        placed_item(bitstreams[line["sha256"]], (assigned_to[line["serial"]],), how, index)
        for index, line in enumerate(original.lines)
        if original.measurable(line)
    )
    run = RunPlan(
        boards.serials,
        dict(original.manifest["evaluation_options"]),
        experiment=experiment or f"replay-{original.id[:12]}",
        labels={"replay_of": original.id},
        placement=how,
    )
    records = {record.serial: record for record in boards.reservations}
    yield from farm.stream(run, records, items, deserted_raises=False)


def _line_of(result: Result | None, line: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what was measured again, in the form of the original's line."""
    if result is None:
        return None
    error: IcefarmError | None = result.error
    told = {"index": line["index"], "circuit": line["circuit"], "sha256": line["sha256"], "serial": result.serial}
    if error is not None:
        return {**told, "value": None, "error": error.name, "firmware": None, "firmware_version": None, "origin": None}
    measured = result.measurement
    provenance = {name: getattr(measured, name) for name in ("firmware", "firmware_version", "origin")}
    return {**told, "value": measured.value, "error": None, **provenance}


def provenance(original: Original, again: Sequence[Mapping[str, Any]], farm: Farm) -> list[Difference]:
    """Return what differs in how the two came to be."""
    versions = original.manifest["versions"]
    snapshot = farm.snapshot()
    pairs = [
        (
            "firmware",
            _seen(original.lines, "firmware", "firmware_version"),
            _seen(again, "firmware", "firmware_version"),
        ),
        ("origin", _seen(original.lines, "origin"), _seen(again, "origin")),
        ("client's version", str(versions.get("client")), __version__),
        ("control's version", str(versions.get("control")), str(snapshot.farm.get("version"))),
        (
            "workers' versions",
            _listed(versions.get("workers", {}).values()),
            _listed(worker.version for worker in snapshot.workers if worker.status == "online"),
        ),
    ]
    return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]


def _seen(lines: Iterable[Mapping[str, Any]], *names: str) -> str:
    return _listed(" ".join(str(line[name]) for name in names) for line in lines if line[names[0]] is not None)


def _listed(texts: Iterable[Any]) -> str:
    return ", ".join(sorted({str(text) for text in texts}))
