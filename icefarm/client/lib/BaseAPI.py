# ruff: noqa: N999
"""Control's endpoints and the reserved boards, under the names that existing scripts use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from logging import Logger, LoggerAdapter
from typing import Any, ClassVar, TypeVar

from icefarm.client.blocking import Farm
from icefarm.client.connection.events import ClientEvent
from icefarm.client.lib.checks import count, given, listed, seconds
from icefarm.contract import ReservationRecord
from icefarm.errors import IcefarmError, InvalidArgument
from icefarm.text.legacy_names import kind_options

__all__ = ["BaseAPI"]

T = TypeVar("T")


def _needed(json: Mapping[str, Any], name: str) -> Any:
    if name not in json:
        raise InvalidArgument(f"the request lacks {name!r}")
    return json[name]


class BaseAPI:
    """A client of a farm, without events."""

    #: The farm's class; tests put an in-memory one here.
    _open: ClassVar[type[Farm]] = Farm

    def __init__(self, url: str, client_name: str, logger: Logger | LoggerAdapter[Any]) -> None:
        """Sign in.  Raises `LinkLost` if no farm answers, `NotAuthorized`, `NameInUse`."""
        self.url = url
        self.name = client_name
        self.logger = logger
        self._reservations: dict[str, ReservationRecord] = {}
        self._farm = self._sign_in()

    def _sign_in(self) -> Farm:
        return self._open(self.url, self.name, on_event=self._heard)

    # ------------------------------------------------------------------------------------------- boards known here

    def getSerials(self) -> list[str]:
        """Return the serials of the boards whose reservations are active."""
        return [serial for serial, record in self._reservations.items() if self._farm.holds(serial, record.id)]

    def addSerial(self, serial: str, url: str | None = None) -> None:  # noqa: ARG002
        """Take over a board that is already reserved under this name, for example over HTTP."""
        self._keep([record for record in self._farm.adopt().reservations if record.serial == serial])

    def removeSerial(self, serial: str) -> bool:
        """Leave a board out from now on, and return whether it was there; its reservation stays."""
        return self._reservations.pop(serial, None) is not None

    def getConnectionInfo(self, serial: str) -> str | None:
        """Return the name of the worker that has a reserved board."""
        record = self._reservations.get(serial)
        return None if record is None else record.worker

    def usingConnection(self, info: str) -> bool:
        """Tell whether a board of that worker is reserved."""
        return any(self.getConnectionInfo(serial) == info for serial in self.getSerials())

    # ------------------------------------------------------------------------------------------------- control

    def available(self) -> int:
        """Return how many boards could be reserved now; False, with a line in the log, if that failed."""
        return self._or_false("ask how many boards are available", lambda: len(self._farm.available()), 0)

    def availableDevices(self) -> list[str]:
        """Return the serials of the boards that could be reserved now; False like `available`."""
        return self._or_false("ask which boards are available", self._farm.available, [])

    def reserve(self, amount: Any, kind: str, args: Mapping[str, Any]) -> list[str]:
        """Reserve boards and return their serials, once they are ready; ``args`` are the options of the kind.

        Raises `Unavailable` if there are too few; other failures are False, with a line in the log.
        """
        return self._reserve(count("amount", amount), None, kind, args)

    def reserveSpecific(self, serials: Iterable[str], kind: str, args: Mapping[str, Any]) -> list[str]:
        """Reserve the boards with these serials, all or none; False, with a line in the log, if that failed."""
        return self._or_false("reserve boards", lambda: self._reserve(None, serials, kind, args), [])

    def extend(self, serials: Iterable[str]) -> list[str]:
        """Extend reservations and return the serials; False, with a line in the log, if that failed."""
        return self._or_false("extend reservations", lambda: self._farm.extend(listed(serials)), [])

    def extendAll(self) -> list[str]:
        """Extend all reservations of this client, like `extend`."""
        return self._or_false("extend reservations", self._farm.extend, [])

    def end(self, serials: Iterable[str]) -> list[str]:
        """End reservations and return the serials; False, with a line in the log, if that failed."""
        return self._or_false("end reservations", lambda: self._farm.end(listed(serials)), [])

    def endAll(self) -> list[str]:
        """End all reservations of this client, like `end`."""
        return self._or_false("end reservations", self._farm.end, [])

    def reboot(self, serials: Iterable[str], timeout: Any = None) -> list[str]:
        """Reboot boards, and return those that were not usable again within ``timeout`` seconds.

        Reservations stay, and evaluations wait.
        """
        wanted, limit = listed(serials), seconds("timeout", timeout, "limit")
        try:
            done = self._farm.reboot(wanted, limit=limit)
        except IcefarmError as error:
            self.logger.error("could not reboot boards: %s", error)
            failed = error.fields.get("serials")
            return [serial for serial in wanted if serial in failed] if isinstance(failed, list) else wanted
        return [serial for serial in wanted if serial not in done]

    def requestControl(self, endpoint: str, json: Mapping[str, Any]) -> Any:
        """Ask control for one of the documented endpoints, by its path; False, with a line in the log, on failure.

        The request goes over this client's own session, so its ``name`` does not matter.
        """
        json = given("json", json, "options")
        serials = json.get("serials", ())
        args = json.get("args", {})
        answers: dict[str, Callable[[], Any]] = {
            "available": lambda: {"amount": self.available()},
            "devices": self.availableDevices,
            "reserve": lambda: self._rows(
                self._reserve(count("amount", _needed(json, "amount")), None, _needed(json, "kind"), args)
            ),
            "reserveserials": lambda: self._rows(self._reserve(None, serials, _needed(json, "kind"), args)),
            "extend": lambda: self.extend(serials),
            "extendall": self.extendAll,
            "end": lambda: self.end(serials),
            "endall": self.endAll,
            "reboot": lambda: [serial for serial in listed(serials) if serial not in self.reboot(serials)],
        }
        answer = answers.get(endpoint.strip("/").removeprefix("api/"))
        if answer is None:
            self.logger.error("control has no endpoint /%s for clients", endpoint)
            return False
        return self._or_false(f"ask for /{endpoint}", answer, False)

    def request(self, url: str, endpoint: str, json: Mapping[str, Any], files: Any = None) -> Any:
        """Ask control, like `requestControl`; nobody else answers requests of clients."""
        if files or url.rstrip("/") != self.url.rstrip("/"):
            self.logger.error("clients talk to control only, not to %s", url)
            return False
        return self.requestControl(endpoint, json)

    def clearWorkers(self) -> bool:
        """Only log a line: a client may not delete everybody's boards; operators use ``icefarm delete``."""
        self.logger.error("clearing workers is for operators: icefarm delete SERIAL...")
        return False

    def stop(self) -> None:
        """End the reservations and sign out.  Harmless when that has been done."""
        self._farm.close()

    # ------------------------------------------------------------------------------------------------- common parts

    def _reserve(
        self,
        amount: int | None,
        serials: Iterable[str] | None,
        kind: str,
        args: Mapping[str, Any],
        wait: Any = False,
        timeout: Any = None,
    ) -> list[str]:
        boards = self._farm.reserve(
            amount,
            serials=None if serials is None else listed(serials),
            kind=kind,
            options=kind_options(given("args", args, "options")),
            wait=bool(wait),
            timeout=seconds("available_timeout", timeout, "timeout"),
        )
        return self._keep(boards.reservations)

    def _keep(self, records: Iterable[ReservationRecord]) -> list[str]:
        kept = {record.serial: record for record in records}
        self._reservations.update(kept)
        return list(kept)

    def _rows(self, serials: Iterable[str]) -> list[dict[str, Any]]:
        return [{"serial": serial, "url": self.url} for serial in serials]

    def _or_false(self, what: str, call: Callable[[], T], closed: T) -> T:
        """Return a call's result; ``closed`` if the client is closed; False if it fails, which scripts test for."""
        if self._farm.closed:
            return closed
        try:
            return call()
        except IcefarmError as error:
            self.logger.error("could not %s: %s", what, error)
            return False  # type: ignore[return-value]

    def _heard(self, event: ClientEvent) -> None:
        """Handle an event; called in the client's own thread."""
        if event.name == "failure":
            self.logger.warning("board %s failed: %s", event.serial, event.reason)
