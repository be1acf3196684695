"""Experiments in the farm's archive: what the client's three APIs have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define

from icefarm.client.api.adapters import Blocking, Verb, VerbAdapter
from icefarm.client.api.arguments import RULES, checked
from icefarm.client.api.notebook.archived import ArchivedResult, ExperimentInfo, ResultPage, page_of, results_html
from icefarm.client.api.notebook.plots import picture_of
from icefarm.client.api.notebook.shown import html_table, sparkline
from icefarm.client.api.notebook.tables import arrow_table, pandas_frame, polars_frame
from icefarm.client.runs.archived_run import runs_of
from icefarm.client.session import ClientSession
from icefarm.contract import ExperimentFigures, RunRecord, from_wire
from icefarm.errors import IcefarmError

if TYPE_CHECKING:
    # It imports Twisted.
    from icefarm.client.api.reactor_thread import Engine

__all__ = ["AwaitedResults", "BlockingExperiment", "BlockingResults", "ExperimentFace", "ExperimentHandle", "within"]

T = TypeVar("T")

#: Results of one call.
PAGE = 2000
#: Results that a notebook shows of a stream, steps of an experiment's sparkline, and seconds that it waits for them.
SHOWN, SKETCHED = 10, 60
LOOK = 3.0
#: Seconds between questions for new results.
POLL = 1.0


def within(engine: Engine, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    """Ask the farm for what a notebook displays, within a short time.  Raises TimeoutError."""
    future = engine.submit(function, *args)
    try:
        return future.result(LOOK)
    except BaseException:
        future.cancel()
        raise


@define(eq=False)
class ExperimentHandle:
    """An experiment, in a session."""

    session: ClientSession
    name: str
    account: str | None = None

    async def info(self) -> ExperimentInfo:
        """Return its state: counts, rate, boards, failures.  Raises `UnknownExperiment`."""
        answer = await self._ask("experiment")
        known = {name: answer.get(name) for name in ("experiment", "boards", "failures", "time")}
        return from_wire(known, ExperimentInfo, "the answer about an experiment")

    async def log(self, **figures: float) -> None:
        """Report figures, such as ``generation=3, best_fitness=0.8``: the farm keeps them with the time."""
        numbers = {name: RULES["figures"].apply(name, value) for name, value in figures.items()}
        await self.session.call("experiment_log", name=self.name, figures=numbers)

    @checked
    async def announce(self, *, total: int | None = None, shared: bool | None = None) -> None:
        """Say how many evaluations to expect in all, and whether other accounts may read it."""
        await self.session.call("experiment_announce", name=self.name, total=total, shared=shared)

    async def figures(self) -> list[ExperimentFigures]:
        """Return all figures that were reported, in order."""
        found: list[ExperimentFigures] = []
        after, more = None, True
        while more:
            answer = await self._ask("experiment_figures", after=after, limit=5000)
            found += [from_wire(each, ExperimentFigures) for each in answer["figures"]]
            after, more = answer["next"], answer["more"]
        return found

    @checked
    async def plot(self, *, serials: Sequence[str] | None = None, since: float | None = None, best: str = "max") -> Any:
        """Return a ``matplotlib.figure.Figure``: values over time by board, the best so far, the reported figures.

        ``best`` is ``max`` or ``min``.  Raises `InvalidArgument` without matplotlib.
        """
        from icefarm.client.api.notebook.drawing import check_matplotlib, drawn_figure

        check_matplotlib()
        query = {"serials": serials, "since": since, "failed": False}
        found = await ResultStream(self, query, False, None).all()
        results = [{"ended_at": each.ended_at, "serial": each.serial, "number": each.number} for each in found]
        figures = [{"time": each.time, "figures": each.figures} for each in await self.figures()]
        return drawn_figure(picture_of(self.name, results, figures, best))

    async def runs(self) -> list[RunRecord]:
        """Return its runs, the newest first; each is one stream of evaluations."""
        return await runs_of(self.session, self.name, self.account)

    async def sketch(self) -> tuple[ExperimentInfo, list[float]]:
        """Return what the farm has of it, and the means of its values over time, a few dozen."""
        info = await self.info()
        series = (await self._ask("experiment_series", points=SKETCHED))["together"]
        means = [total / count for total, count in zip(series["sum"], series["numbers"], strict=True) if count]
        return info, means

    async def page(self, query: Mapping[str, Any], after: str | None, limit: int) -> ResultPage:
        """Return results after a cursor."""
        answer = await self._ask("experiment_results", **query, after=after, limit=limit)
        calibrations = self.session.calibrations
        page = page_of(answer, calibrations.by_id)
        await calibrations.learn(result.calibration for result in page.results)
        return page

    async def wait(self) -> None:
        """Wait until it is worth asking for more."""
        from twisted.internet.task import deferLater

        await deferLater(self.session.clock, POLL)  # type: ignore[arg-type]

    async def _ask(self, verb: str, **arguments: Any) -> Any:
        return await self.session.call(verb, name=self.name, account=self.account, **arguments)


@define(eq=False)
class ResultStream:
    """Results of an experiment, as a query says, one page after the other."""

    handle: ExperimentHandle
    query: Mapping[str, Any]
    follow: bool
    #: Where the next page begins.
    cursor: str | None

    async def next_page(self) -> Sequence[ArchivedResult] | None:
        """Return the next results; None at the end."""
        while True:
            page = await self.handle.page(self.query, self.cursor, PAGE)
            self.cursor = page.next
            if page.results:
                return page.results
            if not self.follow:
                return None
            await self.handle.wait()

    async def all(self) -> list[ArchivedResult]:
        """Return everything that is there now."""
        found: list[ArchivedResult] = []
        more = True
        while more:
            page = await self.handle.page(self.query, self.cursor, PAGE)
            self.cursor, more = page.next, page.more
            found += page.results
        return found

    @checked
    async def to_arrow(self, *, corrected: bool = False) -> Any:
        """Return them as a ``pyarrow.Table`` (needs icefarm[parquet]).

        With ``corrected`` it has the values without their boards' deviations, and their standard uncertainties.
        """
        return arrow_table(await self.all(), corrected=corrected)

    @checked
    async def to_pandas(self, *, corrected: bool = False) -> Any:
        """Return them as a ``pandas.DataFrame`` (needs pandas); ``corrected`` as for `to_arrow`."""
        return pandas_frame(await self.all(), corrected=corrected)

    @checked
    async def to_polars(self, *, corrected: bool = False) -> Any:
        """Return them as a ``polars.DataFrame`` (needs polars); ``corrected`` as for `to_arrow`."""
        return polars_frame(await self.all(), corrected=corrected)


class _Results(VerbAdapter):
    """Results of an experiment: iterate over them, in constant memory, or have them as a table.

    ``cursor`` says how far it got; given as ``after``, it continues there.
    """

    _subject: ResultStream

    to_arrow = Verb(ResultStream.to_arrow)
    to_pandas = Verb(ResultStream.to_pandas)
    to_polars = Verb(ResultStream.to_polars)

    def __init__(self, experiment: VerbAdapter, subject: ResultStream) -> None:
        self._call_as(experiment)
        self._subject = subject

    @property
    def cursor(self) -> str | None:
        """Where the next results begin."""
        return self._subject.cursor


class BlockingResults(_Results, Blocking):
    __doc__ = _Results.__doc__

    def _repr_html_(self) -> str:
        subject = self._subject
        try:
            page = within(self._engine, subject.handle.page, subject.query, subject.cursor, SHOWN)
        except (IcefarmError, TimeoutError) as error:
            return html_table(
                ("experiment", "state"), [(subject.handle.name, str(error) or "the farm does not answer")]
            )
        return results_html(page.results, f"the next results of {subject.handle.name}{', …' if page.more else ''}")

    def __iter__(self) -> Iterator[ArchivedResult]:
        while (page := self._bound(self._subject.next_page)()) is not None:
            yield from page


class AwaitedResults(_Results):
    __doc__ = _Results.__doc__

    async def __aiter__(self) -> AsyncIterator[ArchivedResult]:
        while (page := await self._bound(self._subject.next_page)()) is not None:
            for result in page:
                yield result


class ExperimentFace(VerbAdapter):
    """An experiment in the farm's archive."""

    _subject: ExperimentHandle

    info = Verb(ExperimentHandle.info)
    log = Verb(ExperimentHandle.log)
    announce = Verb(ExperimentHandle.announce)
    figures = Verb(ExperimentHandle.figures)
    plot = Verb(ExperimentHandle.plot)
    runs = Verb(ExperimentHandle.runs)

    def __init__(self, farm: Any, name: str, account: str | None) -> None:
        self._call_as(farm)
        self._farm = farm
        self._subject = ExperimentHandle(farm._subject, name, account)

    @property
    def name(self) -> str:
        return self._subject.name

    def __repr__(self) -> str:
        return f"<Experiment {self.name!r}>"

    @checked
    def results(
        self,
        *,
        serials: Sequence[str] | None = None,
        since: float | None = None,
        until: float | None = None,
        failed: bool | None = None,
        kind: str | None = None,
        sha256: Sequence[str] | None = None,
        after: str | None = None,
        follow: bool = False,
    ) -> Any:
        """Return its results in the order in which they arrived, as something to iterate over.

        Select results by boards (``serials``), by their end (from ``since`` to before ``until``, seconds since the
        epoch), failures or values (``failed``), ``kind``, and circuits (``sha256``).  ``after`` is the ``cursor`` of
        earlier results.  With ``follow`` the iteration never ends: it waits for new results.
        """
        query = {
            "serials": serials, "since": since, "until": until, "failed": failed, "kind": kind, "sha256": sha256
        }  # fmt: skip
        return self._results(ResultStream(self._subject, query, follow, after))

    @checked
    def run(self, id: str) -> Any:
        """Return a run by its id, its number, or the first digits of one.  Raises `UnknownRun`."""
        return self._farm.archived_run(id, experiment=self.name)

    def _results(self, stream: ResultStream) -> Any:
        raise NotImplementedError


class BlockingExperiment(ExperimentFace, Blocking):
    __doc__ = ExperimentFace.__doc__

    def _repr_html_(self) -> str:
        try:
            info, means = within(self._engine, self._subject.sketch)
        except (IcefarmError, TimeoutError) as error:
            return html_table(("experiment", "state"), [(self.name, str(error) or "the farm does not answer")])
        record = info.experiment
        failures = ", ".join(f"{count} {error}" for error, count in info.failures.items())
        heads = ("experiment", "account", "done", "total", "failed", "boards", "rate", "values over time")
        row = (
            record.name, record.account, record.done, record.total, failures or record.failed, record.boards,
            f"{record.rate:.3g}/s", sparkline(means),
        )  # fmt: skip
        return html_table(heads, [row])

    def _results(self, stream: ResultStream) -> BlockingResults:
        return BlockingResults(self, stream)
