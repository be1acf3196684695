"""A farm as its clients see it: what the three APIs (`blocking`, `aio`, `deferred`) have in common.

The verbs are those of `icefarm.client.session.ClientSession`; they are listed here once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Self

from icefarm.client.api.adapters import Verb, VerbAdapter
from icefarm.client.api.arguments import checked
from icefarm.client.api.boards import BoardSet
from icefarm.client.connection.events import ClientEvent
from icefarm.client.connection.patience import Patience
from icefarm.client.connection.settings import ClientSettings
from icefarm.client.runs.archived_run import RunHandle, fetched_run
from icefarm.client.session import ClientSession, connect
from icefarm.contract import ReservationRecord, Role
from icefarm.errors import InvalidArgument, UnknownRun

__all__ = ["FarmFace", "LeftAwaiting", "OpenedAwaiting"]


class FarmFace(VerbAdapter):
    """A farm of boards, in one of the three APIs."""

    #: Makes the session; tests put an in-memory farm here.
    _connect: ClassVar[Callable[..., ClientSession]] = staticmethod(connect)
    _subject: ClientSession
    _reactor: Any

    @checked
    def __init__(
        self,
        url: str | None = None,
        name: str | None = None,
        *,
        token: str | None = None,
        role: str = Role.CLIENT,
        connect_timeout: float = 5.0,
        retry_for: float = 120.0,
        wait_for_worker: float | None = None,
        ca_file: str | None = None,
        on_event: Callable[[ClientEvent], None] | None = None,
        on_available: Callable[[int], None] | None = None,
        experiment: str | None = None,
    ) -> None:
        """Sign in at ``url`` (else ICEFARM_URL, else http://127.0.0.1:8080): here, or on entering the block.

        Of a farm with several routers, ``url`` may have the URLs of several, with commas between: the first that
        answers is used, and each has ``connect_timeout`` seconds.
        ``name`` is unique among connected clients (else ICEFARM_NAME, else made from the user's and the host's);
        ``token`` (else ICEFARM_TOKEN, else that of ``icefarm login``) is needed if the farm requires one, or for
        ``role="operator"``.
        ``connect_timeout`` and ``retry_for`` are the seconds to keep trying while the farm is out of reach, at first
        and later; ``wait_for_worker`` is the seconds that an evaluation waits for a board whose worker is away (None:
        as long as the board stays reserved).  ``ca_file`` (else ICEFARM_CA_FILE) is a PEM file with the certificates
        to trust at an https:// URL, instead of the system's.  ``on_event`` is called with each event for this client,
        and ``on_available`` with the number of boards that have become available: with asyncio in the event loop,
        otherwise in the reactor's thread, where they must return quickly; with the blocking API they must not call the
        farm.  ``experiment`` (else ICEFARM_EXPERIMENT) is the name under which the farm keeps the measurements; by
        default the farm makes one of the client's name and the day.

        Signing in raises `LinkLost` if no farm answers, `NotAuthorized`, `NameInUse`; this `InvalidArgument`.
        """
        settings = ClientSettings.of(url, name, token, role, ca_file, experiment=experiment)
        self._set_up()
        self._subject = self._connect(
            self._reactor,
            settings.url,
            settings.name,
            token=settings.token,
            role=settings.role,
            patience=Patience(connect_timeout, retry_for, wait_for_worker),
            ca_file=settings.ca_file,
            login=settings.login,
        )
        self._subject.experiment = settings.experiment
        if on_event is not None:
            self._subject.on_event(self._heard_by(on_event))
        if on_available is not None:
            self._subject.on_available(self._heard_by(on_available))
        self._start()

    extend = Verb(ClientSession.extend)
    end = Verb(ClientSession.end)
    reboot = Verb(ClientSession.reboot)
    ask = Verb(ClientSession.ask)
    available = Verb(ClientSession.available)
    snapshot = Verb(ClientSession.snapshot)
    board_history = Verb(ClientSession.board_history)
    journal = Verb(ClientSession.journal)
    devices = Verb(ClientSession.devices)
    workers = Verb(ClientSession.workers)
    reservations = Verb(ClientSession.reservations)
    queue = Verb(ClientSession.queue)
    delete = Verb(ClientSession.delete)
    end_any = Verb(ClientSession.end_any)
    retest = Verb(ClientSession.retest)
    label = Verb(ClientSession.label)
    access = Verb(ClientSession.access)
    access_list = Verb(ClientSession.access_list)
    access_add = Verb(ClientSession.access_add)
    access_remove = Verb(ClientSession.access_remove)
    access_group = Verb(ClientSession.access_group)
    drain = Verb(ClientSession.drain)
    resume = Verb(ClientSession.resume)
    dismiss = Verb(ClientSession.dismiss)
    delete_worker = Verb(ClientSession.delete_worker)
    audit = Verb(ClientSession.audit)
    experiments = Verb(ClientSession.experiments)
    usage = Verb(ClientSession.usage)
    book = Verb(ClientSession.book)
    bookings = Verb(ClientSession.bookings)
    cancel_bookings = Verb(ClientSession.cancel_bookings)
    account_groups = Verb(ClientSession.account_groups)
    recent_failures = Verb(ClientSession.recent_failures)
    end_accounts = Verb(ClientSession.end_accounts)

    @checked
    def listen(self, listener: Callable[[ClientEvent], None]) -> None:
        """Call ``listener`` with each event from now on, like ``on_event``."""
        self._post(self._subject.on_event, self._heard_by(listener))

    @property
    def name(self) -> str:
        """The name under which the farm knows this client."""
        return self._subject.name

    @property
    def url(self) -> str:
        """The farm's URL; of several, the one in use."""
        return self._subject.url_in_use

    @checked
    def holds(self, serial: str, reservation: str) -> bool:
        """Tell whether a reservation is active, as far as this client knows."""
        return self._subject.holds(serial, reservation)

    @property
    def boards(self) -> Any:
        """All boards of the farm, reserved or not, to compare them."""
        raise NotImplementedError

    @checked
    def experiment(self, name: str | None = None, account: str | None = None) -> Any:
        """Return an experiment of the farm's archive, to read, and, if it is this account's, to report figures of.

        Without a name it is the one that this farm was opened with.  Without an account it is the client's own
        experiment of that name, else the only one that it may read.
        """
        chosen = name if name is not None else self._subject.experiment
        if chosen is None:
            raise InvalidArgument("give the name of an experiment, here or to Farm(experiment=...)")
        return self._experiment(chosen, account)

    def _experiment(self, name: str, account: str | None) -> Any:
        raise NotImplementedError

    @checked
    def archived_run(self, id: str, *, experiment: str | None = None) -> Any:
        """Return a run of the farm's archive by its id, its number, or the first 8 or more digits of one.

        Raises `UnknownRun`, also if it is not of the ``experiment``.
        """
        return self._bound(self._fetch_run)(id, experiment)

    async def _fetch_run(self, id: str, experiment: str | None) -> Any:
        handle = await fetched_run(self._subject, id)
        if experiment not in (None, handle.record.experiment):
            raise UnknownRun(f"run {id} is of experiment {handle.record.experiment!r}, not of {experiment!r}")
        return self._run(handle)

    def _run(self, handle: RunHandle) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<Farm {self.url} as {self.name!r}>"

    async def _reserve(self, *args: Any, **call: Any) -> Any:
        """Reserve, and return the boards of the face."""
        return self._as_boards(await self._subject.reserve(*args, **call))

    async def _adopt(self, **call: Any) -> Any:
        """Adopt, and return the boards of the face."""
        return self._as_boards(await self._subject.adopt(**call))

    def _as_boards(self, records: Iterable[ReservationRecord]) -> Any:
        found = list(records)
        group = self._subject.group_of(found)
        if group is None:
            return self._boards(BoardSet(self._subject, {record.serial: record for record in found}))
        return self._boards(BoardSet(self._subject, group.records, group.id))

    def _boards(self, boards: BoardSet) -> Any:
        raise NotImplementedError

    def _set_up(self) -> None:
        """Find the reactor."""

    def _start(self) -> None:
        """Called when the session is made, and may be started."""


class OpenedAwaiting(FarmFace):
    """A farm opened with ``async with``, or by `open`."""

    _closed = True

    async def open(self) -> Self:
        """Sign in; `close` afterwards.  Raises `LinkLost` if no farm answers, `NotAuthorized`, `NameInUse`."""
        await self._bound(self._subject.start)()
        self._closed = False
        self._opened()
        return self

    @checked
    async def close(self, *, end: bool = True) -> None:
        """End the reservations (unless ``end`` is false) and sign out.  Takes less than 5 s."""
        if not self.closed:
            self._closed = True
            self._ended()
            await self._bound(self._subject.stop)(end=end)

    @property
    def closed(self) -> bool:
        """Whether it is not open: not yet, or no longer."""
        return self._closed

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _opened(self) -> None:
        """Make the end of the process end the reservations."""
        raise NotImplementedError

    def _ended(self) -> None:
        """Undo that."""
        raise NotImplementedError


class LeftAwaiting(VerbAdapter):
    """Boards that are returned at the end of their ``async with`` block."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._bound(self._subject.leave)()
