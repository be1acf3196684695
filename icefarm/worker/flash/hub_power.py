"""Cycles the power of a board's hub port with uhubctl (github.com/mvp/uhubctl), if the hub can.

It never forces uhubctl, which therefore touches only hubs that switch each port by itself and leaves ganged hubs
alone, where other boards would lose their power too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger

from icefarm.system.command import CommandFailed, run
from icefarm.worker.flash.hub_ports import HubPort, hub_port, what_went_wrong

__all__ = ["HubPower", "PowerFailed"]

#: Seconds without power: enough to discharge a board's capacitors (uhubctl's own default is 2).
OFF_TIME = 2.0
#: Seconds for a whole cycle, and for switching on a port that a cycle left without power.
RUN_LIMIT = 12.0
RESTORE_LIMIT = 5.0
_SYSFS = Path("/sys")


class PowerFailed(Exception):
    """The power of a board's port was not cycled."""


@define(eq=False)
class HubPower:
    """Power of hub ports."""

    _reactor: Any
    #: Path of uhubctl.
    _program: str
    _sysfs: Path = _SYSFS
    #: Cycles in progress, and the waits for their end.
    _cycling: int = 0
    _waiting: list[Deferred[None]] = Factory(list)
    _log: Logger = Factory(Logger)

    async def cycle(self, place: str, serial: str) -> None:
        """Switch the power of the board last seen at ``place`` ("1-2.3") off and on.

        Once begun it runs to its end, even if the caller is cancelled: a port must not stay without power.
        Raises `PowerFailed`.
        """
        port = hub_port(place)
        if port is None:
            raise PowerFailed(f"{place} is not a port of a hub")
        self._check(place, serial)
        ended: Deferred[None] = Deferred()

        def done(result: Any) -> None:
            self._cycling -= 1
            if not self._cycling:
                waiting, self._waiting = self._waiting, []
                for each in waiting:
                    each.callback(None)
            if not ended.called:
                ended.callback(result)

        self._log.info("{serial}: the power of {port} is cycled", serial=serial, port=port)
        self._cycling += 1
        ensureDeferred(self._cycle(port)).addBoth(done)
        await ended

    async def settled(self) -> None:
        """Wait until every port has its power back; some seconds at most."""
        if self._cycling:
            waiter: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(waiter)
            await waiter

    def _check(self, place: str, serial: str) -> None:
        """Check that nothing else is plugged in there by now."""
        bus = self._sysfs / "bus" / "usb" / "devices"
        if next(bus.glob(f"{place}.*"), None) is not None:
            raise PowerFailed(f"there is a hub with other devices at USB {place} now")
        try:
            found = (bus / place / "serial").read_text(encoding="utf-8", errors="replace").strip().upper()
        except OSError:
            return
        if found != serial:
            raise PowerFailed(f"another device ({found}) is at USB {place} now")

    async def _cycle(self, port: HubPort) -> None:
        wrong: str | None
        try:
            said = await self._uhubctl(port, RUN_LIMIT, "-a", "cycle", "-d", f"{OFF_TIME:g}")
        except CommandFailed as error:
            wrong = _explained(error, port)
            powered = not error.late
        else:
            wrong = what_went_wrong(said, port)
            powered = wrong is None or "get its power back" not in wrong
        if not powered:
            await self._restore(port)
        if wrong is not None:
            raise PowerFailed(wrong)

    async def _restore(self, port: HubPort) -> None:
        try:
            await self._uhubctl(port, RESTORE_LIMIT, "-a", "on")
        except CommandFailed as error:
            self._log.error(
                "{port} may be without power ({error}); switch it on: {program} -l {hub} -p {number} -a on",
                port=port, error=error, program=self._program, hub=port.hub, number=port.port,
            )  # fmt: skip

    def _uhubctl(self, port: HubPort, limit: float, *action: str) -> Any:
        # Without descriptions of devices (-N): a hanging device would block it.
        command = [self._program, "-l", port.hub, "-p", str(port.port), *action, "-N"]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
        return run(self._reactor, command, limit=limit, environment=environment)


def _explained(error: CommandFailed, port: HubPort) -> str:
    if error.late:
        return f"uhubctl: {error}"
    if "permission problems" in error.said:
        return f"there is no permission to switch {port} (sudo icefarm udev install --hubs)"
    if "No compatible devices" in error.said:
        return f"the hub at USB {port.hub} does not switch its ports one by one"
    return f"uhubctl failed: {error}"
