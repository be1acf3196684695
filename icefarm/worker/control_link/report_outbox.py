"""Reports to control: of each board the latest one, in order, said again until it is acknowledged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

from attrs import Factory, define

from icefarm.contract import BoardHealth, DeviceReport, to_wire
from icefarm.worker.board.registry import BoardRegistry

__all__ = ["Reports"]

Counters = tuple[int, int, int, BoardHealth]


def _counters(report: DeviceReport) -> Counters:
    return report.evaluations, report.failures, report.retries, report.health


@define(eq=False)
class Reports:
    """What control does not know yet."""

    _boards: BoardRegistry
    _unsent: set[str] = Factory(set)
    _sending: set[str] = Factory(set)
    #: What each board had counted when it was last reported.
    _counted: dict[str, Counters] = Factory(dict)

    def changed(self, serial: str) -> None:
        """A board has another report than before."""
        self._unsent.add(serial)

    def forget(self, serial: str) -> None:
        """A board is not known any more."""
        self._unsent.discard(serial)
        self._counted.pop(serial, None)

    def told(self, reports: Iterable[DeviceReport]) -> None:
        """All that there is to report was said in a hello; what changes from now on is not in it."""
        self._unsent.clear()
        for report in reports:
            self._counted[report.serial] = _counters(report)

    def find_counters(self, reports: Iterable[DeviceReport]) -> None:
        """Take up the boards of which only counters have changed."""
        self._unsent.update(
            report.serial for report in reports if self._counted.get(report.serial) != _counters(report)
        )

    def waiting(self) -> Collection[str]:
        """Return the boards that have something to report and are not being reported."""
        return sorted(self._unsent - self._sending)

    async def send(self, serial: str, call: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
        """Report a board until control knows how it is.

        One report at a time is under way for each board: they arrive in order, and what changes meanwhile becomes
        one report.  What can't be told stays unsent, and is raised.
        """
        if serial in self._sending:
            return
        self._sending.add(serial)
        try:
            while serial in self._unsent:
                await self._send_once(serial, call)
        finally:
            self._sending.discard(serial)

    async def _send_once(self, serial: str, call: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
        self._unsent.discard(serial)
        board = self._boards.find(serial)
        if board is None:
            return
        report = board.report()
        self._counted[serial] = _counters(report)
        try:
            await call(to_wire(report))
        except BaseException:
            self._unsent.add(serial)
            raise
