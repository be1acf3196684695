"""The procedures ``icefarm.v1.control.experiment*``: the archive for its readers, and for owners of experiments."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from types import MethodType
from typing import Any

from attrs import define, evolve

from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.contract import (
    CORRECTED_FIELDS,
    LONGEST_NAME,
    MAX_FIGURES,
    NAME_RULE,
    RESULT_FIELDS,
    ExperimentRecord,
    Role,
    account_of,
    to_wire,
    valid_name,
)
from icefarm.control.archive.activity import Activity
from icefarm.control.archive.copying.extracts import as_lines
from icefarm.control.archive.interface import (
    Archive,
    ExperimentFilter,
    FileForm,
    KnownQuery,
    ResultQuery,
    SeriesPoint,
    SeriesQuery,
    StoredExperiment,
)
from icefarm.control.archive.usage import UsageQuery, dimensions, used
from icefarm.control.inventory.calibration.corrections import Corrections
from icefarm.errors import InvalidArgument, NotAuthorized, Unavailable, UnknownExperiment

__all__ = ["READERS", "ArchiveProcedures", "Table", "without_archive"]

#: Procedures by name, each with the roles that may call it; and the roles that may call these.
Table = Mapping[str, tuple[Callable[..., Any], tuple[Role, ...]]]
READERS = (Role.CLIENT, Role.OPERATOR)

#: Rows of one answer at most.
MOST_RESULTS, MOST_EXPERIMENTS, MOST_FIGURES = 5000, 1000, 5000
#: Bytes of values in an answer, and of a part of a file; and rows of such a part.
ANSWER, EXTRACT, MOST_EXTRACTED = 1 << 20, 1_200_000, 5000
#: Results of one answer that are corrected: control computes them one by one.
MOST_CORRECTED = 500
#: Points of a series at most: of all boards together, and of its boards in all.
MOST_POINTS, MOST_BOARD_POINTS = 1000, 3000
#: Seconds of the shortest step of a series; each longer one is this one doubled any number of times.
SHORTEST_STEP = 0.25
#: The figures of a point, besides its time.
_POINT = ("done", "failed", "numbers", "sum", "least", "most")
#: Seconds that an answer about usage covers by default.
USUAL = 7 * 86400.0
#: Most evaluations that a client can expect, and serials or circuits that a query names.
MOST_TOTAL, MOST_NAMED = 10**12, 10_000
#: Circuits of one look-up, and digits of a SHA-256.
MOST_KNOWN, DIGEST = 1000, 64
#: Accounts with an experiment of one name that an error names.
SAME_NAME = 50
_CURSOR = re.compile(r"[0-9]{1,18}", re.ASCII)
#: Microseconds, and an id.
_EXPERIMENTS_CURSOR = re.compile(r"([0-9]{1,18})-([0-9]{1,18})", re.ASCII)


def _cursor(text: str | None) -> int:
    return 0 if text is None else int(_read(_CURSOR, text)[0])


def _before(text: str) -> tuple[float, int]:
    time, id = _read(_EXPERIMENTS_CURSOR, text).groups()
    return int(time) / 1e6, int(id)


def _read(cursor: re.Pattern[str], text: str) -> re.Match[str]:
    found = cursor.fullmatch(text)
    if found is None:
        raise InvalidArgument(f"after must be what an earlier answer gave as next, not {text!a:.80}")
    return found


def _check_options(options: Mapping[str, Any]) -> None:
    try:
        text = json.dumps(options, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgument("options must be what JSON has a form for: text, finite numbers, lists, ...") from None
    if "\\u0000" in text:
        raise InvalidArgument("options must be text without a character NUL")


def _after_known(text: str) -> tuple[str, str]:
    digest, _, serial = text.partition("-")
    if not digest or len(digest) > DIGEST or len(serial) > LONGEST_NAME or "\0" in text:
        raise InvalidArgument(f"after must be what an earlier answer gave as next, not {text!a:.80}")
    return digest, serial


def _limit(limit: int, most: int, name: str = "limit") -> int:
    if not 0 < limit <= most:
        raise InvalidArgument(f"{name} must be 1 to {most:,}, not {limit}")
    return limit


def _part(limit: int, most: int, corrected: bool) -> int:
    """Return how many results an answer has at most."""
    return min(_limit(limit, most), MOST_CORRECTED) if corrected else _limit(limit, most)


def _checked_name(name: str) -> str:
    if not valid_name(name):
        raise InvalidArgument(f"an experiment's name must be {NAME_RULE}, not {name!a:.120}")
    return name


def _few(what: str, named: Sequence[str] | None) -> Sequence[str] | None:
    if named is not None and len(named) > MOST_NAMED:
        raise InvalidArgument(f"{what} names {len(named)}; at most {MOST_NAMED:,} at once")
    return named


@define(eq=False)
class ArchiveProcedures:
    """The procedures for clients and operators.

    A client reads the experiments of its own account, and those that are shared, unless the farm is private; an
    operator reads all.
    """

    archive: Archive
    activity: Activity
    clock: Clock
    private: bool
    corrections: Corrections

    @classmethod
    def methods(cls) -> Sequence[Callable[..., Any]]:
        """Return the functions that are procedures."""
        return (
            cls.experiments, cls.experiment, cls.experiment_results, cls.experiment_file, cls.experiment_known,
            cls.experiment_figures, cls.experiment_series, cls.board_experiments, cls.usage, cls.experiment_log,
            cls.experiment_announce,
        )  # fmt: skip

    def table(self) -> Table:
        """Return each procedure with the roles that may call it."""
        return {method.__name__: (MethodType(method, self), READERS) for method in self.methods()}

    async def experiments(
        self,
        caller: Caller,
        account: str | None = None,
        name: str | None = None,
        since: float | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> dict[str, Any]:
        """Return the experiments that the caller may read, the most recently active first.

        ``next`` in the answer goes into ``after`` of the next call; None says that there are no more.
        """
        before = None if after is None else _before(after)
        query = ExperimentFilter(
            account, name, self.reader(caller), self.private, before, since, _limit(limit, MOST_EXPERIMENTS)
        )
        found = await self.archive.experiments(query)
        more = len(found) == limit
        return {
            "experiments": [to_wire(self._record(each)) for each in found],
            "next": f"{round(found[-1].active_at * 1e6)}-{found[-1].id}" if more else None,
        }

    async def experiment(self, caller: Caller, name: str, account: str | None = None) -> dict[str, Any]:
        """Return an experiment, what each board did for it, and its failures by the name of their error."""
        found = await self.find(caller, name, account)
        boards = await self.archive.boards(found.id)
        return {
            "experiment": to_wire(self._record(found)),
            "boards": [to_wire(board) for board in boards],
            "failures": await self.archive.failures(found.id),
            "time": self.clock.seconds(),
        }

    async def experiment_results(
        self,
        caller: Caller,
        name: str,
        account: str | None = None,
        after: str | None = None,
        limit: int = 1000,
        serials: list[str] | None = None,
        since: float | None = None,
        until: float | None = None,
        failed: bool | None = None,
        kind: str | None = None,
        sha256: list[str] | None = None,
        corrected: bool = False,
    ) -> dict[str, Any]:
        """Return results in the order of arrival, each a list of values for the names in ``fields``.

        ``next`` goes into ``after`` of the next call, even at the end: later calls then return newer results;
        ``more`` says whether there are more already.  With ``corrected`` the last two fields are the value without the
        board's deviation, and its standard uncertainty; an answer has fewer results then.
        """
        query = ResultQuery(
            _cursor(after), _part(limit, MOST_RESULTS, corrected), ANSWER, _few("serials", serials), since, until,
            failed, kind, _few("sha256", sha256),
        )  # fmt: skip
        found = await self.find(caller, name, account)
        fields, rows, more = await self._results(found.id, query, corrected)
        return {
            "fields": list(fields),
            "results": [list(row) for row in rows],
            "next": str(rows[-1][0] if rows else query.after),
            "more": more,
        }

    async def _results(
        self, id: int, query: ResultQuery, corrected: bool
    ) -> tuple[Sequence[str], Sequence[Sequence[Any]], bool]:
        rows, more = await self.archive.results(id, query)
        if not corrected:
            return RESULT_FIELDS, rows, more
        added = await self.corrections.of(rows)
        return (*RESULT_FIELDS, *CORRECTED_FIELDS), [(*row, *each) for row, each in zip(rows, added, strict=True)], more

    async def experiment_file(
        self,
        caller: Caller,
        name: str,
        format: str,
        account: str | None = None,
        after: str | None = None,
        serials: list[str] | None = None,
        since: float | None = None,
        until: float | None = None,
        failed: bool | None = None,
        kind: str | None = None,
        sha256: list[str] | None = None,
        limit: int = MOST_EXTRACTED,
        corrected: bool = False,
    ) -> dict[str, Any]:
        """Return results as a part of a file: ``data`` has lines of ``format`` csv or jsonl, about a megabyte of them.

        Lines of CSV have ``fields``; options, labels and values are JSON there, and nothing is an empty field without
        quotes.  ``next``, ``more`` and ``corrected`` as for results: the parts, one after the other, are the file.
        """
        if format not in (*FileForm,):
            raise InvalidArgument(f"format must be one of {', '.join(FileForm)}, not {format!a:.40}")
        query = ResultQuery(
            _cursor(after), _part(limit, MOST_EXTRACTED, corrected), EXTRACT, _few("serials", serials), since, until,
            failed, kind, _few("sha256", sha256),
        )  # fmt: skip
        found = await self.find(caller, name, account)
        if corrected:
            fields, rows, more = await self._results(found.id, query, True)
            last = str(rows[-1][0] if rows else query.after)
            data = as_lines(fields, rows, FileForm(format))
            return {"fields": list(fields), "data": data, "rows": len(rows), "next": last, "more": more}
        part = await self.archive.extract(found.id, query, FileForm(format))
        return {
            "fields": list(RESULT_FIELDS), "data": part.data, "rows": part.rows, "next": str(part.last),
            "more": part.more,
        }  # fmt: skip

    async def experiment_known(
        self,
        caller: Caller,
        name: str,
        kind: str,
        options: dict[str, Any],
        sha256: list[str],
        account: str | None = None,
        serials: list[str] | None = None,
        after: str | None = None,
    ) -> dict[str, Any]:
        """Return the values that an experiment already has of circuits, to resume a run; see `experiment_results`.

        They are measured as that ``kind``, with exactly these ``options`` (of the kind and of the evaluation, defaults
        too, as results have them): of each circuit the newest value on each board of ``serials``, or one of any board.
        ``next`` goes into ``after`` of the next call, of the same arguments; None says that there are no more.
        """
        if not 0 < len(sha256) <= MOST_KNOWN:
            raise InvalidArgument(f"sha256 names {len(sha256)} circuits; 1 to {MOST_KNOWN:,} at once")
        begin = ("", "") if after is None else _after_known(after)
        _check_options(options)
        query = KnownQuery(kind, options, sha256, _few("serials", serials), begin)
        found = await self.find(caller, name, account)
        rows, more = await self.archive.known(found.id, query)
        last = dict(zip(RESULT_FIELDS, rows[-1], strict=True)) if more else {}
        return {
            "fields": list(RESULT_FIELDS),
            "results": [list(row) for row in rows],
            "next": f"{last['sha256']}-{'' if serials is None else last['serial']}" if more else None,
            "more": more,
        }

    async def experiment_figures(
        self, caller: Caller, name: str, account: str | None = None, after: str | None = None, limit: int = 1000
    ) -> dict[str, Any]:
        """Return the figures that the owner reported; ``next`` and ``more`` as for results."""
        begin, most = _cursor(after), _limit(limit, MOST_FIGURES)
        found = await self.find(caller, name, account)
        figures = await self.archive.figures(found.id, begin, most)
        return {
            "figures": [to_wire(each) for each in figures],
            "next": str(figures[-1].id if figures else begin),
            "more": len(figures) == limit,
        }

    async def experiment_series(
        self,
        caller: Caller,
        name: str,
        account: str | None = None,
        after: str | None = None,
        serials: list[str] | None = None,
        since: float | None = None,
        until: float | None = None,
        points: int = 400,
    ) -> dict[str, Any]:
        """Return an experiment's results over time, in at most ``points`` steps: of all boards together, and of each.

        A step has the numbers of values and failures, and for values that are numbers their number, sum, minimum
        and maximum.  Steps begin at multiples of their length, which is 0.25 s times a power of two, so you can
        combine them into longer ones.  Beyond 100,000 results a step has at least 16 s, and the first and last steps
        count as a whole.  ``next`` goes into ``after`` of a later call, which returns newer results to add to the
        earlier ones.
        """
        begin, most = _cursor(after), _limit(points, MOST_POINTS, "points")
        _few("serials", serials)
        found = await self.find(caller, name, account)
        first, last = found.first_at or found.created_at, found.last_at or found.created_at
        span = min(last, until or last) - max(first, since or first)
        boards = len(serials) if serials else max(1, found.boards)
        step = _step(span, most)
        board_step = max(step, _step(span, max(1, min(most, MOST_BOARD_POINTS // boards))))
        series = await self.archive.series(found.id, SeriesQuery(step, board_step, begin, serials, since, until))
        by_board: dict[str | None, list[SeriesPoint]] = {None: []}
        for point in series.points:
            by_board.setdefault(point.serial, []).append(point)
        together = by_board.pop(None)
        return {
            "step": series.step,
            "board_step": series.board_step,
            "together": _columns(together),
            "boards": {serial: _columns(by_board[serial]) for serial in by_board},
            "next": str(series.last),
        }

    async def board_experiments(self, caller: Caller, serial: str, limit: int = 100) -> list[dict[str, Any]]:
        """Return a board's part in the experiments that the caller may read, the newest first."""
        query = ExperimentFilter(
            reader=self.reader(caller), private=self.private, limit=_limit(limit, MOST_EXPERIMENTS)
        )
        return [to_wire(part) for part in await self.archive.of_board(serial, query)]

    async def usage(
        self,
        caller: Caller,
        by: str = "account",
        since: float | None = None,
        until: float | None = None,
        account: str | None = None,
    ) -> dict[str, Any]:
        """Return the use of boards in a period, by default the last seven days: by account, board or experiment.

        ``by`` may have several, such as ``account,board``.  A client sees its own account, an operator all, or the
        account that it names.  The time is that of reservations; by experiment, where a reservation may serve
        several, it runs from the first result of each day to the last.  Evaluations are counted by whole days (UTC).
        """
        names = dimensions(by)
        end = self.clock.seconds() if until is None else min(until, self.clock.seconds())
        begin = end - USUAL if since is None else since
        if not 0 <= begin < end:
            raise InvalidArgument("since must be a time before until, in seconds since 1970")
        reader = self.reader(caller)
        if reader is not None and account not in (None, reader):
            raise NotAuthorized("only an operator sees what other accounts used")
        held, measured = await self.archive.usage(UsageQuery(begin, end, account if reader is None else reader))
        return {"since": begin, "until": end, "usage": [to_wire(each) for each in used(names, held, measured)]}

    async def experiment_log(self, caller: Caller, name: str, figures: dict[str, float]) -> None:
        """Record figures for an experiment of the caller's account, such as the generation and its best fitness."""
        if not 0 < len(figures) <= MAX_FIGURES:
            raise InvalidArgument(f"figures must be 1 to {MAX_FIGURES} numbers by name, not {len(figures)}")
        for figure in figures:
            if not valid_name(figure):
                raise InvalidArgument(f"the name of a figure must be {NAME_RULE}, not {figure!a:.120}")
        await self.archive.log((_account(caller), _checked_name(name)), figures, self.clock.seconds())

    async def experiment_announce(
        self, caller: Caller, name: str, total: int | None = None, shared: bool | None = None
    ) -> None:
        """Record how many evaluations the caller expects of its experiment, and whether other accounts may read it."""
        if total is not None:
            _limit(total, MOST_TOTAL, "total")
        await self.archive.announce((_account(caller), _checked_name(name)), total, shared)

    async def find(self, caller: Caller, name: str, account: str | None) -> StoredExperiment:
        """Return the experiment that a caller means: of an account, else its own, else the only one of that name.

        Raises `UnknownExperiment`, also for one that the caller may not read, and `InvalidArgument` where there are
        several.
        """
        query = ExperimentFilter(account, name, self.reader(caller), self.private, limit=SAME_NAME)
        first = evolve(query, account=account_of(caller.authid)) if account is None else query
        found = await self.archive.experiments(first)
        if not found and account is None:
            found = await self.archive.experiments(query)
        if len(found) > 1:
            accounts = ", ".join(each.account for each in found)
            raise InvalidArgument(f"several accounts have an experiment {name!r}; give one as account: {accounts}")
        if not found:
            whose = "" if account is None else f" of account {account!a:.120}"
            raise UnknownExperiment(f"there is no experiment {name!a:.120}{whose} that you may read")
        return found[0]

    def reader(self, caller: Caller) -> str | None:
        """Return whose experiments a caller may read beside those that are shared; None for an operator: all."""
        return None if caller.role == Role.OPERATOR else account_of(caller.authid)

    def _record(self, found: StoredExperiment) -> ExperimentRecord:
        return ExperimentRecord(
            found.account, found.name, found.done, found.failed, found.total, found.boards, found.first_at,
            found.last_at, self.activity.rate(found.key), found.shared and not self.private, found.created_at,
        )  # fmt: skip


def _step(span: float, points: int) -> float:
    """Return the length of a step with which a span has at most so many points, or one more at its ends."""
    step = SHORTEST_STEP
    while step * points < span:
        step *= 2
    return step


def _columns(points: Sequence[SeriesPoint]) -> dict[str, list[Any]]:
    figures = {name: [getattr(point, name) for point in points] for name in _POINT}
    return {"time": [point.time for point in points], **figures}


def without_archive(methods: Sequence[Callable[..., Any]]) -> Table:
    """Return the table of procedures on a farm that keeps no measurements: each is answered at once."""
    return {method.__name__: (_keeps_nothing, READERS) for method in methods}


async def _keeps_nothing(_: Caller, *__: Any, **___: Any) -> None:
    """Refuse a call, whatever its arguments are."""
    raise Unavailable("this farm keeps no measurements (--archive off)")


def _account(caller: Caller) -> str:
    account = account_of(caller.authid)
    if not account:
        raise NotAuthorized("an experiment belongs to an account; sign in", token="missing")
    return account
