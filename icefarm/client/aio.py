"""The asyncio face of the client.  The engine runs in its own thread; the event loop is never blocked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self, TypeVar

from icefarm.client.connection import Patience
from icefarm.client.dispatch import DEPTH
from icefarm.client.ending import Ending
from icefarm.client.engine import engine
from icefarm.client.payload import Placing
from icefarm.client.placement import AnyBoard, EachBoard, Given, Placement
from icefarm.client.results import Result
from icefarm.client.run import Batch, Run, no_board_left
from icefarm.client.session import ClientSession, RunPlan, Snapshot, connect
from icefarm.client.settings import Settings
from icefarm.contract import DeviceRecord, ReservationRecord, Role, WorkerRecord
from icefarm.errors import IcefarmError

__all__ = ["Boards", "Farm"]

T = TypeVar("T")

_log = logging.getLogger("icefarm.client.farm")


class Boards:
    """Reserved boards; made by `Farm.reserve`.  Leaving the ``async with`` block ends their reservations."""

    def __init__(self, farm: Farm, records: Sequence[ReservationRecord]) -> None:
        self._farm = farm
        self._records = {record.serial: record for record in records}

    @property
    def reservations(self) -> list[ReservationRecord]:
        """The reservations as they were made."""
        return list(self._records.values())

    @property
    def serials(self) -> list[str]:
        """The serials of the boards that are still reserved."""
        return [serial for serial, record in self._records.items() if self._farm.holds(serial, record.id)]

    def evaluate(
        self,
        bitstreams: Iterable[Any] | AsyncIterable[Any],
        *,
        placement: Placement | None = None,
        options: Mapping[str, Any] | None = None,
        depth: int = DEPTH,
        limit: float | None = None,
    ) -> AsyncIterator[Result]:
        """Evaluate bitstreams, each once on whichever board is free, or as ``placement`` says.

        As `icefarm.client.Boards.evaluate`.

        An asynchronous iterable is pulled as boards need items, and is awaited before results go on: one that waits
        long for its next item holds them up as long.
        """
        placing = Placing(placement or AnyBoard(), self.serials)
        plan = RunPlan(self.serials, options or {}, depth, fan_out=placing.fan_out, limit=limit)
        return self._farm.stream(plan, self._records, bitstreams, placing)

    def evaluate_each(
        self,
        bitstreams: Iterable[Any] | AsyncIterable[Any],
        *,
        serials: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
        depth: int = DEPTH,
        limit: float | None = None,
    ) -> AsyncIterator[Result]:
        """Evaluate each bitstream on each board (of ``serials``, where given)."""
        placement = EachBoard() if serials is None else Given(serials)
        return self.evaluate(bitstreams, placement=placement, options=options, depth=depth, limit=limit)

    async def extend(self, seconds: float | None = None) -> list[str]:
        """Extend the reservations (they are extended automatically too, unless ``keep=False``)."""
        return await self._farm.extend(self.serials, seconds)

    async def end(self) -> list[str]:
        """End the reservations; harmless when they have ended."""
        serials = self.serials
        return await self._farm.end(serials) if serials else []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.end()
        except IcefarmError as error:
            # Not to hide what happened in the block; the farm's end, or the grace period, ends them too.
            _log.warning("could not end the reservations: %s", error)


class Farm:
    """A farm of boards: ``async with Farm(url, name="exp") as farm``; arguments as of `icefarm.client.Farm`."""

    #: Makes the session; tests put a farm in memory here.
    _connect: ClassVar[Callable[..., ClientSession]] = staticmethod(connect)

    def __init__(
        self,
        url: str | None = None,
        name: str | None = None,
        *,
        token: str | None = None,
        role: str = Role.CLIENT,
        connect_timeout: float = 5.0,
        retry_for: float = 120.0,
        ca_file: str | None = None,
    ) -> None:
        """Signs in when the block is entered.  Raises `InvalidArgument`."""
        settings = Settings.of(url, name, token, role, ca_file)
        self._engine = engine()
        self._session = self._connect(
            self._engine.reactor,
            settings.url,
            settings.name,
            token=settings.token,
            role=settings.role,
            patience=Patience(connect_timeout, retry_for),
            ca_file=settings.ca_file,
        )
        self._ending: Ending | None = None

    @property
    def name(self) -> str:
        """The name under which the farm knows this client."""
        return self._session.name

    def holds(self, serial: str, reservation: str) -> bool:
        """Tell whether a reservation still stands, as far as is known here."""
        return self._session.holds(serial, reservation)

    async def __aenter__(self) -> Self:
        await self._run(self._session.start)
        self._ending = Ending(partial(self._engine.run, self._session.stop))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, *, end: bool = True) -> None:
        """End the reservations (unless ``end`` is false) and sign out.  Takes a few seconds at most."""
        if self._ending is not None and self._ending.pending:
            self._ending.done()
            await self._run(self._session.stop, end=end)

    async def reserve(
        self,
        amount: int | None = None,
        *,
        serials: Sequence[str] | None = None,
        kind: str = "pulsecount",
        wait: bool = False,
        timeout: float | None = None,
        seconds: float | None = None,
        grace: float | None = None,
        keep: bool = True,
        progress: Callable[[Mapping[str, Any]], None] | None = None,
        options: Mapping[str, Any] | None = None,
        **more_options: Any,
    ) -> Boards:
        """Reserve ``amount`` boards, or those named; as `icefarm.client.Farm.reserve`.

        ``progress`` is called in the event loop's thread.
        """
        loop = asyncio.get_running_loop()
        told = None if progress is None else lambda word: loop.call_soon_threadsafe(progress, word)
        records = await self._run(
            self._session.reserve,
            amount,
            serials=serials,
            kind=kind,
            options={**(options or {}), **more_options},
            wait=wait,
            timeout=timeout,
            seconds=seconds,
            grace=grace,
            keep=keep,
            progress=told,
        )
        return Boards(self, records)

    async def adopt(self, *, keep: bool = True) -> Boards:
        """Take over the boards that the farm still holds for this name, after a crash of the script, say."""
        return Boards(self, await self._run(self._session.adopt, keep=keep))

    async def available(self, kind: str | None = None) -> list[str]:
        """Return the serials of the boards that could be reserved now."""
        return await self._run(self._session.available, kind)

    async def snapshot(self) -> Snapshot:
        """Return workers, devices, reservations and queue as of one moment."""
        return await self._run(self._session.snapshot)

    async def devices(self) -> list[DeviceRecord]:
        return (await self.snapshot()).devices

    async def workers(self) -> list[WorkerRecord]:
        return (await self.snapshot()).workers

    async def reservations(self) -> list[ReservationRecord]:
        """Return everybody's reservations."""
        return (await self.snapshot()).reservations

    async def extend(self, serials: Sequence[str] | None = None, seconds: float | None = None) -> list[str]:
        """Extend reservations, all of one's own by default, and return the serials.  Raises `NotYours`."""
        return await self._run(self._session.extend, serials, seconds)

    async def end(self, serials: Sequence[str] | None = None) -> list[str]:
        """End reservations, all of one's own by default, and return the serials.  Raises `NotYours`."""
        return await self._run(self._session.end, serials)

    async def reboot(self, serials: Sequence[str]) -> list[str]:
        """Reboot boards; their reservations, and the evaluations that wait for them, stay."""
        return await self._run(self._session.reboot, serials)

    async def ask(self, serial: str, method: str, *, limit: float | None = 60.0, **arguments: Any) -> Any:
        """Call a method that the kind of a reserved board offers beside ``evaluate``; ``limit`` is in seconds."""
        return await self._run(self._session.ask, serial, method, limit=limit, **arguments)

    async def stream(
        self,
        plan: RunPlan,
        reservations: Mapping[str, ReservationRecord],
        bitstreams: Iterable[Any] | AsyncIterable[Any],
        placing: Placing,
    ) -> AsyncIterator[Result]:
        """Yield the results of a plan.  Bitstreams are read and checked in the engine's thread."""

        async def begin() -> Run:
            return self._session.run(plan, reservations)

        run = await self._run(begin)

        async def take() -> Batch:
            return await run.take()

        def feed(source: Any, last: bool) -> None:
            run.feed([] if last else [placing.item(source)], last=last)

        source, wanted, exhausted = _each(bitstreams), run.wanted, False
        try:
            if not run.boards:
                raise no_board_left()
            while True:
                while wanted > 0 and not exhausted:
                    given = await anext(source, _END)
                    exhausted = given is _END
                    self._engine.post(feed, given, exhausted)
                    wanted -= 1
                batch = await self._run(take)
                for result in batch.results:
                    yield result
                if batch.done:
                    return
                if batch.deserted:
                    raise no_board_left()
                wanted = batch.wanted
        finally:
            self._engine.post(run.stop)

    async def _run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T:
        return await asyncio.wrap_future(self._engine.submit(function, *args, **kwargs))


_END = object()


async def _each(bitstreams: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(bitstreams, AsyncIterable):
        async for bitstream in bitstreams:
            yield bitstream
    else:
        for bitstream in bitstreams:
            yield bitstream
