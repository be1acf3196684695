"""Boards for a verb: reserved, or those that the surrounding ``icefarm reserve`` or ``icefarm shell`` holds."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import Factory, evolve, frozen

from icefarm.cli.names import for_boards
from icefarm.cli.ui.records.columns import expected
from icefarm.cli.ui.suggestions import did_you_mean
from icefarm.cli.ui.terminal.console import Screen
from icefarm.errors import InvalidArgument, TimedOut, Unavailable, UnknownKind
from icefarm.selectors.language import Selector

if TYPE_CHECKING:
    from icefarm.client import Boards, Farm
    from icefarm.contract import ReservationRecord

__all__ = ["HELD", "SERIALS", "Wanted", "held_boards", "reserved"]

#: What a command finds in its environment while ``icefarm reserve`` runs it: the ids of its reservations, and the
#: serials of its boards, separated by blanks.
HELD = "ICEFARM_RESERVATION"
SERIALS = "ICEFARM_SERIALS"


@frozen
class Wanted:
    """Which boards, and as what."""

    devices: int | None
    serials: Sequence[str] | None
    kind: str
    options: Mapping[str, Any]
    wait: bool = False
    timeout: float | None = None
    #: Which boards may be among them.
    where: Selector | None = None
    #: The options of sharing that were given, as arguments of a farm's `reserve` (docs/sharing.md).
    sharing: Mapping[str, Any] = Factory(dict)

    @property
    def steady(self) -> Wanted:
        """Keep the same boards until the end, even if requests are preemptible by default."""
        return evolve(self, sharing={**self.sharing, "preemptible": False})


def reserved(farm: Farm, wanted: Wanted, screen: Screen, **more: Any) -> Boards:
    """Reserve boards; says why it waits.  Raises `Unavailable`, also where the time is over."""
    chosen: dict[str, Any] = dict(wanted.sharing)
    if wanted.where is not None:
        chosen["where"] = str(wanted.where)

    def once(serials: Sequence[str]) -> Boards:
        with screen.waiting() as tell:
            return farm.reserve(
                wanted.devices,
                serials=tuple(serials) or None,
                kind=wanted.kind,
                options=wanted.options,
                wait=wanted.wait,
                timeout=wanted.timeout,
                **chosen,
                progress=lambda word: tell(_waiting(word, time.time())),
                **more,
            )

    try:
        return for_boards(farm, wanted.serials or (), once)
    except Unavailable as error:
        hint = "; --wait waits for them" if _worth_waiting(error, wanted) else ""
        raise Unavailable(error.message + hint, **error.fields) from None
    except UnknownKind as error:
        kinds = sorted({kind for worker in farm.snapshot().workers for kind in worker.kinds})
        if wanted.kind in kinds:
            raise
        raise UnknownKind(
            f"no worker offers kind {wanted.kind!r}{did_you_mean(wanted.kind, kinds)}", **error.fields
        ) from None
    except TimedOut as error:
        # It is the boards that did not come in time, not an answer.
        raise Unavailable(error.message, **error.fields) from None


def _waiting(word: Mapping[str, Any], now: float) -> str:
    """Say how a request stands in the queue: its place, the reason, and when it is likely to be served."""
    when = f" (expected {expected(word, now)})" if word.get("earliest") is not None else ""
    return f"waiting, place {word.get('place')}{when}: {word.get('reason')}"


def _worth_waiting(error: Unavailable, wanted: Wanted) -> bool:
    if wanted.wait or wanted.devices is None:
        return not wanted.wait
    suitable = error.fields.get("suitable")
    return isinstance(suitable, int) and suitable >= wanted.devices


def held_boards(farm: Farm, wanted: Wanted) -> list[ReservationRecord] | None:
    """Take over boards that the surrounding command holds; None if there is none, or other boards are wanted.

    Raises `InvalidArgument` if they are reserved as something else.
    """
    ids = os.environ.get(HELD, "").split()
    if not ids or wanted.where is not None:
        return None
    records = [record for record in farm.adopt().reservations if record.id in ids]
    chosen = [record for record in records if wanted.serials is None or record.serial in wanted.serials]
    if not chosen or len(chosen) < len(wanted.serials or ()):
        return None
    for record in chosen:
        other = {name: value for name, value in wanted.options.items() if record.options.get(name) != value}
        if record.kind != wanted.kind or other:
            raise InvalidArgument(
                f"board {record.serial} is held as {record.kind} with {record.options}: reserve it with the kind and "
                f"options that you want, or unset {HELD}"
            )
    return chosen if wanted.devices is None else chosen[: wanted.devices]
