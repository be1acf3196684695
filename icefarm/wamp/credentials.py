"""Pure: no I/O, no clock.  Who signs in at the router."""

from __future__ import annotations

from attrs import field, frozen, validators

from icefarm.contract import Role

__all__ = ["Credentials"]


@frozen
class Credentials:
    """What a session shows at sign-in.

    ``instance`` is chosen at random by each process (or client object): it lets control tell the same one that comes
    back after a lost link from a second one under the same name.
    """

    authid: str
    role: Role
    instance: str
    ticket: str = field(default="", repr=False, validator=validators.instance_of(str))
