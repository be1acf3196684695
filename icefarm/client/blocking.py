"""The blocking face of the client, for scripts and notebooks: the farm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, ClassVar

from icefarm.client.boards import Boards
from icefarm.client.connection import Patience
from icefarm.client.ending import Ending
from icefarm.client.engine import Engine, engine
from icefarm.client.holdings import ClientEvent
from icefarm.client.results import Result
from icefarm.client.session import ClientSession, RunPlan, Snapshot, connect
from icefarm.client.settings import Settings
from icefarm.client.stream import stream
from icefarm.client.tasks import Item
from icefarm.client.watch import Change, changes
from icefarm.contract import DeviceRecord, QueueRecord, ReservationRecord, Role, WorkerRecord

__all__ = ["Boards", "Farm"]


class Farm:
    """A farm of boards.  Leaving the ``with`` block, or the end of the script, ends its reservations."""

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
        on_event: Callable[[ClientEvent], None] | None = None,
        on_available: Callable[[int], None] | None = None,
    ) -> None:
        """Sign in at ``url`` (else ICEFARM_URL, else http://127.0.0.1:8080).

        ``name`` is unique among those signed in (else ICEFARM_NAME, else made from the user's and the host's);
        ``token`` (else ICEFARM_TOKEN) is needed where the farm asks for one, or for ``role="operator"``.
        ``connect_timeout`` and ``retry_for`` are the seconds to go on while the farm is out of reach, at first and
        later.  ``ca_file`` (else ICEFARM_CA_FILE) is a PEM file with the certificates to trust at an https:// URL, in
        the place of the system's.  ``on_event`` is called in the client's own thread; it must return soon, and not call
        the farm.
        So is ``on_available``, with the number of boards that have become available.

        Raises `LinkLost` where no farm answers, `NotAuthorized`, `NameInUse`, `InvalidArgument`.
        """
        settings = Settings.of(url, name, token, role, ca_file)
        self._engine: Engine = engine()
        self._session = self._connect(
            self._engine.reactor,
            settings.url,
            settings.name,
            token=settings.token,
            role=settings.role,
            patience=Patience(connect_timeout, retry_for),
            ca_file=settings.ca_file,
        )
        if on_event is not None:
            self._session.on_event(on_event)
        if on_available is not None:
            self._session.on_available(on_available)
        self._engine.run(self._session.start)
        self._ending = Ending(self.close)

    def listen(self, listener: Callable[[ClientEvent], None]) -> None:
        """Call ``listener`` with each event from now on, as ``on_event``."""
        self._engine.post(self._session.on_event, listener)

    @property
    def name(self) -> str:
        """The name under which the farm knows this client."""
        return self._session.name

    @property
    def url(self) -> str:
        return self._session.url

    @property
    def closed(self) -> bool:
        """Whether it has been closed, or belongs to the process that this one was forked from."""
        return not self._ending.pending

    def reserve(
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
        """Reserve ``amount`` boards, or those named by ``serials``: all or none, ready to be used.

        Further keywords are options of the kind, such as ``window=1.0`` (seconds) of pulsecount; ``options`` takes
        those whose names are taken.  With ``wait`` it waits where too few boards are free, ``timeout`` seconds at most,
        and ``progress`` is called (in the client's thread) with the place in the queue.  A reservation ends after
        ``seconds`` (by default what the farm has set, an hour) unless extended, which happens by itself while ``keep``;
        ``grace`` the seconds for which the farm keeps them while this client is out of reach.

        Raises `Unavailable`, `UnknownKind`, `UnknownDevice`, `InvalidArgument`, `DeviceFailed`, `TimedOut`.
        """
        records = self._engine.run(
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
            progress=progress,
        )
        return Boards(self, records)

    def adopt(self, *, keep: bool = True) -> Boards:
        """Take over the boards that the farm still holds for this name, after a crash of the script, say."""
        return Boards(self, self._engine.run(self._session.adopt, keep=keep))

    def available(self, kind: str | None = None) -> list[str]:
        """Return the serials of the boards that could be reserved now."""
        return self._engine.run(self._session.available, kind)

    def snapshot(self) -> Snapshot:
        """Return workers, devices, reservations and queue as of one moment."""
        return self._engine.run(self._session.snapshot)

    def devices(self) -> list[DeviceRecord]:
        return self.snapshot().devices

    def workers(self) -> list[WorkerRecord]:
        return self.snapshot().workers

    def reservations(self) -> list[ReservationRecord]:
        """Return everybody's reservations."""
        return self.snapshot().reservations

    def queue(self) -> list[QueueRecord]:
        return self.snapshot().queue

    def watch(self, interval: float | None = None) -> Iterator[list[Change]]:
        """Yield what happens in the farm: a snapshot first, then changes as they come, for as long as one iterates.

        With ``interval`` in seconds it yields an empty list when nothing happened for so long.
        """
        return changes(self._engine, self._session.watch, interval)

    def extend(self, serials: Sequence[str] | None = None, seconds: float | None = None) -> list[str]:
        """Extend reservations, all of one's own by default, and return the serials.  Raises `NotYours`."""
        return self._engine.run(self._session.extend, serials, seconds)

    def end(self, serials: Sequence[str] | None = None) -> list[str]:
        """End reservations, all of one's own by default, and return the serials.  Raises `NotYours`."""
        return self._engine.run(self._session.end, serials)

    def reboot(self, serials: Sequence[str], *, limit: float | None = None) -> list[str]:
        """Reboot boards; their reservations, and the evaluations that wait for them, stay.

        Returns the serials once their workers have the order; evaluations wait until the boards are usable again.
        Raises `NotYours`, `DeviceFailed`, and `TimedOut` after ``limit`` seconds.
        """
        return self._engine.run(self._session.reboot, serials, limit=limit)

    def delete(self, serials: Sequence[str]) -> Any:
        """Forget boards that are offline or broken (operator)."""
        return self._engine.run(self._session.operate, "delete", serials=list(serials))

    def end_any(self, serials: Sequence[str]) -> Any:
        """End anybody's reservations (operator)."""
        return self._engine.run(self._session.operate, "end_any", serials=list(serials))

    def retest(self, serials: Sequence[str]) -> Any:
        """Test broken boards again, and take back those that pass (operator)."""
        return self._engine.run(self._session.operate, "retest", serials=list(serials))

    def drain(self, worker: str, *, leave: bool = False) -> Any:
        """Give out no more boards of a worker; with ``leave``, it ends when nobody has any of them (operator)."""
        return self._engine.run(self._session.operate, "drain", worker=worker, leave=leave)

    def resume(self, worker: str) -> Any:
        """Give out a worker's boards again (operator)."""
        return self._engine.run(self._session.operate, "resume", worker=worker)

    def ask(self, serial: str, method: str, *, limit: float | None = 60.0, **arguments: Any) -> Any:
        """Call a method that the kind of a reserved board offers beside ``evaluate``; ``limit`` is in seconds."""
        return self._engine.run(self._session.ask, serial, method, limit=limit, **arguments)

    def asking(self, serial: str, method: str, *, limit: float | None = 60.0, **arguments: Any) -> Future[Any]:
        """Begin what `ask` does, and return at once; callbacks of the future run in the client's own thread."""
        return self._engine.submit(self._session.ask, serial, method, limit=limit, **arguments)

    def close(self, *, end: bool = True) -> None:
        """End the reservations (unless ``end`` is false) and sign out.  Takes a few seconds at most."""
        if self._ending.pending:
            self._ending.done()
            self._engine.run(self._session.stop, end=end)

    def __enter__(self) -> Farm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Farm {self.url} as {self.name!r}>"

    def holds(self, serial: str, reservation: str) -> bool:
        """Tell whether a reservation still stands, as far as is known here."""
        return self._session.holds(serial, reservation)

    def stream(
        self,
        plan: RunPlan,
        reservations: Mapping[str, ReservationRecord],
        items: Iterable[Item],
        *,
        deserted_raises: bool = True,
        stall: float | None = None,
    ) -> Iterator[Result]:
        """Carry out a plan; see `icefarm.client.stream.stream`."""
        return stream(
            self._engine, self._session, plan, reservations, items, deserted_raises=deserted_raises, stall=stall
        )
