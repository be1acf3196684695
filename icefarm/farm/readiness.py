"""Waits, as a client, until the farm is usable: control answers and the worker's boards are ready."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, TimeoutError

from icefarm.bus import Bus
from icefarm.contract import DeviceStatus, Role, control_procedure, event_topic
from icefarm.errors import IcefarmError, LinkLost
from icefarm.farm.errors import CannotStart
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link

__all__ = ["BoardCount", "wait_for_boards"]

#: Seconds that control and the boards together may take; a board that must be flashed first takes a few.
READY_LIMIT = 60.0
#: Seconds for one call.
CALL_LIMIT = 10.0

_READY = (DeviceStatus.AVAILABLE, DeviceStatus.RESERVED)
_FAILED = (DeviceStatus.BROKEN,)


@define
class BoardCount:
    """The state of some workers' boards; only the latest record of each counts."""

    workers: Collection[str]
    expected: int
    _status: dict[str, str] = field(factory=dict)
    _reasons: dict[str, str] = field(factory=dict)

    def note(self, record: Mapping[str, Any]) -> None:
        """Apply a record of a board (`icefarm.contract.DeviceRecord` as a mapping)."""
        if record.get("worker") in self.workers:
            serial = str(record.get("serial"))
            self._status[serial] = str(record.get("status"))
            self._reasons[serial] = str(record.get("reason") or record.get("status"))

    @property
    def ready(self) -> int:
        return sum(status in _READY for status in self._status.values())

    @property
    def settled(self) -> bool:
        """Whether each of the expected boards is ready, or has failed."""
        return sum(status in (*_READY, *_FAILED) for status in self._status.values()) >= self.expected

    def complaints(self) -> list[str]:
        """Return what is wrong with each failed board."""
        return [
            f"board {serial}: {self._reasons[serial]}" for serial, status in self._status.items() if status in _FAILED
        ]


async def wait_for_boards(
    reactor: Any, url: str, ticket: str, boards: BoardCount, *, ca_file: str | None = None
) -> None:
    """Wait until the farm at ``url`` is up and the boards have settled, or for `READY_LIMIT` seconds.

    ``ca_file`` as in `icefarm.wamp.parse_url`.
    Raises `CannotStart` if control does not answer in that time, or refuses the sign-in.
    """
    settled: Deferred[None] = Deferred()
    answered = False
    last_word = "control did not join the router"

    def check() -> None:
        if answered and boards.settled and not settled.called:
            settled.callback(None)

    async def joined(bus: Bus) -> None:
        nonlocal answered

        def changed(_: str, __: Sequence[Any], record: Mapping[str, Any]) -> None:
            boards.note(record)
            check()

        await bus.subscribe(event_topic("device"), changed)
        snapshot = await bus.call(control_procedure("snapshot"), timeout=CALL_LIMIT)
        for record in snapshot["devices"]:
            boards.note(record)
        answered = True
        check()

    def refused(error: IcefarmError) -> bool:
        nonlocal last_word
        last_word = error.message
        if not isinstance(error, LinkLost) and not settled.called:
            settled.errback(CannotStart(f"control refused the farm's own sign-in at {url}: {error.message}"))
        return isinstance(error, LinkLost)

    role = Role.OPERATOR if ticket else Role.CLIENT
    credentials = Credentials(f"icefarm up {secrets.token_hex(4)}", role, secrets.token_hex(8), ticket)
    link = Link(reactor, url, credentials, joined, refused, ca_file=ca_file)
    settled.addTimeout(READY_LIMIT, reactor)
    link.startService()
    try:
        await settled
    except TimeoutError:
        # A farm with some of its boards is usable, and a line says how many are ready.
        if not answered:
            raise CannotStart(f"the farm was not ready within {READY_LIMIT:.0f} s: {last_word}") from None
    finally:
        await link.stopService()
