"""Pure: no I/O, no clock.  Ports of USB hubs: a board's port, and uhubctl's output about its power.

Sources: names of devices in sysfs (Linux, Documentation/usb); output of uhubctl 2.2 to 2.6 (uhubctl.c,
print_port_status).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

__all__ = ["HubPort", "PortPower", "hub_port", "powers", "smart_hubs", "what_went_wrong"]

#: A device in sysfs: bus, and the ports on the way to it.
_DEVICE = re.compile(r"(?P<bus>[0-9]+)-(?P<ports>[0-9]+(?:\.[0-9]+)*)")
_HUB = re.compile(r"(?:Current|New) status for hub (?P<location>\S+) \[(?P<about>.*)\]")
_PORT = re.compile(r"  Port (?P<port>[0-9]+): [0-9a-f]{4}(?P<flags>[^\[]*)")


@frozen
class HubPort:
    """A port, as uhubctl names it: the hub's location ("1-2", or "1" for the root hub of bus 1), and its number."""

    hub: str
    port: int

    def __str__(self) -> str:
        return f"port {self.port} of the hub at USB {self.hub}"


@frozen
class PortPower:
    """The state of a port at one moment."""

    port: HubPort
    powered: bool


def hub_port(place: str | None) -> HubPort | None:
    """Return the hub port of a device at ``place`` (such as "1-2.3"); None if that is not a place on USB."""
    found = None if place is None else _DEVICE.fullmatch(place)
    if found is None:
        return None
    above, dot, port = found["ports"].rpartition(".")
    return HubPort(f"{found['bus']}-{above}" if dot else found["bus"], int(port))


def powers(said: str) -> Iterator[PortPower]:
    """Yield the states of ports in uhubctl's output, in order."""
    hub = None
    for line in said.splitlines():
        if (heading := _HUB.match(line)) is not None:
            hub = heading["location"]
        elif hub is not None and (found := _PORT.match(line)) is not None:
            yield PortPower(HubPort(hub, int(found["port"])), "power" in found["flags"].split())


def smart_hubs(said: str) -> frozenset[str]:
    """Return the locations of the hubs that uhubctl lists: those that switch each port by itself."""
    headings = (_HUB.match(line) for line in said.splitlines())
    return frozenset(each["location"] for each in headings if each is not None)


def what_went_wrong(said: str, port: HubPort) -> str | None:
    """Judge a power cycle by uhubctl's output; None if the power went off and on again.

    uhubctl exits with 0 even if the hub did nothing.
    """
    states = [each.powered for each in powers(said) if each.port == port]
    if not states:
        return f"uhubctl reported nothing about {port}"
    if not states[-1]:
        return f"{port} did not get its power back"
    if all(states):
        return f"{port} kept its power" + (", for lack of permission" if "ermission denied" in said else "")
    return None
