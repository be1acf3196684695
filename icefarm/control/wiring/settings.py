"""What an operator decides about control."""

from __future__ import annotations

from pathlib import Path

from attrs import Factory, field, frozen

from icefarm.control.archive.runs.interface import CIRCUIT_BYTES
from icefarm.control.scheduling.availability import SuspectRule
from icefarm.control.scheduling.fair_share import HALF_LIFE
from icefarm.control.scheduling.placement import MOST_SHARERS
from icefarm.control.sessions.limits import AccountLimits
from icefarm.control.sessions.routers import ONLY
from icefarm.control.sessions.sign_in.authenticator import SignInPolicy
from icefarm.control.sessions.sign_in.oidc_settings import OidcSettings

__all__ = ["ControlSettings"]


@frozen
class ControlSettings:
    """Settings of control."""

    sign_in: SignInPolicy = SignInPolicy.OPEN
    #: Seconds that a client, or a board that was unplugged, may be away before its reservations end.
    grace: float = 30.0
    #: Default length of a reservation, seconds.
    reservation: float = 3600.0
    #: Where the operator's token is kept; None for a farm whose tokens are all made by hand.
    data_directory: Path | None = field(default=None)
    #: Seconds that a worker may be away before the reservations of its boards end, as long as their client is there.
    worker_grace: float = 600.0
    #: Days that the audit log is kept.
    audit_days: float = 90.0
    #: The lab's own sign-in, if it has one.
    oidc: OidcSettings | None = None
    #: The farm's URL from outside, without a slash at its end; None: that under which each request comes.
    public_url: str | None = None
    #: Whether measurements are archived; for how many days, and up to how many bytes.
    archive: bool = True
    archive_days: float = 90.0
    archive_bytes: float = 20e9
    #: Where days are exported to before they are dropped; None: nowhere.
    archive_export: Path | None = None
    #: Experiments are seen by their own account and operators only, whether they are shared or not.
    private: bool = False
    #: Seconds in which what an account has used counts half for who is served next.
    half_life: float = HALF_LIFE
    #: Seconds for which a board may be held while others wait for it; None: for ever.
    max_hold: float | None = 86400.0
    #: Whether boards that are reserved by number may be asked back for others, unless their client says otherwise.
    preemptible: bool = False
    #: How many clients that would share boards may share one.
    most_sharers: int = MOST_SHARERS
    #: Whether idle boards measure reference circuits, how many at the same time, and what becomes of suspect boards.
    calibration: bool = True
    calibrate_at_once: int = 2
    suspect_boards: SuspectRule = SuspectRule.AVOID
    #: Bytes of circuits that are kept for each account, in their compressed form.
    circuit_bytes: float = CIRCUIT_BYTES
    #: What each account may have and ask for, unless an operator set something else for it.
    limits: AccountLimits = Factory(AccountLimits)
    #: The URLs at which clients reach the farm's routers; one without a name where there is one only.
    routers: tuple[str, ...] = (ONLY,)
