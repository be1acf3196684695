"""Runs in the farm's archive: what the client's three APIs have in common."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define

from icefarm.bitstream import decompress
from icefarm.client.api.adapters import Verb, VerbAdapter
from icefarm.client.api.arguments import checked
from icefarm.client.runs.circuit_folder import CircuitFolder
from icefarm.client.session import ClientSession
from icefarm.contract import RunRecord, from_wire
from icefarm.errors import InvalidArgument
from icefarm.text.outside_json import parse_json

if TYPE_CHECKING:
    # It takes half a second to import.
    from twisted.internet.defer import Deferred

__all__ = ["RunFace", "RunHandle", "fetched_run", "runs_of"]

T = TypeVar("T")

#: Runs, and lines, of one call.
PAGE, LINES = 1000, 1000


async def runs_of(session: ClientSession, name: str, account: str | None) -> list[RunRecord]:
    """Return the runs of an experiment, the newest first."""
    found: list[RunRecord] = []
    after = None
    while True:
        answer = await session.call("experiment_runs", name=name, account=account, after=after, limit=PAGE)
        found += [from_wire(each, RunRecord) for each in answer["runs"]]
        after = answer["next"]
        if after is None:
            return found


async def fetched_run(session: ClientSession, id: str) -> RunHandle:
    """Return a run.  Raises `UnknownRun`."""
    answer = await session.call("run", id=id)
    return RunHandle(session, from_wire(answer["run"], RunRecord), answer["manifest"])


@define(eq=False)
class NewFile:
    """A file that appears under its name when it is whole.  Calls raise `InvalidArgument` if it can't be written."""

    path: Path
    _new: Path
    _file: Any

    @classmethod
    def beside(cls, path: str | os.PathLike[str]) -> NewFile:
        """Begin a file."""
        target = Path(os.path.realpath(path))
        new = target.with_name(f".icefarm-{secrets.token_hex(8)}.new")
        try:
            return cls(target, new, new.open("xb"))
        except OSError as error:
            raise _cannot_write(target, error) from None

    def write(self, data: bytes) -> None:
        """Write more of it."""
        try:
            self._file.write(data)
        except OSError as error:
            raise _cannot_write(self.path, error) from None

    def keep(self) -> None:
        """Let it appear."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._new.replace(self.path)
        except OSError as error:
            raise _cannot_write(self.path, error) from None

    def discard(self) -> None:
        """Leave nothing of it, unless it was kept."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._new.unlink()


def _cannot_write(path: Path, error: OSError) -> InvalidArgument:
    return InvalidArgument(f"{path} cannot be written: {error.strerror or error}")


@define(eq=False)
class RunHandle:
    """A run, in a session."""

    session: ClientSession
    record: RunRecord
    #: None while it has none.
    text: str | None

    async def results(self) -> list[dict[str, Any]]:
        """Return its results, as the file of the run has them.  Raises `InvalidArgument` if it is not closed."""
        found: list[dict[str, Any]] = []
        async for lines in self._lines():
            found += [parse_json(line) for line in lines.splitlines()]
        return found

    @checked
    async def circuit(self, digest: str) -> bytes:
        """Return a circuit that the farm kept, in its normal form.  Raises `InvalidArgument` if it did not."""
        number = self.record.id or self.record.number
        answer = await self.session.call("run_circuit", id=number, sha256=digest)
        if answer["block"] is None:
            raise InvalidArgument(
                f"the farm has not kept circuit {digest}; measure with keep_circuits (--keep-circuits), or give the "
                "folder of the circuits (--circuits DIR)"
            )
        return decompress(answer["block"], answer["length"])

    @checked
    async def export(
        self,
        path: str | os.PathLike[str],
        *,
        circuits: str | os.PathLike[str] | None = None,
        kept_circuits: bool = False,
    ) -> Path:
        """Write it to a file: a zip with its manifest and its results.  Returns the path.

        With ``circuits``, a folder that has them under any names, or with ``kept_circuits``, those that the farm kept,
        the file has them too.
        Raises `InvalidArgument` if it is not closed, its results were dropped, or the file can't be written.
        """
        from icefarm.runs.exporting import FindCircuit, exported, manifest_of

        manifest = manifest_of(
            {"run": {"number": self.record.number, "state": self.record.state}, "manifest": self.text}
        )
        first = await self._page(None)
        find: FindCircuit | None = self.circuit if kept_circuits else None
        if circuits is not None:
            # A folder may be large, and the session is to live on meanwhile.
            folder = await self._in_thread(CircuitFolder.of, circuits)
            find = partial(self._in_thread, folder.get)
        file = NewFile.beside(path)
        try:
            async for piece in exported(manifest, first, self._page, find):
                file.write(piece)
            file.keep()
        finally:
            file.discard()
        return Path(path)

    def _in_thread(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        from twisted.internet.threads import deferToThreadPool

        # The session's clock is its reactor.
        reactor: Any = self.session.clock
        return deferToThreadPool(reactor, reactor.getThreadPool(), function, *args)

    async def _page(self, after: str | None) -> Mapping[str, Any]:
        number = self.record.id or self.record.number
        page: Mapping[str, Any] = await self.session.call("run_results", id=number, after=after, limit=LINES)
        return page

    async def _lines(self) -> AsyncIterator[str]:
        page = await self._page(None)
        yield page["lines"]
        while page["next"] is not None:
            page = await self._page(page["next"])
            yield page["lines"]


class RunFace(VerbAdapter):
    """A run of an experiment, as the farm's archive has it."""

    _subject: RunHandle

    results = Verb(RunHandle.results)
    export = Verb(RunHandle.export)
    circuit = Verb(RunHandle.circuit)

    def __init__(self, farm: VerbAdapter, subject: RunHandle) -> None:
        self._call_as(farm)
        self._subject = subject

    @property
    def record(self) -> RunRecord:
        """What lists of runs show of it."""
        return self._subject.record

    @property
    def id(self) -> str | None:
        """The id by which it is cited: the SHA-256 of its manifest.  None until it is closed."""
        return self._subject.record.id

    @property
    def manifest(self) -> dict[str, Any]:
        """Its manifest.  Raises `InvalidArgument` until it is closed."""
        text = self._subject.text
        if text is None:
            raise InvalidArgument(f"run {self.record.number} has no manifest yet: it is {self.record.state}")
        manifest: dict[str, Any] = parse_json(text)
        return manifest

    def __repr__(self) -> str:
        return f"<Run {self.id or self.record.number} of {self.record.experiment!r}>"
