# ruff: noqa: N999
"""A client with events and requests to boards, under the names that existing scripts use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from logging import Logger, LoggerAdapter
from typing import Any, Self

from icefarm.client.blocking import Farm
from icefarm.client.connection.events import ClientEvent
from icefarm.client.evaluation.payload import payload_of
from icefarm.client.lib.AbstractEventHandler import AbstractEventHandler
from icefarm.client.lib.BaseAPI import BaseAPI
from icefarm.client.lib.checks import count, listed
from icefarm.client.lib.EventServer import Event, EventServer
from icefarm.client.lib.utils import AvailabilityWaiter
from icefarm.errors import IcefarmError, NotAuthorized, TimedOut, TransportError, Unavailable

__all__ = ["BaseClient"]

#: Seconds for the answer to a request.
REQUEST_LIMIT = 300.0
#: Failures to reserve that are raised; others are False.
_RAISED = (Unavailable, TimedOut, TransportError, NotAuthorized)


class BaseClient(BaseAPI):
    """A client of a farm.  It extends its reservations; they end with `stop` or with the script."""

    def __init__(self, url: str, client_name: str, logger: Logger | LoggerAdapter[Any]) -> None:
        """Sign in.  Raises `LinkLost` if no farm answers, `NotAuthorized`, `NameInUse`."""
        self.server = EventServer(client_name, [], logger)
        super().__init__(url, client_name, logger)
        self.server.attach(self._farm, self._send)
        self.waiter = AvailabilityWaiter(self.server, self)
        #: By serial: reboots of boards that did not answer in time.
        self._reboots: dict[str, Future[list[str]]] = {}

    def _sign_in(self) -> Farm:
        return self._open(self.url, self.name, on_event=self._heard, on_available=self.server.heard_available)

    def addEventHandler(self, eh: AbstractEventHandler) -> None:
        """Add a handler of events; it is called in the event server's thread, and may call the client."""
        self.server.addEventHandler(eh)

    def reserve(
        self,
        amount: Any,
        kind: str,
        args: Mapping[str, Any],
        wait_for_available: Any = False,
        available_timeout: Any = None,
    ) -> list[str]:
        """Reserve boards and return their serials, once they are ready; ``args`` are the options of the kind.

        With ``wait_for_available`` it waits if too few are free, at most ``available_timeout`` seconds (None: as
        long as it takes).  Raises `Unavailable`, `TimedOut`, and `LinkLost` if control is out of reach; other
        failures are False, with a line in the log.
        """
        try:
            return self._reserve(count("amount", amount), None, kind, args, wait_for_available, available_timeout)
        except _RAISED:
            raise
        except IcefarmError as error:
            self.logger.error("could not reserve %s boards: %s", amount, error)
            return False  # type: ignore[return-value]

    def requestWorker(self, serial: str, event: str, data: Mapping[str, Any]) -> bool:
        """Call a method of a reserved board's kind, without waiting for the answer.

        The answer comes as an event: ``results`` (batch_id, serial, results: [[id, value], ...]) for ``evaluate`` with
        ``files`` (id: content), ``answer`` (request, answer) for other methods; ``request failed`` (request, reason)
        if it failed.  False if the board is not reserved.
        """
        return not self.requestBatchWorker([serial], event, data)

    def requestBatchWorker(self, serials: Iterable[str], event: str, data: Mapping[str, Any]) -> list[str]:
        """Do that with several boards; return the serials of those that are not reserved."""
        wanted, held = listed(serials), set(self.getSerials())
        failed = [serial for serial in wanted if serial not in held]
        if failed:
            self.logger.error("no request %s for boards that are not reserved: %s", event, ", ".join(failed))
        for serial in wanted:
            if serial in held:
                self._request(serial, event, data)
        return failed

    def stop(self) -> None:
        """End the reservations and sign out.  Harmless when that has been done."""
        self.server.exit()
        super().stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _send(self, _: str, __: str, data: Mapping[str, Any]) -> bool:
        return not self.requestBatchWorker(data["serial"], str(data["event"]), data.get("contents") or {})

    def _request(self, serial: str, method: str, data: Mapping[str, Any]) -> None:
        files = data.get("files") if method == "evaluate" else None
        if files is None:
            arguments = {name: value for name, value in data.items() if name not in ("serial", "reservation")}
            self._begin(serial, method, arguments, lambda answer: ("answer", {"request": method, "answer": answer}))
            return
        for name, content in files.items():
            told = partial(self._result, data.get("batch_id"), name)
            try:
                arguments = {"evaluation_id": str(name), "bitstream": payload_of(content), "attempt": 1}
            except IcefarmError as error:
                self._failed(serial, method, error)
            else:
                self._begin(serial, method, arguments, told)

    def _begin(self, serial: str, method: str, arguments: Mapping[str, Any], told: Any) -> None:
        future = self._farm.asking(serial, method, limit=REQUEST_LIMIT, **arguments)
        future.add_done_callback(lambda done: self._answered(serial, method, done, told))

    def _answered(self, serial: str, method: str, done: Future[Any], told: Any) -> None:
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            self._failed(serial, method, error or TimedOut("it was given up"))
        else:
            name, fields = told(done.result())
            self._emit(serial, name, fields)

    def _result(self, batch: Any, name: Any, answer: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return "results", {"batch_id": batch, "results": [[name, self._value(answer["value"])]]}

    def _failed(self, serial: str, method: str, error: BaseException) -> None:
        self.logger.error("request %s to board %s failed: %s", method, serial, error)
        self._emit(serial, "request failed", {"request": method, "reason": str(error)})

    def _emit(self, serial: str, name: str, fields: Mapping[str, Any]) -> None:
        self.server.sendEvent(Event(serial, name, {**fields, "event": name, "serial": serial}))

    def _value(self, value: Any) -> Any:
        """Return a value in the form that scripts expect."""
        return value

    def _heard(self, event: ClientEvent) -> None:
        super()._heard(event)
        self.server.heard(event)
