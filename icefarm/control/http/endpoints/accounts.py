"""Pure: no I/O, no clock.  Endpoints of bookings, limits, access rules and labels."""

from __future__ import annotations

from typing import Any

from attrs import Factory, field, frozen

from icefarm.control.http.endpoints.endpoint import AMOUNT, NAME, SERIALS, WHERE, Asked, Endpoint, NoQuery
from icefarm.errors import LimitReached, NotYours, Unavailable, UnknownDevice, UnknownWorker

__all__ = ["ENDPOINTS"]


@frozen
class BookingsQuery(Asked):
    """The query for bookings."""

    since: float | None = field(
        default=None, metadata={"description": "Also those that were not over then; seconds since 1970."}
    )


@frozen
class BookingWanted(Asked):
    """Boards to be kept for an account, for a time."""

    starts_at: float = field(metadata={"description": "When it begins; seconds since 1970."})
    seconds: float = field(metadata={"description": "How long.", "minimum": 60, "maximum": 30 * 86400})
    amount: int | None = field(default=None, metadata=AMOUNT)
    serials: list[str] | None = field(default=None, metadata=SERIALS)
    account: str | None = field(
        default=None, metadata={"description": "For this account or group (operator); default: yours."}
    )
    kind: str | None = field(default=None, metadata={"description": "Boards that can be of this kind."})
    where: str | None = field(default=None, metadata=WHERE)
    name: str | None = field(default=None, metadata=NAME)


@frozen
class BookingIds(Asked):
    """Some bookings."""

    ids: list[str] = field(metadata={"description": "Their ids.", "minItems": 1, "maxItems": 1000})
    name: str | None = field(default=None, metadata=NAME)


@frozen
class LimitsOf(Asked):
    """The query for what an account may have."""

    account: str | None = field(default=None, metadata={"description": "Of this account (operator); default: yours."})


@frozen
class LimitsWanted(Asked):
    """What an account may have from now on."""

    account: str = field(metadata={"description": "The account.", "minLength": 1, "maxLength": 100})
    limits: dict[str, float | None] = field(
        metadata={"description": 'Such as {"boards": 4, "queue": null}; null: the limit of the farm holds again.'}
    )


@frozen
class Labels(Asked):
    """Labels of boards, or of a worker and so of its boards."""

    labels: dict[str, str | None] = field(
        metadata={"description": 'Such as {"lab": "3", "batch": null}; null takes a label away.'}
    )
    serials: list[str] | None = field(default=None, metadata=SERIALS)
    worker: str | None = field(default=None, metadata={"description": "The worker, instead of serials."})


@frozen
class AccessRuleWanted(Asked):
    """A rule of access; what is left out is not limited."""

    account: str | None = field(default=None, metadata={"description": "Of this account."})
    group: str | None = field(
        default=None, metadata={"description": "Of this group of accounts. Without both: of all without own rules."}
    )
    where: str | None = field(default=None, metadata=WHERE)
    seconds: float | None = field(
        default=None, metadata={"description": "The longest reservation.", "exclusiveMinimum": 0, "maximum": 30 * 86400}
    )
    kinds: list[str] | None = field(default=None, metadata={"description": "Device kinds.", "minItems": 1})


@frozen
class AccessRuleIds(Asked):
    """Some rules of access."""

    ids: list[int] = field(metadata={"description": "Their ids.", "maxItems": 500})


@frozen
class AccessGroup(Asked):
    """A group of accounts, with those that come and those that go."""

    group: str = field(metadata={"description": "Its name.", "minLength": 1, "maxLength": 100})
    add: list[str] = field(default=Factory(list), metadata={"description": "Accounts to put into it."})
    remove: list[str] = field(default=Factory(list), metadata={"description": "Accounts to take out of it."})

    def arguments(self) -> dict[str, Any]:
        """See `Asked`."""
        return {"name": self.group, "add": self.add, "remove": self.remove}


ENDPOINTS = (
    Endpoint(
        "/bookings", "GET", "List the bookings of all accounts, the earliest first.",
        BookingsQuery, "bookings", "bookings", old=False,
    ),
    Endpoint(
        "/book", "POST", "Keep boards for your account (an operator: for any account or group), for a later time.",
        BookingWanted, "book", "booking", (Unavailable, UnknownDevice, LimitReached), old=False,
    ),
    Endpoint(
        "/bookings/cancel", "POST", "Cancel bookings of your account (an operator: any).",
        BookingIds, "cancel_bookings", "ids", (NotYours,), old=False,
    ),
    Endpoint(
        "/limits", "GET", "Return the limits of your account, and its use of them; operators: any account.",
        LimitsOf, "limits", "limits", old=False,
    ),
    Endpoint(
        "/access", "GET", "Return which boards your account may have, for how long, and as what; operators: any.",
        LimitsOf, "access", "access", old=False,
    ),
    Endpoint(
        "/limits/set", "POST", "Set limits of an account (operator).",
        LimitsWanted, "set_limits", "limits", operating=True, old=False,
    ),
    Endpoint(
        "/label", "POST", "Set labels of boards, or of a worker and thereby its boards; returns the boards (operator).",
        Labels, "label", "objects", (UnknownDevice, UnknownWorker), operating=True, old=False,
    ),
    Endpoint(
        "/access/rules", "GET", "List all access rules, and the accounts of each group (operator).",
        NoQuery, "access_list", "access_rules", operating=True, old=False,
    ),
    Endpoint(
        "/access/add", "POST", "Add an access rule for an account, a group, or all accounts without rules (operator).",
        AccessRuleWanted, "access_add", "access_rule", operating=True, old=False,
    ),
    Endpoint(
        "/access/remove", "POST", "Remove access rules; returns the removed ids (operator).",
        AccessRuleIds, "access_remove", "numbers", operating=True, old=False,
    ),
    Endpoint(
        "/access/group", "POST", "Add accounts to a group, remove others; returns the whole group (operator).",
        AccessGroup, "access_group", "ids", operating=True, old=False,
    ),
)  # fmt: skip
