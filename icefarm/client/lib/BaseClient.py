# ruff: noqa: N999
"""Reservations, under the names that existing scripts know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from logging import Logger, LoggerAdapter
from typing import Any, ClassVar, Self

from icefarm.client.blocking import Boards, Farm
from icefarm.client.holdings import ClientEvent
from icefarm.contract import ReservationRecord
from icefarm.errors import IcefarmError

__all__ = ["BaseClient"]


class BaseClient:
    """A client of a farm.  Reservations are extended by themselves, and end with `stop` or with the script."""

    #: The farm's class; tests put one in memory here.
    _open: ClassVar[type[Farm]] = Farm

    def __init__(self, url: str, client_name: str, logger: Logger | LoggerAdapter[Any]) -> None:
        """Sign in.  Raises `LinkLost` where no farm answers, `NotAuthorized`, `NameInUse`."""
        self.url = url
        self.name = client_name
        self.logger = logger
        self._reservations: dict[str, ReservationRecord] = {}
        self._farm = self._open(url, client_name, on_event=self._heard)

    def getSerials(self) -> list[str]:
        """Return the serials of the boards that are reserved; one whose reservation has ended is not among them."""
        return [serial for serial, record in self._reservations.items() if self._farm.holds(serial, record.id)]

    def available(self) -> int:
        """Return how many boards could be reserved now."""
        return len(self._farm.available())

    def availableDevices(self) -> list[str]:
        """Return the serials of the boards that could be reserved now."""
        return self._farm.available()

    def extend(self, serials: Iterable[str]) -> list[str] | bool:
        """Extend reservations and return the serials; False, with a line in the log, where that failed."""
        return self._or_false("extend reservations", lambda: self._farm.extend(_listed(serials)))

    def extendAll(self) -> list[str] | bool:
        """Extend all reservations of this client, as `extend`."""
        return self._or_false("extend reservations", self._farm.extend)

    def end(self, serials: Iterable[str]) -> list[str] | bool:
        """End reservations and return the serials; False, with a line in the log, where that failed."""
        return self._or_false("end reservations", lambda: self._farm.end(_listed(serials)))

    def endAll(self) -> list[str] | bool:
        """End all reservations of this client, as `end`."""
        return self._or_false("end reservations", self._farm.end)

    def reboot(self, serials: Iterable[str], timeout: Any = None) -> list[str] | bool:
        """Reboot boards, and return those whose worker did not take the order within ``timeout`` seconds.

        Evaluations wait until the boards are usable again.
        """
        wanted = _listed(serials)
        limit = None if timeout is None else float(timeout)
        done = self._or_false("reboot boards", lambda: self._farm.reboot(wanted, limit=limit))
        return wanted if done is False else [serial for serial in wanted if serial not in done]  # type: ignore[operator]

    def stop(self) -> None:
        """End the reservations and sign out.  Harmless when that has been done."""
        self._farm.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _reserve(
        self,
        amount: Any,
        serials: Iterable[str] | None,
        kind: str,
        options: Mapping[str, Any],
        wait: bool = False,
        timeout: Any = None,
    ) -> list[str]:
        boards: Boards = self._farm.reserve(
            None if amount is None else int(amount),
            serials=None if serials is None else _listed(serials),
            kind=kind,
            options=options,
            wait=bool(wait),
            timeout=None if timeout is None else float(timeout),
        )
        for record in boards.reservations:
            self._reservations[record.serial] = record
        return [record.serial for record in boards.reservations]

    def _or_false(self, what: str, call: Callable[[], list[str]]) -> list[str] | bool:
        if self._farm.closed:
            return []
        try:
            return call()
        except IcefarmError as error:
            self.logger.error("could not %s: %s", what, error)
            return False

    def _heard(self, event: ClientEvent) -> None:
        """An event arrived; called in the client's own thread."""
        if event.name == "failure":
            self.logger.warning("board %s failed: %s", event.serial, event.reason)


def _listed(serials: Iterable[str]) -> list[str]:
    return [serials] if isinstance(serials, str) else list(serials)
