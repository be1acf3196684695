"""The procedures over runs: what clients say of theirs, and what readers of the archive get."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MethodType
from typing import Any

from attrs import define

from icefarm.bitstream import decompress
from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.contract import (
    MAX_LABELS,
    NAME_RULE,
    RunRecord,
    RunReport,
    account_of,
    default_experiment,
    from_wire,
    to_wire,
    valid_name,
)
from icefarm.control.archive.runs.closer import RunCloser
from icefarm.control.archive.runs.interface import CIRCUIT_BYTES, Run, RunFilter, RunStore
from icefarm.control.rpc.archive_api import READERS, ArchiveProcedures, Table
from icefarm.errors import InvalidArgument, LimitReached, NotAuthorized, UnknownRun
from icefarm.runs.canonical import canonical, digest
from icefarm.runs.manifest import columns_of, lines_of
from icefarm.runs.numbers import is_number, position_of

__all__ = ["RunProcedures"]

#: Rows of one answer at most.
MOST_RUNS, MOST_RESULTS = 1000, 2000
#: Reports of one call; boards and retried evaluations of one; and bytes of what else it says, as JSON.
MOST_REPORTS, MOST_BOARDS, MOST_RETRIED, MOST_SAID = 100, 10_000, 10_000, 64 * 1024
#: Lists and mappings inside each other in what a client says of a run.
DEEPEST = 50
#: The fewest digits of a run's id by which it is found.
SHORTEST = 8
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{8,64}", re.ASCII)
_CURSOR = re.compile(r"[0-9]{1,18}", re.ASCII)
#: What a report says of the client's own choice, and may be of any length.
_SAID = ("options", "evaluation_options", "placement", "labels", "version", "kind")


@define(eq=False)
class RunProcedures:
    """The procedures for clients and operators; who may read an experiment may read its runs."""

    runs: RunStore
    closer: RunCloser
    archive: ArchiveProcedures
    clock: Clock
    circuit_bytes: float = CIRCUIT_BYTES

    @classmethod
    def methods(cls) -> Sequence[Callable[..., Any]]:
        """Return the functions that are procedures."""
        return (cls.experiment_runs, cls.run, cls.run_results, cls.run_report, cls.circuit_keep, cls.run_circuit)

    def table(self) -> Table:
        """Return each procedure with the roles that may call it."""
        return {method.__name__: (MethodType(method, self), READERS) for method in self.methods()}

    async def experiment_runs(
        self, caller: Caller, name: str, account: str | None = None, after: str | None = None, limit: int = 100
    ) -> dict[str, Any]:
        """Return the runs of an experiment, the newest first.

        ``next`` in the answer goes into ``after`` of the next call; None says that there are no more.
        """
        if not 0 < limit <= MOST_RUNS:
            raise InvalidArgument(f"limit must be 1 to {MOST_RUNS:,}, not {limit}")
        if after is not None and _CURSOR.fullmatch(after) is None:
            raise InvalidArgument(f"after must be what an earlier answer gave as next, not {after!a:.80}")
        found = await self.archive.find(caller, name, account)
        before = None if after is None else int(after)
        runs = await self.runs.runs(RunFilter(found.id, before=before, limit=limit))
        more = len(runs) == limit
        return {"runs": [to_wire(_record(run)) for run in runs], "next": str(runs[-1].id) if more else None}

    async def run(self, caller: Caller, id: str) -> dict[str, Any]:
        """Return a run by its id, its number, or the first digits of one, and its manifest.

        The manifest is text; its SHA-256 is the id.  It is None until the run is closed.
        """
        run = await self.find(caller, id)
        manifest = None if run.closed_at is None else await self.runs.manifest(run.id)
        return {"run": to_wire(_record(run)), "manifest": None if manifest is None else manifest.decode()}

    async def run_results(self, caller: Caller, id: str, after: str | None = None, limit: int = 1000) -> dict[str, Any]:
        """Return the lines of a closed run's results; the manifest has the digest of all lines in sequence.

        ``next`` goes into ``after`` of the next call; None says that there are no more.
        """
        if not 0 < limit <= MOST_RESULTS:
            raise InvalidArgument(f"limit must be 1 to {MOST_RESULTS:,}, not {limit}")
        if after is not None and position_of(after) is None:
            raise InvalidArgument(f"after must be what an earlier answer gave as next, not {after!a:.80}")
        run = await self.find(caller, id)
        if run.closed_at is None:
            raise InvalidArgument(f"run {run.number} is not closed yet; its results are those of its experiment")
        if run.dropped_at is not None:
            raise InvalidArgument(
                f"the archive has dropped results of run {run.manifest_id} on {_day(run.dropped_at)}; an export from "
                "before then has them"
            )
        rows = await self.runs.rows(run, after or run.number, limit)
        lines = lines_of(columns_of(rows))
        return {"lines": lines.decode(), "next": rows[-1]["evaluation_id"] if len(rows) == limit else None}

    async def run_report(self, caller: Caller, runs: list[dict[str, Any]]) -> None:
        """Record the caller's reports on its runs: when they begin, and again when they have ended."""
        if not account_of(caller.authid):
            raise NotAuthorized("a run belongs to an account; sign in", token="missing")
        if not 0 < len(runs) <= MOST_REPORTS:
            raise InvalidArgument(f"runs must be 1 to {MOST_REPORTS} reports, not {len(runs)}")
        reports = [_checked(from_wire(each, RunReport, "a report of a run")) for each in runs]
        day = datetime.fromtimestamp(self.clock.seconds(), UTC).date()
        names = [report.experiment or default_experiment(caller.authid, day) for report in reports]
        await self.runs.report(caller.authid, reports, names)
        if any(report.ended for report in reports):
            self.closer.poke()

    async def circuit_keep(
        self, caller: Caller, run: str, sha256: str, block: bytes | None = None, length: int | None = None
    ) -> bool:
        """Keep a circuit of the caller's run; returns False if the farm does not have it yet and needs its bytes.

        ``block`` is the LZ4 block of its normal form, which has ``length`` bytes.  Raises `LimitReached`.
        """
        account = account_of(caller.authid)
        if not account:
            raise NotAuthorized("a run belongs to an account; sign in", token="missing")
        if not is_number(run):
            raise InvalidArgument(f"a run's number is 32 hexadecimal digits, not {run!a:.80}")
        _check_digest(sha256)
        if block is not None:
            if length is None:
                raise InvalidArgument("length is missing: the bytes of the circuit in its normal form")
            if digest(decompress(block, length)) != sha256:
                raise InvalidArgument("the circuit has another SHA-256 than was said")
            if not await self.runs.add_circuit(account, sha256, length, block, int(self.circuit_bytes)):
                raise LimitReached(
                    f"the farm keeps at most {self.circuit_bytes / 1e6:g} MB of circuits for an account; its operator "
                    "can change that (--archive-circuits)"
                )
        return await self.runs.keep_circuit(account, run, sha256)

    async def run_circuit(self, caller: Caller, id: str, sha256: str) -> dict[str, Any]:
        """Return a circuit that was kept with a run: the LZ4 ``block`` of its normal form, and the ``length`` of that.

        Both are None if it was not kept, or was dropped.
        """
        _check_digest(sha256)
        found = await self.runs.circuit(await self.find(caller, id), sha256)
        return {"length": None, "block": None} if found is None else {"length": found[0], "block": found[1]}

    async def find(self, caller: Caller, id: str) -> Run:
        """Return the run that a caller means.

        Raises `UnknownRun`, also for one that the caller may not read, and `InvalidArgument` where there are several.
        """
        if _ID.fullmatch(id) is None:
            raise InvalidArgument(f"a run's id is {SHORTEST} to 64 hexadecimal digits, not {id!a:.80}")
        reader, private = self.archive.reader(caller), self.archive.private
        found = await self.runs.runs(RunFilter(prefix=id, reader=reader, private=private, limit=2))
        if not found:
            raise UnknownRun(f"there is no run {id} that you may read")
        if len(found) > 1:
            raise InvalidArgument(f"several runs begin with {id}; give more digits")
        return found[0]


def _check_digest(sha256: str) -> None:
    if _DIGEST.fullmatch(sha256) is None:
        raise InvalidArgument(f"sha256 must be 64 hexadecimal digits, not {sha256!a:.80}")


def _is_deep(value: Any, most: int) -> bool:
    """Tell whether a value is nested deeper than that; how deep Python itself can follow differs."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return most < 0 or any(_is_deep(part, most - 1) for part in parts)


def _checked(report: RunReport) -> RunReport:
    if not is_number(report.number):
        raise InvalidArgument(f"a run's number is 32 hexadecimal digits, not {report.number!a:.80}")
    if report.experiment is not None and not valid_name(report.experiment):
        raise InvalidArgument(f"an experiment's name must be {NAME_RULE}, not {report.experiment!a:.120}")
    _few("boards", report.boards, MOST_BOARDS)
    _few("retried evaluations", report.retried, MOST_RETRIED)
    _few("labels", report.labels, MAX_LABELS)
    try:
        said = [getattr(report, name) for name in _SAID]
        if _is_deep(said, DEEPEST):
            raise ValueError
        size = len(json.dumps(said, allow_nan=False))
        if size <= MOST_SAID:
            # What no manifest can have is refused here already.
            canonical(said)
    except (TypeError, ValueError):
        raise InvalidArgument(
            f"options, placement and labels of a run must be values of JSON, nested {DEEPEST} deep at most"
        ) from None
    if size > MOST_SAID:
        raise InvalidArgument(f"options, placement and labels of a run have at most {MOST_SAID:,} bytes, not {size:,}")
    if min(report.results, report.failures, *report.retried.values(), 0) < 0:
        raise InvalidArgument("a run has no fewer than 0 results and failures")
    if max(report.results, report.failures, *report.retried.values(), 0) >= 2**31:
        raise InvalidArgument("a run has fewer than 2,147,483,648 results and failures")
    return report


def _few(what: str, named: Sequence[str] | Mapping[str, Any], most: int) -> None:
    if len(named) > most:
        raise InvalidArgument(f"a run has at most {most:,} {what}, not {len(named):,}")


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _record(run: Run) -> RunRecord:
    state = "closed" if run.closed_at is not None else "running" if run.ended_at is None else "ended"
    return RunRecord(
        run.manifest_id, run.number, run.account, run.experiment, run.client, run.told.kind, state, run.told.labels,
        run.begun_at, run.ended_at, run.results, run.failed, run.boards, run.dropped_at,
    )  # fmt: skip
