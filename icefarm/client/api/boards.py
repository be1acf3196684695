"""Reserved boards: what the client's three APIs have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any, Generic, TypeVar

from attrs import frozen

from icefarm.client.api.adapters import Verb, VerbAdapter
from icefarm.client.api.arguments import check_evaluation_options, checked
from icefarm.client.api.notebook.progress_bar import MakeBar, bar_of
from icefarm.client.api.notebook.shown import html_table
from icefarm.client.evaluation.payload import Placing
from icefarm.client.evaluation.plan import RunPlan
from icefarm.client.evaluation.scheduler import DEPTH
from icefarm.client.placement import AnyBoard, EachBoard, Given, Placement
from icefarm.client.session import ClientSession
from icefarm.contract import ReservationRecord
from icefarm.errors import InvalidArgument
from icefarm.text.counts import counted

__all__ = ["BoardSet", "ReservedBoards"]

#: Where an API takes bitstreams from, and the type of its results.
Source = TypeVar("Source")
Results = TypeVar("Results")


@frozen(eq=False)
class BoardSet:
    """Boards that were reserved together, in a session."""

    session: ClientSession
    records: Mapping[str, ReservationRecord]
    #: The request whose boards these are, where they become fewer and more.
    group: str | None = None

    @property
    def serials(self) -> list[str]:
        return [serial for serial, record in self.records.items() if self.session.boards.holds(serial, record.id)]

    @checked
    async def extend(self, seconds: float | None = None) -> list[str]:
        """Extend the reservations (they are extended automatically too, unless ``keep=False``)."""
        return await self.session.extend(self.serials, seconds)

    async def end(self) -> list[str]:
        """End the reservations; harmless if they have ended."""
        serials = self.serials
        ended = await self.session.end(serials) if serials else []
        late = self._came_since(serials)
        return [*ended, *await self.session.end(late)] if late else ended

    async def leave(self) -> list[str]:
        """End them in a bounded time; if that fails, log it, since an error must not hide one in the block.

        Returns the serials of the boards that were returned in that time.
        """
        serials = self.serials
        left = await self.session.leave(serials)
        late = self._came_since(serials)
        return [*left, *await self.session.leave(late)] if late else left

    def _came_since(self, serials: Sequence[str]) -> list[str]:
        """Return the boards that came while these were given back."""
        return [serial for serial in self.serials if serial not in serials]


class ReservedBoards(VerbAdapter, Generic[Source, Results]):
    """Reserved boards; made by `reserve` of a farm.  Leaving their block ends their reservations."""

    _subject: BoardSet

    extend = Verb(BoardSet.extend)
    end = Verb(BoardSet.end)
    leave = Verb(BoardSet.leave)

    @property
    def reservations(self) -> list[ReservationRecord]:
        """The reservations as they were made."""
        return list(self._subject.records.values())

    @property
    def serials(self) -> list[str]:
        """The serials of the boards that are still reserved."""
        return self._subject.serials

    def __iter__(self) -> Iterator[str]:
        return iter(self.serials)

    def __len__(self) -> int:
        return len(self.serials)

    def __repr__(self) -> str:
        return f"<Boards {', '.join(self.serials) or 'none'}>"

    def _repr_html_(self) -> str:
        held = self.serials
        rows = [
            (each.serial, each.kind, each.worker, each.options or None, "reserved" if each.serial in held else "ended")
            for each in self.reservations
        ]
        return html_table(("board", "kind", "worker", "options", "state"), rows, counted(len(held), "board"))

    @checked
    def evaluate(
        self,
        bitstreams: Source,
        *,
        placement: Placement | None = None,
        options: Mapping[str, Any] | None = None,
        depth: int = DEPTH,
        limit: float | None = None,
        experiment: str | None = None,
        labels: Mapping[str, Any] | None = None,
        total: int | None = None,
        archive: bool = True,
        resume: bool = False,
        keep_circuits: bool = False,
        progress: bool = False,
    ) -> Results:
        """Evaluate bitstreams, each once on any board, or as ``placement`` says; yield results as they arrive.

        ``bitstreams`` are paths (.bin, .asc), bytes or `icefarm.bitstream.Bitstream`, pulled as boards need them; for
        asyncio also an asynchronous iterable, which is awaited before results continue.
        Placements are in `icefarm.client.placement`.
        ``options`` apply to each evaluation (pulsecount, variance: ``{"repeats": n}``).  Each board has ``depth``
        evaluations in flight, so that it never waits.  ``limit`` is in seconds for each attempt; the default depends
        on the window.

        The farm keeps the measurements under the name of the ``experiment`` (default: that of the farm), with
        ``labels`` such as ``{"generation": 3}``; ``total`` says how many to expect in all.  Without ``archive`` it
        keeps nothing.  With ``resume``, values that the experiment already has with these options (of the board, or
        of any board if any may measure) come from the archive; `Result.archived` says so.

        ``progress`` shows a bar (needs tqdm: ``pip install 'icefarm[notebook]'``).

        With ``keep_circuits`` the farm keeps the bitstreams too, so that the run can be measured again from its id.

        An error with one bitstream is in its result: reading `Result.value` raises it.  Raises `ReservationEnded` if
        no board is left, and `InvalidArgument`.
        """
        if options:
            for kind in {record.kind for record in self._subject.records.values()}:
                check_evaluation_options(kind, options)
        serials = self.serials
        placing = Placing(placement or AnyBoard(), serials)
        plan = RunPlan(
            serials,
            options or {},
            depth,
            fan_out=placing.fan_out,
            limit=limit,
            experiment=experiment,
            labels=labels or {},
            archive=archive,
            resume=resume,
            keep_circuits=keep_circuits,
            group=self._subject.group if placement is None or isinstance(placement, AnyBoard) else None,
            placement=placing.record,
        )
        expected = len(bitstreams) * placing.fan_out if isinstance(bitstreams, Sized) else None
        make_bar = bar_of(expected) if progress else None
        if total is not None:
            session = self._subject.session
            name = experiment or session.experiment
            if name is None:
                raise InvalidArgument("total needs the name of the experiment: experiment=..., here or to Farm")
            self._post(session.announce_total, name, total)
        results = self._stream(plan, bitstreams, placing)
        return results if make_bar is None else self._counted(results, make_bar)

    @checked
    def evaluate_each(
        self,
        bitstreams: Source,
        *,
        serials: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
        depth: int = DEPTH,
        limit: float | None = None,
        experiment: str | None = None,
        labels: Mapping[str, Any] | None = None,
        total: int | None = None,
        archive: bool = True,
        resume: bool = False,
        keep_circuits: bool = False,
        progress: bool = False,
    ) -> Results:
        """Evaluate each bitstream on each board (of ``serials``, if given); otherwise like `evaluate`."""
        placement = EachBoard() if serials is None else Given(serials)
        return self.evaluate(
            bitstreams,
            placement=placement,
            options=options,
            depth=depth,
            limit=limit,
            experiment=experiment,
            labels=labels,
            total=total,
            archive=archive,
            resume=resume,
            keep_circuits=keep_circuits,
            progress=progress,
        )

    def _stream(self, plan: RunPlan, bitstreams: Source, placing: Placing) -> Results:
        raise NotImplementedError

    def _counted(self, results: Results, make_bar: MakeBar) -> Results:
        """Yield results, and count them on a bar."""
        raise NotImplementedError
