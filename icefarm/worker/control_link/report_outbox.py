"""Reports to control: the latest of each board, in order, repeated until acknowledged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

from attrs import Factory, define

from icefarm.contract import BoardHealth, DeviceReport
from icefarm.worker.board.registry import BoardRegistry

__all__ = ["Reports"]

Counters = tuple[int, int, int, BoardHealth]


def _counters(report: DeviceReport) -> Counters:
    return report.evaluations, report.failures, report.retries, report.health


@define(eq=False)
class Reports:
    """The unacknowledged reports."""

    _boards: BoardRegistry
    _unsent: set[str] = Factory(set)
    _sending: set[str] = Factory(set)
    #: Each board's counters in its last report.
    _counted: dict[str, Counters] = Factory(dict)

    def changed(self, serial: str) -> None:
        """A board's report has changed."""
        self._unsent.add(serial)

    def forget(self, serial: str) -> None:
        """A board was forgotten."""
        self._unsent.discard(serial)
        self._counted.pop(serial, None)

    def told(self, reports: Iterable[DeviceReport]) -> None:
        """A hello contained all reports; later changes are not in it."""
        self._unsent.clear()
        for report in reports:
            self._counted[report.serial] = _counters(report)

    def find_counters(self, reports: Iterable[DeviceReport]) -> None:
        """Add the boards whose counters alone have changed."""
        self._unsent.update(
            report.serial for report in reports if self._counted.get(report.serial) != _counters(report)
        )

    def waiting(self) -> Collection[str]:
        """Return the boards with an unsent report and none in progress."""
        return sorted(self._unsent - self._sending)

    async def send(self, serial: str, call: Callable[[DeviceReport], Awaitable[Any]]) -> None:
        """Report a board until control has its latest state.

        Each board has at most one report in progress: reports arrive in order, and changes meanwhile become one
        report.  If sending fails, the report stays unsent and the error is raised.
        """
        if serial in self._sending:
            return
        self._sending.add(serial)
        try:
            while serial in self._unsent:
                await self._send_once(serial, call)
        finally:
            self._sending.discard(serial)

    async def _send_once(self, serial: str, call: Callable[[DeviceReport], Awaitable[Any]]) -> None:
        self._unsent.discard(serial)
        board = self._boards.find(serial)
        if board is None:
            return
        report = board.report()
        self._counted[serial] = _counters(report)
        try:
            await call(report)
        except BaseException:
            self._unsent.add(serial)
            raise
