"""Pure: no I/O, no clock.  The credentials of a session at the router."""

from __future__ import annotations

from attrs import field, frozen, validators

from icefarm.contract import Role

__all__ = ["Credentials"]


@frozen
class Credentials:
    """The credentials that a session presents at sign-in.

    Each process (or client object) chooses ``instance`` at random: by it, control tells a process that reconnects
    after a lost link from a second one under the same name.
    """

    authid: str
    role: Role
    instance: str
    ticket: str = field(default="", repr=False, validator=validators.instance_of(str))
