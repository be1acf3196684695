"""Pure: no I/O, no clock.  The manifest of a run, and the lines of its results, whose digest the manifest has."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import repeat
from types import MappingProxyType
from typing import Any

from attrs import Factory, define

from icefarm.errors import InvalidArgument
from icefarm.runs.canonical import canonical, canonical_text, canonical_texts, digest, moment, moments
from icefarm.runs.numbers import indices_of
from icefarm.text.outside_json import NotJson, parse_json

__all__ = [
    "FORMAT",
    "LISTED",
    "MOST_BYTES",
    "Columns",
    "Summary",
    "checked_manifest",
    "columns_of",
    "lines_of",
    "missing_in",
    "written_lines",
]

#: The form of manifests and lines; another one gets another number.
FORMAT = "icefarm run 1"
#: Circuits that stand in the manifest itself; of more, only their digest does.
LISTED = 1000
#: Bytes of the longest manifest.
MOST_BYTES = 4 << 20

#: What a line takes from the archive as it is: what many lines may have in common, and the rest.
_COMMON = (
    *("attempt", "error", "firmware", "firmware_version", "load_us", "message", "origin", "serial", "temperature_c"),
    *("window_us", "worker"),
)
_REPEATED = frozenset((*_COMMON, "board_labels"))
_REST = ("circuit", "evaluation_id", "sequence", "sha256", "value")
#: All that a line is made of.
_TAKEN = (*_COMMON, *_REST, "board_labels", "started_at", "ended_at")
#: The names of a line in the order of the canonical form.
_NAMES = sorted(("index", "board_labels", "started", "ended", *_COMMON, *_REST))


#: What a reader of lines relies on, and of which type it is.
_TEXT: tuple[type, ...] = (str, type(None))
_LINE_FIELDS: Mapping[str, tuple[type, ...]] = {
    "index": (int, type(None)), "serial": (str,), "value": (object,),
    **dict.fromkeys(("sha256", "circuit", "error", "firmware", "firmware_version", "origin"), _TEXT),
}  # fmt: skip


def missing_in(line: Mapping[str, Any]) -> str | None:
    """Return the name of a field that a line that was read lacks, or has with another type; None: it has them all."""
    return next(
        (name for name, types in _LINE_FIELDS.items() if name not in line or not isinstance(line[name], types)), None
    )


#: Results by columns: the values of each field of `icefarm.contract.RESULT_FIELDS`, in the order of the results.
Columns = Mapping[str, Sequence[Any]]


def columns_of(rows: Sequence[Mapping[str, Any]]) -> Columns:
    """Return the columns of results that are rows."""
    return {name: [row[name] for row in rows] for name in _TAKEN}


def lines_of(results: Columns) -> bytes:
    """Return the lines of results, each with its end.

    A line is one object of JSON in its canonical form.
    """
    return "".join(written_lines(results, indices_of(results["evaluation_id"]))).encode()


def written_lines(
    results: Columns, indices: Sequence[int | None], written: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> list[str]:
    """Return the lines of results, whose indices are known, one by one.

    ``written`` has those values that the caller has in their canonical form already, by their names in a line.
    """
    # This is code of each evaluation.  So it works on columns: what a whole column has in common is written once.
    columns = {
        **results, "index": indices, "board_labels": _labels(results["board_labels"]),
        "started": results["started_at"], "ended": results["ended_at"],
    }  # fmt: skip
    parts: list[Iterable[str]] = []
    between = "{"
    for name in _NAMES:
        values, write = columns[name], _WRITTEN.get(name, canonical_texts)
        between += f'"{name}":'
        if name in _REPEATED and values.count(values[0]) == len(values):
            between += next(iter(write(values[:1]))) + ","
        else:
            parts += (repeat(between), written[name] if name in written else write(values))
            between = ","
    parts.append(repeat(between.removesuffix(",") + "}\n"))
    return list(map("".join, zip(*parts, strict=False)))


def _moments(times: Sequence[float | None]) -> Iterable[str]:
    return ["null" if text is None else f'"{text}"' for text in moments(times)]


def _labels(labels: Sequence[Mapping[str, Any] | None]) -> Sequence[str]:
    # Those of one board are often one object.
    objects = {id(each): each for each in labels}
    texts = {key: "null" if each is None else _labels_text(each) for key, each in objects.items()}
    return [texts[id(each)] for each in labels]


def _as_it_is(texts: Sequence[str]) -> Iterable[str]:
    return texts


#: What is not written as any other value.
_WRITTEN: Mapping[str, Callable[[Sequence[Any]], Iterable[str]]] = {
    "board_labels": _as_it_is, "started": _moments, "ended": _moments,
}  # fmt: skip


def _labels_text(labels: Mapping[str, Any]) -> str:
    if all(value.__class__ is str for value in labels.values()):
        return _texts(tuple(labels.items()))
    # Only a worker that is not icefarm's has others: 1 and True are equal there, and a list cannot be looked up.
    return canonical_text(labels)


@lru_cache(maxsize=4096)
def _texts(items: tuple[tuple[str, str], ...]) -> str:
    return canonical_text(dict(items))


#: What may change between the results of a board.
_MAY_CHANGE = ("worker", "firmware", "firmware_version", "origin")


@define
class _Board:
    """What one board did."""

    results: int = 0
    failed: int = 0
    #: The different combinations of what may change meanwhile.
    seen: set[tuple[str | None, ...]] = Factory(set)

    @property
    def workers(self) -> set[str]:
        return {worker for worker, _, _, _ in self.seen if worker}

    def record(self, serial: str) -> dict[str, Any]:
        firmwares = {" ".join(part for part in (name, version) if part) for _, name, version, _ in self.seen}
        return {
            "serial": serial,
            "results": self.results,
            "failed": self.failed,
            "workers": sorted(self.workers),
            "firmwares": sorted(each for each in firmwares if each),
            "origins": sorted({origin for _, _, _, origin in self.seen if origin}),
        }


@define
class Summary:
    """What all results of a run amount to; they are added in the order of their evaluations' ids."""

    results: int = 0
    failed: int = 0
    circuits: int = 0
    first: float | None = None
    last: float | None = None
    _listed: list[str | None] = Factory(list)
    _index: int | None = None
    _boards: dict[str, _Board] = Factory(dict)
    _lines: Any = Factory(hashlib.sha256)
    _circuit_lines: Any = Factory(hashlib.sha256)

    def add(self, results: Columns) -> bytes:
        """Add results, and return their lines."""
        indices = indices_of(results["evaluation_id"])
        self.count(results)
        return self.digest_lines(indices, results["sha256"], written_lines(results, indices))

    def count(self, results: Columns) -> None:
        """Count results, in any order; `digest_lines` has to take the lines of the same ones."""
        ends = results["ended_at"]
        begins = [begin or end for begin, end in zip(results["started_at"], ends, strict=True)]
        self.first = min(begins) if self.first is None else min(self.first, *begins)
        self.last = max(ends) if self.last is None else max(self.last, *ends)
        self._count(results)

    def digest_lines(self, indices: Sequence[int | None], digests: Sequence[str | None], lines: Sequence[str]) -> bytes:
        """Take the next lines, with their indices and circuits; returns them."""
        self._list(indices, digests)
        together = "".join(lines).encode()
        self._lines.update(together)
        return together

    def _count(self, results: Columns) -> None:
        counts = Counter(zip(*(results[name] for name in ("serial", "error", *_MAY_CHANGE)), strict=True))
        for (serial, error, *seen), count in counts.items():
            board = self._boards.get(serial)
            if board is None:
                board = self._boards[serial] = _Board()
            if error is None:
                self.results += count
                board.results += count
            else:
                self.failed += count
                board.failed += count
            board.seen.add(tuple(seen))

    def _list(self, indices: Sequence[int | None], digests: Sequence[str | None]) -> None:
        """List the circuits of results: one circuit may have several, on several boards."""
        new: list[str | None] = []
        for index, digest_ in zip(indices, digests, strict=True):
            if index is None or index != self._index:
                self._index = index
                new.append(digest_)
        self.circuits += len(new)
        self._circuit_lines.update("".join([f"{each or '-'}\n" for each in new]).encode())
        self._listed += new[: LISTED - len(self._listed)]

    @property
    def workers(self) -> list[str]:
        """The workers that measured."""
        return sorted(set().union(*(board.workers for board in self._boards.values())))

    @property
    def board_count(self) -> int:
        return len(self._boards)

    @property
    def digest(self) -> str:
        """The SHA-256 of all lines."""
        return str(self._lines.hexdigest())

    def manifest(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return the manifest; ``told`` has what is not in the results, by name."""
        listed = {"sha256": self._listed} if self.circuits <= LISTED else {}
        return {
            "format": FORMAT,
            **told,
            "boards": [self._boards[serial].record(serial) for serial in sorted(self._boards)],
            "circuits": {"count": self.circuits, "digest": self._circuit_lines.hexdigest(), **listed},
            "results": {"count": self.results, "failed": self.failed, "digest": self.digest},
            "begin": moment(self.first),
            "end": moment(self.last),
        }


#: What a reader of manifests relies on, and of which type it is.
_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "account": str, "experiment": str, "client": str, "number": str, "kind": str, "options": dict,
    "evaluation_options": dict, "placement": dict, "labels": dict, "boards": list, "circuits": dict, "results": dict,
    "versions": dict,
}  # fmt: skip


def checked_manifest(content: bytes, id: str | None = None) -> dict[str, Any]:
    """Return the manifest in these bytes, and check that it is one, and the one that ``id`` names.

    Raises `InvalidArgument`.
    """
    try:
        manifest = parse_json(content)
    except NotJson as error:
        raise InvalidArgument(f"the manifest is not JSON: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise InvalidArgument(f"the manifest's format must be {FORMAT!r}, not {found!a:.80}; is icefarm too old?")
    for name, type_ in _FIELDS.items():
        if not isinstance(manifest.get(name), type_):
            raise InvalidArgument(f"the manifest has no {name}, or one of another type")
    _check_counts(manifest)
    if not isinstance(manifest["versions"].get("workers"), dict):
        raise InvalidArgument("the manifest's versions have no workers")
    if canonical(manifest) != content:
        raise InvalidArgument("the manifest is not in its canonical form (RFC 8785); it was changed")
    if id is not None and digest(content) != id:
        raise InvalidArgument(f"the manifest is that of run {digest(content)}, not of {id}; it was changed")
    return manifest


def _check_counts(manifest: Mapping[str, Any]) -> None:
    for part, names in (("circuits", ("count",)), ("results", ("count", "failed"))):
        counts: Sequence[Any] = [manifest[part].get(name) for name in names]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise InvalidArgument(f"the manifest's {part} have no count")
        if not isinstance(manifest[part].get("digest"), str):
            raise InvalidArgument(f"the manifest's {part} have no digest")
    if not all(isinstance(board, dict) and isinstance(board.get("serial"), str) for board in manifest["boards"]):
        raise InvalidArgument("the manifest's boards have no serials")
