"""A run as one file: a zip with manifest.json, results.jsonl, and the circuits, if asked, as circuits/<sha256>.bin.

The same run gives the same bytes.  What is read is checked against the digests, and nothing in a file can make it
larger in memory than its manifest permits.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from attrs import define, field

from icefarm.bitstream.up5k import LENGTH
from icefarm.errors import InvalidArgument
from icefarm.runs.canonical import digest
from icefarm.runs.manifest import MOST_BYTES, checked_manifest, missing_in
from icefarm.text.outside_json import NotJson, parse_json

__all__ = ["MEDIA_TYPE", "Package", "PackageWriter", "circuit_name"]

MEDIA_TYPE = "application/zip"
MANIFEST, RESULTS = "manifest.json", "results.jsonl"
#: Bytes of the longest line, and results of the longest run that is read.
LONGEST_LINE, MOST_LINES = 1 << 20, 2_000_000
_CIRCUIT = re.compile(r"circuits/([0-9a-f]{64})\.bin", re.ASCII)
#: Files in a zip have a time; this is its first.
_TIME = (1980, 1, 1, 0, 0, 0)
#: How a zip says of a file that it is a plain one, which its owner may write.
_MODE, _UNIX, _LEVEL = 0o100644 << 16, 3, 6
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)


def circuit_name(sha256: str) -> str:
    """Return the name of a circuit in the file."""
    return f"circuits/{sha256}.bin"


class _Sink(io.RawIOBase):
    """Collects what is written; it can't be read or sought, so a zip has one form wherever it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.parts.append(bytes(data))
        return len(data)


class PackageWriter:
    """Makes the file piece by piece: the manifest, then all lines of results in order, then the circuits."""

    def __init__(self, manifest: bytes) -> None:
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)
        self._add(MANIFEST, manifest)
        self._results: IO[bytes] | None = self._zip.open(_info(RESULTS), "w", force_zip64=True)

    def add_lines(self, lines: bytes) -> None:
        """Add results."""
        assert self._results is not None
        self._results.write(lines)

    def add_circuit(self, sha256: str, data: bytes) -> None:
        """Add a circuit, in its normal form; those of one file come in the order of their digests."""
        self._end_results()
        self._add(circuit_name(sha256), data)

    def end(self) -> None:
        """Write what stands at the end of a zip."""
        self._end_results()
        self._zip.close()

    def taken(self) -> bytes:
        """Return what was made since the last call."""
        parts, self._sink.parts = self._sink.parts, []
        return b"".join(parts)

    def _end_results(self) -> None:
        results, self._results = self._results, None
        if results is not None:
            results.close()

    def _add(self, name: str, content: bytes) -> None:
        with self._zip.open(_info(name), "w") as file:
            file.write(content)


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _TIME)
    info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_DEFLATED, _MODE, _UNIX
    return info


@define(eq=False)
class Package:
    """A file that was opened, with a manifest that was checked.  Every call raises `InvalidArgument`."""

    path: Path
    manifest: Mapping[str, Any]
    #: The run's id.
    id: str
    _zip: zipfile.ZipFile = field(repr=False)
    _circuits: frozenset[str] = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> Package:
        """Open a file."""
        opened = _opened(path)
        try:
            circuits = _circuits_in(path, opened)
            content = _read(path, opened, MANIFEST, MOST_BYTES)
            return cls(path, checked_manifest(content), digest(content), opened, circuits)
        except BaseException:
            opened.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        self._zip.close()

    def results(self) -> Iterator[dict[str, Any]]:
        """Yield the results; their number and their digest are checked at the end."""
        said = self.manifest["results"]
        expected, lines = said["count"] + said["failed"], hashlib.sha256()
        if expected > MOST_LINES:
            raise InvalidArgument(f"{self.path}: a run of {expected:,} evaluations is too long to be read at once")
        count = 0
        for line in self._lines():
            count += 1
            if count > expected:
                raise InvalidArgument(f"{self.path}: {RESULTS} has more lines than the {expected:,} of the manifest")
            lines.update(line)
            yield self._result(line, count)
        if count != expected or lines.hexdigest() != said["digest"]:
            raise InvalidArgument(
                f"{self.path}: {RESULTS} is not that of the manifest: its {count:,} lines have the SHA-256 "
                f"{lines.hexdigest()}, and those of run {self.id} have {said['digest']}"
            )

    def _result(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            result = parse_json(line)
        except NotJson:
            result = None
        if not isinstance(result, dict):
            raise InvalidArgument(f"{self.path}: line {number} of {RESULTS} is not an object of JSON")
        if (missing := missing_in(result)) is not None:
            raise InvalidArgument(
                f"{self.path}: line {number} of {RESULTS} has no {missing}, or one of another type; it was changed"
            )
        return result

    def _lines(self) -> Iterator[bytes]:
        try:
            with self._zip.open(RESULTS) as file:
                while line := file.readline(LONGEST_LINE + 1):
                    if len(line) > LONGEST_LINE:
                        raise InvalidArgument(f"{self.path}: {RESULTS} has a line of more than {LONGEST_LINE:,} bytes")
                    yield line
        except KeyError:
            raise InvalidArgument(f"{self.path}: {RESULTS} is missing") from None
        except _BROKEN as error:
            raise InvalidArgument(f"{self.path}: {RESULTS} is damaged: {error}") from None

    @property
    def circuits(self) -> frozenset[str]:
        """The SHA-256 of the circuits that are in it."""
        return self._circuits

    def circuit(self, sha256: str) -> bytes | None:
        """Return a circuit, in its normal form; None if it is not in the file."""
        if sha256 not in self._circuits:
            return None
        content = _read(self.path, self._zip, circuit_name(sha256), LENGTH)
        if digest(content) != sha256:
            raise InvalidArgument(f"{self.path}: {circuit_name(sha256)} has the SHA-256 {digest(content)}")
        return content


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise InvalidArgument(f"{path}: there is no such file") from None
    except _BROKEN as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InvalidArgument(f"{path} is not a run that icefarm exported: {reason}") from None


def _circuits_in(path: Path, opened: zipfile.ZipFile) -> frozenset[str]:
    names = opened.namelist()
    if len(set(names)) != len(names):
        raise InvalidArgument(f"{path} is not a run that icefarm exported: it has several files of one name")
    found = set()
    for name in names:
        match = _CIRCUIT.fullmatch(name)
        if match is not None:
            found.add(match[1])
        elif name not in (MANIFEST, RESULTS):
            raise InvalidArgument(f"{path} is not a run that icefarm exported: it has a file {name!a:.80}")
    return frozenset(found)


def _read(path: Path, opened: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return a file of a zip that has at most so many bytes, whatever it says of itself."""
    try:
        with opened.open(name) as file:
            content = file.read(most + 1)
    except KeyError:
        raise InvalidArgument(f"{path} is not a run that icefarm exported: {name} is missing") from None
    except _BROKEN as error:
        raise InvalidArgument(f"{path}: {name} is damaged: {error}") from None
    if len(content) > most:
        raise InvalidArgument(f"{path}: {name} has more than {most:,} bytes")
    return content
