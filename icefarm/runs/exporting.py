"""A run's file as it is made: piece by piece, of pages of its lines, in constant memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from icefarm.errors import InvalidArgument
from icefarm.runs.package import PackageWriter
from icefarm.text.outside_json import parse_json

__all__ = ["AskPage", "FindCircuit", "exported", "file_name", "manifest_of"]

#: Asks for the page of lines after a cursor; answers as ``icefarm.v1.control.run_results`` does.
AskPage = Callable[[str | None], Awaitable[Mapping[str, Any]]]


def manifest_of(answer: Mapping[str, Any]) -> bytes:
    """Return the manifest in an answer of ``icefarm.v1.control.run``.  Raises `InvalidArgument` if it has none."""
    manifest = answer["manifest"]
    if manifest is None:
        run = answer["run"]
        raise InvalidArgument(
            f"run {run['number']} has no manifest yet: it is {run['state']}; it gets one when it has ended and its "
            "results have arrived"
        )
    return str(manifest).encode()


def file_name(id: str) -> str:
    """Return what the file of a run is called."""
    return f"run-{id[:12]}.icefarm.zip"


#: Returns a circuit by its SHA-256, in its normal form.
FindCircuit = Callable[[str], Awaitable[bytes]]


async def exported(
    manifest: bytes, first: Mapping[str, Any], ask: AskPage, find: FindCircuit | None = None
) -> AsyncIterator[bytes]:
    """Yield the file of a run; ``first`` is the first page of its lines; ``find`` has its circuits, if they are to."""
    writer, page, circuits = PackageWriter(manifest), first, set[str]()
    try:
        while True:
            writer.add_lines(page["lines"].encode())
            yield writer.taken()
            if find is not None:
                circuits.update(sha256 for sha256 in _digests(page["lines"]) if sha256 is not None)
            if page["next"] is None:
                break
            page = await ask(page["next"])
        if find is not None:
            for sha256 in sorted(circuits):
                writer.add_circuit(sha256, await find(sha256))
                yield writer.taken()
    finally:
        # Also where a page or a circuit is missing: an open zip complains when it is forgotten.
        writer.end()
    yield writer.taken()


def _digests(lines: str) -> list[str | None]:
    return [parse_json(line)["sha256"] for line in lines.splitlines()]
