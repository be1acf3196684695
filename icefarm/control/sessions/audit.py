"""Who did what, and who was refused: gathered, and written to the store every second.

Entries wait while the database is away, up to a limit.  Nobody can fill the log: for one account, or for one refused
address, it keeps a bounded number of entries in a period, and then only the number of further ones.
"""

from __future__ import annotations

from attrs import Factory, define, field
from twisted.logger import Logger

from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Repeated
from icefarm.concurrency.rate_limit import RateLimit
from icefarm.contract import account_of
from icefarm.control.storage.interface import AuditEntry, Store
from icefarm.errors import Busy, IcefarmError
from icefarm.text.one_line import one_line, one_line_or_none

__all__ = ["ACTIONS", "AuditLog"]

#: Procedures whose calls are kept.
ACTIONS = frozenset(
    (
        *("reserve", "extend", "end", "reboot", "book", "cancel_bookings"),
        *("delete", "delete_worker", "end_any", "drain", "resume", "retest", "dismiss"),
        *("set_limits", "label", "access_add", "access_remove", "access_group"),
        "end_accounts",
    )
)
#: Seconds between writes, and between looks for what is too old.
INTERVAL = 1.0
CLEANING = 3600.0
#: Entries that wait to be written while the database is away; more are dropped, the oldest first.
WAITING = 10_000
#: Entries of one account, or of one address that is refused, in so many seconds.
AMOUNT, PERIOD = 60, 10.0
#: Accounts and addresses that are counted at a time.
COUNTED = 1000
#: Longest text in an entry, in characters.
LONGEST = 400


@define(eq=False)
class AuditLog:
    """Keeps entries, for so many days."""

    store: Store
    clock: Clock
    days: float
    _entries: list[AuditEntry] = Factory(list)
    _limits: dict[str, RateLimit] = Factory(dict)
    _cleaned: float = float("-inf")
    _log: Logger = Factory(Logger)
    _repeated: Repeated = field(init=False)

    @_repeated.default
    def _make_repeated(self) -> Repeated:
        return Repeated(self.clock, INTERVAL, "the audit log is written", self._write_and_clean)

    def start(self) -> None:
        """Begin to write."""
        self._repeated.start()

    def stop(self) -> None:
        """Write no more."""
        self._repeated.stop()

    def called(
        self, caller: Caller, address: str, action: str, subject: str | None, outcome: str, detail: str | None = None
    ) -> None:
        """Keep what a caller did."""
        session = caller.session or None
        self._keep(caller.authid, caller.role, session, address, action, subject, outcome, detail)

    def signed_in(self, name: str, role: str, address: str, outcome: str, detail: str | None) -> None:
        """Keep that somebody signed in as ``name``, or was refused and why."""
        # One that was refused may be of any length.
        self._keep(one_line(name, LONGEST), role, None, address, "sign_in", None, outcome, detail)

    async def write(self) -> None:
        """Write what was gathered.  Raises `Busy`; it is then kept for the next time."""
        for key, limit in self._limits.items():
            suppressed = limit.take_suppressed()
            if suppressed:
                now = self.clock.seconds()
                more = f"{suppressed} more in the last {PERIOD:g} s"
                self._entries.append(AuditEntry(now, key, key, "", None, None, "suppressed", None, "done", more))
        entries, self._entries = self._entries, []
        if not entries:
            return
        try:
            await self.store.keep_audit(entries)
        except Busy:
            self._entries = (entries + self._entries)[-WAITING:]
            raise

    def _keep(
        self,
        identity: str,
        role: str,
        session: int | None,
        address: str,
        action: str,
        subject: str | None,
        outcome: str,
        detail: str | None,
    ) -> None:
        account = account_of(identity)
        refused = action == "sign_in" and outcome != "done"
        # Who is refused may say any name, but not from any address; its last part is the port.
        if not self._limit(address.rpartition(":")[0] if refused else account).passes(self.clock.seconds()):
            return
        entry = AuditEntry(
            self.clock.seconds(),
            one_line(account, LONGEST),
            one_line(identity, LONGEST),
            one_line(role, LONGEST),
            session,
            one_line(address, LONGEST) or None,
            action,
            one_line_or_none(subject, LONGEST),
            outcome,
            one_line_or_none(detail, LONGEST),
        )
        self._entries.append(entry)
        del self._entries[:-WAITING]

    def _limit(self, key: str) -> RateLimit:
        if key not in self._limits and len(self._limits) >= COUNTED:
            self._limits.clear()
        return self._limits.setdefault(key, RateLimit(AMOUNT, PERIOD))

    async def _write_and_clean(self) -> None:
        try:
            await self.write()
            now = self.clock.seconds()
            if now - self._cleaned >= CLEANING:
                self._cleaned = now
                await self.store.forget_audit(now - self.days * 86400.0)
        except IcefarmError as error:
            self._log.debug("the audit log cannot be written just now: {error}", error=error)
