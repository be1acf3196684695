"""Reports to control: of each device the latest one, in order, said again until it is acknowledged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any

from attrs import Factory, define

from icefarm.contract import BoardHealth, DeviceReport, to_wire

__all__ = ["Reports"]

Counters = tuple[int, int, int, BoardHealth]


def _counters(report: DeviceReport) -> Counters:
    return report.evaluations, report.failures, report.retries, report.health


@define(eq=False)
class Reports:
    """What control does not know yet."""

    #: The report of a device as it is now; None where it is not known any more.
    _report: Callable[[str], DeviceReport | None]
    _unsent: set[str] = Factory(set)
    _sending: set[str] = Factory(set)
    #: What each device had counted when it was last reported.
    _counted: dict[str, Counters] = Factory(dict)

    def changed(self, serial: str) -> None:
        """A device has another report than before."""
        self._unsent.add(serial)

    def forget(self, serial: str) -> None:
        """A device is not known any more."""
        self._unsent.discard(serial)
        self._counted.pop(serial, None)

    def told(self, reports: Iterable[DeviceReport]) -> None:
        """All that there is to report was said in a hello; what changes from now on is not in it."""
        self._unsent.clear()
        for report in reports:
            self._counted[report.serial] = _counters(report)

    def find_counters(self, reports: Iterable[DeviceReport]) -> None:
        """Take up the devices of which only counters have changed."""
        self._unsent.update(
            report.serial for report in reports if self._counted.get(report.serial) != _counters(report)
        )

    def waiting(self) -> Collection[str]:
        """Return the devices that have something to report and are not being reported."""
        return sorted(self._unsent - self._sending)

    async def send(self, serial: str, call: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
        """Report a device until control knows how it is.

        One report at a time is under way for each device: they arrive in order, and what changes meanwhile becomes
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
        report = self._report(serial)
        if report is None:
            return
        self._counted[serial] = _counters(report)
        try:
            await call(to_wire(report))
        except BaseException:
            self._unsent.add(serial)
            raise
