"""Pure: no I/O, no clock.  Which accounts may have which boards, for how long, and as what.

The rules for an account and for its group apply to it.  If there are none, the rules for everybody apply; without any
rules, it may have every board.  An account may have what one of its rules allows: rules add up, in any order, and
none takes away what another one gives.  A rule allows a board if its selector selects the board,
the request is for one of its kinds, and the reservation, with all of its extensions, lasts no longer than it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from attrs import Factory, evolve, frozen

from icefarm.contract import AccessRule, DeviceRecord, account_of
from icefarm.errors import LimitReached, NotAuthorized
from icefarm.selectors.boards import parse_boards, selects
from icefarm.selectors.language import Selector
from icefarm.text.counts import counted
from icefarm.text.durations import in_words

__all__ = ["ANYTHING", "AccessRules", "Allowance", "rule_words"]

#: Rules that an error repeats.
_TOLD = 5


def rule_words(rule: AccessRule) -> str:
    """Return what a rule allows, in words."""
    words = ["all boards" if rule.where is None else f"boards with {rule.where}"]
    words += [] if rule.seconds is None else [f"for at most {in_words(rule.seconds)}"]
    words += [] if rule.kinds is None else [f"as {' or '.join(rule.kinds)}"]
    return ", ".join(words)


@frozen
class _Allowed:
    """What one rule allows."""

    where: Selector | None
    seconds: float | None
    kinds: tuple[str, ...] | None
    words: str

    @classmethod
    def of(cls, rule: AccessRule) -> _Allowed:
        where = None if rule.where is None else parse_boards(rule.where)
        return cls(where, rule.seconds, None if rule.kinds is None else tuple(rule.kinds), rule_words(rule))

    def kind(self, kind: str | None) -> bool:
        return kind is None or self.kinds is None or kind in self.kinds

    def lasts(self, seconds: float | None) -> bool:
        return seconds is None or self.seconds is None or seconds <= self.seconds

    def board(self, board: DeviceRecord) -> bool:
        return self.where is None or selects(self.where, board)


@frozen
class Allowance:
    """What an account may have."""

    account: str = ""
    #: None: everything.
    allowed: tuple[_Allowed, ...] | None = None
    #: How long the reservation is to last; None: it does not matter.
    seconds: float | None = None

    def lasting(self, seconds: float | None) -> Allowance:
        """Return the terms of a reservation of that length."""
        return evolve(self, seconds=seconds)

    def longest(self, kind: str) -> float | None:
        """Return how long a reservation for that kind may last; None: any time.  Raises `NotAuthorized`."""
        if self.allowed is None:
            return None
        times = [each.seconds for each in self.allowed if each.kind(kind)]
        if not times:
            raise NotAuthorized(f"account {self.account!a} may not have boards as {kind!a:.100}; {self._it_may()}")
        limited = [time for time in times if time is not None]
        return max(limited) if len(limited) == len(times) else None

    def duration(self, kind: str, seconds: float | None, usual: float) -> float:
        """Return how long a reservation for that kind lasts: ``seconds``, or None: the usual time, or what it may.

        Raises as `check` does.
        """
        longest = self.longest(kind)
        if seconds is None:
            return usual if longest is None else min(usual, longest)
        self._check(kind, seconds, longest)
        return seconds

    def check(self, kind: str, seconds: float) -> None:
        """Raise `NotAuthorized` for a kind, and `LimitReached` for a length, that no rule allows."""
        self._check(kind, seconds, self.longest(kind))

    def _check(self, kind: str, seconds: float, longest: float | None) -> None:
        if longest is not None and seconds > longest:
            raise LimitReached(
                f"account {self.account!a} may have boards as {kind!a:.100} for at most {in_words(longest)}, not for "
                f"{in_words(seconds)}; {self._it_may()}",
                account=self.account, limit="access", most=longest,
            )  # fmt: skip

    def allows(self, board: DeviceRecord, kind: str | None) -> bool:
        """Tell whether the account may have a board as that kind (None: as any), for so long."""
        return self.allowed is None or any(
            each.kind(kind) and each.lasts(self.seconds) and each.board(board) for each in self.allowed
        )

    def holds_for(self, board: DeviceRecord, kind: str) -> float | None:
        """Return how long a reservation of a board may last; None: any time, 0: it may not have that board."""
        if self.allowed is None:
            return None
        times = [each.seconds for each in self.allowed if each.kind(kind) and each.board(board)]
        limited = [time for time in times if time is not None]
        return None if len(limited) < len(times) else max(limited, default=0.0)

    def leaves(self, amount: int) -> str:
        """Say how many boards the rules leave."""
        length = "" if self.seconds is None else f" for {in_words(self.seconds)}"
        return f"what account {self.account!a} may have{length} leaves {amount}"

    def refusal(self, serials: Sequence[str], kind: str) -> NotAuthorized:
        """Return the error for boards that the account may not have."""
        length = "" if self.seconds is None else f" for {in_words(self.seconds)}"
        named = ", ".join(serials)
        return NotAuthorized(
            f"account {self.account!a} may not have {named} as {kind!a:.100}{length}; {self._it_may()}"
        )

    def _it_may(self) -> str:
        words = [each.words for each in self.allowed or ()]
        more = f"; and {counted(len(words) - _TOLD, 'more rule')}" if len(words) > _TOLD else ""
        return f"it may have: {'; '.join(words[:_TOLD])}{more}"


#: Of an account that may have everything.
ANYTHING = Allowance()


@frozen(slots=False)
class AccessRules:
    """All rules, and the group of each account that is in one."""

    rules: Sequence[AccessRule] = ()
    groups: Mapping[str, str] = Factory(dict)

    @cached_property
    def _compiled(self) -> dict[int, _Allowed]:
        return {rule.id: _Allowed.of(rule) for rule in self.rules}

    def rules_of(self, account: str) -> list[AccessRule]:
        """Return the rules that an account has."""
        group = self.groups.get(account)
        own = [rule for rule in self.rules if rule.account == account or (rule.group and rule.group == group)]
        return own or [rule for rule in self.rules if rule.account is None and rule.group is None]

    def of(self, identity: str) -> Allowance:
        """Return the terms of the account that an identity belongs to."""
        account = account_of(identity)
        rules = self.rules_of(account) if self.rules else []
        return Allowance(account, tuple(self._compiled[rule.id] for rule in rules)) if rules else ANYTHING
