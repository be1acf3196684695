"""The ways between the parts of a farm: a relay on each, so that each can be cut, held up and opened again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from faults.relay import Relay

__all__ = ["FarmLinks", "RouterAddress"]


@frozen
class RouterAddress:
    """Where a router listens: for everybody, and for control."""

    public: tuple[str, int]
    control: Path


@frozen
class FarmLinks:
    """All relays of a farm."""

    #: Of clients and of workers, by router.
    clients: tuple[Relay, ...]
    workers: tuple[Relay, ...]
    #: Of each control, by router.
    controls: tuple[tuple[Relay, ...], ...]
    #: Of each control.
    databases: tuple[Relay, ...]

    @classmethod
    def of(
        cls, reactor: Any, directory: Path, routers: Sequence[RouterAddress], controls: int, database: Path
    ) -> FarmLinks:
        """Return relays that do not listen yet; those with Unix sockets have them in ``directory``."""
        homes = [directory / str(number) for number in range(controls)]
        for home in homes:
            home.mkdir()
        return cls(
            tuple(Relay(reactor, router.public) for router in routers),
            tuple(Relay(reactor, router.public) for router in routers),
            tuple(
                tuple(Relay(reactor, router.control, home / f"{at}.sock") for at, router in enumerate(routers))
                for home in homes
            ),
            tuple(Relay(reactor, database, home / database.name) for home in homes),
        )

    def of_kind(self, whose: str) -> tuple[Relay, ...]:
        """Return the relays for the connections of clients, of workers, of control, or to PostgreSQL."""
        ways = tuple(way for ways in self.controls for way in ways)
        return {"clients": self.clients, "workers": self.workers, "control": ways, "PostgreSQL": self.databases}[whose]

    def of_control(self, number: int) -> tuple[Relay, ...]:
        """Return all ways of a control: to the routers, and to PostgreSQL."""
        return (*self.controls[number], self.databases[number])

    @property
    def all(self) -> tuple[Relay, ...]:
        return tuple(way for whose in ("clients", "workers", "control", "PostgreSQL") for way in self.of_kind(whose))
