"""Pure: no I/O, no clock.  Explains to users why there are no boards, and when to expect some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from icefarm.contract import MAX_BOARD_LABELS, DeviceRecord, ReservationRecord
from icefarm.control.scheduling.availability import Selection, UnavailableReason, held_by, undeletable
from icefarm.errors import InvalidArgument, LimitReached, NotYours, Unavailable, UnknownDevice, UnknownWorker

__all__ = [
    "amount_refusal",
    "board_refusal",
    "cannot_delete",
    "contested",
    "foreign_request",
    "foreign_token",
    "incomplete",
    "not_yours",
    "over_by_access",
    "token_exists",
    "too_many_labels",
    "unknown_accounts",
    "unknown_devices",
    "unknown_token",
    "unknown_worker",
]


_A_DAY = 86400.0


def board_refusal(device: DeviceRecord, found: UnavailableReason, now: float, booking: str | None = None) -> str:
    """Explain a board requested by serial; the end of a sentence that begins "board X is"."""
    if found is UnavailableReason.BOOKED and booking is not None:
        return f"{found.value}: {booking}"
    if found is UnavailableReason.RESERVED:
        words = f"reserved by {held_by(device)}{_since(device, now)}"
        if device.expires_at is None:
            return words
        return f"{words}, for at most {_duration(device.expires_at - now)} more unless extended"
    if found in (UnavailableReason.BROKEN, UnavailableReason.OFFLINE) and device.reason:
        return f"{found.value} ({device.reason})"
    return str(found.value)


def amount_refusal(
    selection: Selection,
    obstacles: Mapping[str, UnavailableReason | None],
    kind: str,
    amount: int,
    now: float,
    booked: Mapping[str, str],
) -> Unavailable:
    """Return the error for an unavailable amount.  ``obstacles`` is by serial, None for a free board."""
    suitable = selection.boards
    counts = Counter(obstacles.values())
    usable = counts.pop(None, 0)
    asked = f"{amount} {_boards(amount)} of kind '{kind}' asked for"
    ends = [
        (device.expires_at, device.serial, device)
        for device in suitable
        if obstacles[device.serial] is UnavailableReason.RESERVED and device.expires_at is not None
    ]
    words = "; ".join([asked, *selection.words, _state_words(len(suitable), usable, counts)])
    free_in = None
    if ends:
        expires_at, serial, first = min(ends)
        free_in = max(0.0, expires_at - now)
        words += (
            f"; the first reservation to end is that of board {serial}, held by {held_by(first)}{_since(first, now)}: "
            f"in at most {_duration(free_in)} unless extended, which clients do by themselves while they run"
        )
    if UnavailableReason.BOOKED in counts:
        words += f"; {'; '.join(sorted(set(booked.values())))}"
    reasons = {found.name.lower(): count for found, count in counts.items() if found is not None}
    return Unavailable(words, asked=amount, free=usable, suitable=len(suitable), free_in=free_in, reasons=reasons)


def _since(device: DeviceRecord, now: float) -> str:
    """Say when a board was reserved; in UTC, since nobody knows where the reader is."""
    if device.reserved_at is None:
        return ""
    form = "%H:%M" if now - device.reserved_at < _A_DAY else "%Y-%m-%d %H:%M"
    return f" since {datetime.fromtimestamp(device.reserved_at, UTC).strftime(form)} UTC"


def _state_words(suitable: int, usable: int, counts: Mapping[UnavailableReason | None, int]) -> str:
    total = f"{suitable} suitable {_boards(suitable)}"
    found = [(count, one) for one, count in counts.items() if one is not None]
    if suitable == 0:
        return "no suitable boards"
    if usable == 0 and len(found) == 1:
        return f"{total}, {'it is' if suitable == 1 else 'all'} {found[0][1].value}"
    # Enumeration order, so that the text does not depend on the order of the boards.
    order = list(UnavailableReason)
    parts = [f"{usable} free"] + [f"{n} {one.value}" for n, one in sorted(found, key=lambda pair: order.index(pair[1]))]
    return f"{total}: {', '.join(parts)}"


def _boards(amount: int) -> str:
    return "board" if amount == 1 else "boards"


def _duration(seconds: float) -> str:
    """Return a duration for users, rounded up."""
    whole = max(0, -int(-seconds // 1))
    if whole < 100:
        return f"{whole} s"
    minutes = -(-whole // 60)
    return f"{minutes} min" if minutes < 100 else f"{-(-minutes // 60)} h"


def unknown_devices(serials: Sequence[str]) -> UnknownDevice:
    return UnknownDevice(f"the farm knows no board {', '.join(serials)}", serials=list(serials))


def unknown_worker(worker: str) -> UnknownWorker:
    return UnknownWorker(f"the farm knows no worker '{worker}'", worker=worker)


def contested(serial: str, worker: str) -> NotYours:
    return NotYours(
        f"board {serial} is on worker '{worker}' already; unplug it there, or give one of the two another serial",
        serial=serial,
        worker=worker,
    )


def incomplete(before: int, wanted: int) -> Unavailable:
    """Return the error for a repeated request some of whose boards are gone."""
    return Unavailable(f"of {wanted} boards that this request had got, {before} are left; give them back first")


def foreign_request(request_id: str) -> InvalidArgument:
    return InvalidArgument(f"request {request_id!a} is another client's; choose another id")


def not_yours(serials: Sequence[str]) -> NotYours:
    return NotYours(f"not reserved by you: {', '.join(serials)}", serials=list(serials))


def cannot_delete(devices: Sequence[DeviceRecord]) -> InvalidArgument:
    """Return the error for boards that can't be forgotten (`undeletable` says why)."""
    reasons = "; ".join(f"board {device.serial} is {undeletable(device)}" for device in devices)
    return InvalidArgument(reasons, serials=[device.serial for device in devices])


def undeletable_worker(worker: str, reserved: Sequence[str]) -> InvalidArgument:
    if reserved:
        return InvalidArgument(
            f"worker {worker!r} has boards that are reserved: {', '.join(reserved)}; end these first"
        )
    return InvalidArgument(f"worker {worker!r} is online; only one that is offline can be forgotten")


def over_by_access(records: Sequence[ReservationRecord]) -> LimitReached:
    """Return the error for reservations that last as long already as the rules of access let them."""
    serials = [record.serial for record in records]
    return LimitReached(
        f"your account may not have {', '.join(serials)} any longer; icefarm access shows what it may have",
        serials=serials, limit="access",
    )  # fmt: skip


def too_many_labels(what: str) -> InvalidArgument:
    return InvalidArgument(f"{what} would have more than {MAX_BOARD_LABELS} labels; take some away: NAME-")


def token_exists(name: str) -> InvalidArgument:
    return InvalidArgument(f"there is a token named '{name}' already; revoke it first, or choose another name")


def unknown_token(name: str) -> InvalidArgument:
    return InvalidArgument(f"there is no token named '{name}'")


def foreign_token(line: int, name: str, account: str, role: str) -> InvalidArgument:
    return InvalidArgument(
        f"line {line}, column name: there is a token {name!r} already, and it is a {role}'s of account {account!r}; "
        "choose another name, or revoke it: icefarm token revoke"
    )


def unknown_accounts(unknown: Sequence[str], others: Sequence[str]) -> InvalidArgument:
    """Return the error for accounts that cannot be removed: there are none, or they are no plain clients'."""
    words = []
    if unknown:
        words.append(f"there is no account {', '.join(unknown)}")
    if others:
        words.append(f"{', '.join(others)} also signs in as worker or operator: revoke its tokens one by one")
    return InvalidArgument("; ".join(words))
