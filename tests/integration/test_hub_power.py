"""Cycling the power of a hub's port, with a program that stands in for uhubctl.

It takes the options and says the words of uhubctl 2.5 and 2.6 (uhubctl.c: ``main``, ``print_port_status``), and keeps
the ports' power in a file; how its hub fails is in another.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from waiting import until

from icefarm.system import command
from icefarm.worker.flash import hub_power
from icefarm.worker.flash.hub_ports import hub_port, smart_hubs
from icefarm.worker.flash.hub_power import HubPower, PowerFailed

pytestmark = pytest.mark.integration

SERIAL = "E463A8574B151439"
PLACE = "1-2.3"

STAND_IN = """
import getopt, json, os, sys, time

here = {here!r}
state = json.load(open(here + "/state"))
options = dict(getopt.getopt(sys.argv[1:], "l:p:a:d:N")[0])
with open(here + "/calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + chr(10))
fault = state["fault"]


def save():
    with open(here + "/state.new", "w") as file:
        json.dump(state, file)
    os.replace(here + "/state.new", here + "/state")


if fault == "hangs" and options.get("-a") == "cycle":
    state["ports"]["3"] = False
    save()
    time.sleep(1000)
if fault == "forbidden":
    sys.stderr.write("There were permission problems while accessing USB.\\n"
                     "Follow https://git.io/JIB2Z for a fix!\\n")
if fault in ("forbidden", "ganged") or options.get("-l", "1-2") != "1-2":
    sys.stderr.write("No compatible devices detected at location %s!\\n"
                     "Run with -h to get usage info.\\n" % options["-l"])
    sys.exit(1)


def show(when):
    print("%s status for hub 1-2 [05e3:0608, USB 2.00, 4 ports, ppps]" % when)
    for port, on in sorted(state["ports"].items()):
        if options.get("-p", port) == port:
            words = "0103 power enable connect [2e8a:000f]" if on else "0000 off"
            print("  Port %s: %s" % (port, words))


def switch(on):
    show("Current")
    if fault == "sysfs" or fault == "keeps":
        sys.stderr.write("Failed to set port status by writing to /sys/bus/usb/devices/1-2:1.0/1-2-port3/disable "
                         "(Permission denied).\\n")
    if fault == "keeps":
        sys.stderr.write("Failed to control port power!\\n: Input/output error\\n")
    elif not (fault == "stays off" and on and options["-a"] == "cycle"):
        state["ports"][options["-p"]] = on
    save()
    print("Sent power %s request" % ("on" if on else "off"))
    show("New")


action = options.get("-a")
if action is None:
    show("Current")
if action == "cycle":
    switch(False)
    time.sleep(float(options["-d"]))
if action in ("cycle", "on"):
    switch(True)
"""


class Hub:
    """The hub at USB 1-2, with boards at its four ports."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub_power, "OFF_TIME", 0.05)
        self._directory = directory
        self.fails("")
        program = directory / "uhubctl"
        script = directory / "uhubctl.py"
        script.write_text(STAND_IN.format(here=str(directory)))
        # Not Python's path in the first line: that cannot hold a space.
        words = shlex.join([sys.executable, "-SE", str(script)])
        program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        program.chmod(0o755)
        self.sysfs = directory / "sys"
        self.plug("1-2.3", SERIAL)
        self.power = HubPower(reactor, str(program), self.sysfs)

    def fails(self, how: str) -> None:
        ports = dict.fromkeys("1234", True)
        (self._directory / "state").write_text(json.dumps({"ports": ports, "fault": how}))

    def plug(self, place: str, serial: str) -> None:
        path = self.sysfs / "bus" / "usb" / "devices" / place
        path.mkdir(parents=True, exist_ok=True)
        (path / "serial").write_text(serial + "\n")

    @property
    def ports(self) -> dict[str, bool]:
        ports: dict[str, bool] = json.loads((self._directory / "state").read_text())["ports"]
        return ports

    @property
    def calls(self) -> list[str]:
        try:
            return (self._directory / "calls").read_text().splitlines()
        except FileNotFoundError:
            return []

    async def until_called(self, times: int) -> None:
        await until(lambda: len(self.calls) >= times, f"{times} calls")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    return Hub(tmp_path, monkeypatch)


@ensureDeferred
async def test_the_boards_own_port_is_cycled_and_no_other(hub: Hub) -> None:
    await hub.power.cycle(PLACE, SERIAL)
    assert hub.calls == ["-l 1-2 -p 3 -a cycle -d 0.05 -N"]
    assert all(hub.ports.values())


@ensureDeferred
async def test_a_hub_that_takes_the_older_way_is_cycled_too(hub: Hub) -> None:
    hub.fails("sysfs")
    await hub.power.cycle(PLACE, SERIAL)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("ganged", "the hub at USB 1-2 does not switch its ports one by one"),
        ("forbidden", "udev install --hubs"),
        ("keeps", "port 3 of the hub at USB 1-2 kept its power, for lack of permission"),
    ],
)
@ensureDeferred
async def test_a_hub_that_does_not_switch_is_told_of_with_what_to_do(hub: Hub, fault: str, words: str) -> None:
    hub.fails(fault)
    with pytest.raises(PowerFailed, match=words):
        await hub.power.cycle(PLACE, SERIAL)
    assert all(hub.ports.values())


@ensureDeferred
async def test_a_port_that_stays_off_is_switched_on_again(hub: Hub) -> None:
    hub.fails("stays off")
    with pytest.raises(PowerFailed, match="did not get its power back"):
        await hub.power.cycle(PLACE, SERIAL)
    assert hub.calls[-1] == "-l 1-2 -p 3 -a on -N"
    assert all(hub.ports.values())


@ensureDeferred
async def test_a_program_that_hangs_is_ended_and_the_port_switched_on(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_power, "RUN_LIMIT", 1.0)
    hub.fails("hangs")
    with pytest.raises(PowerFailed, match="did not end within 1 s"):
        await hub.power.cycle(PLACE, SERIAL)
    assert hub.calls[-1] == "-l 1-2 -p 3 -a on -N"
    assert all(hub.ports.values())


@ensureDeferred
async def test_a_cycle_that_nobody_waits_for_any_more_goes_on_to_its_end(hub: Hub, monkeypatch: Any) -> None:
    monkeypatch.setattr(hub_power, "OFF_TIME", 2.0)
    cycling = Deferred.fromCoroutine(hub.power.cycle(PLACE, SERIAL))
    await hub.until_called(1)
    await until(lambda: not hub.ports["3"], "the port is off")
    cycling.cancel()
    with pytest.raises(CancelledError):
        await cycling
    assert not hub.ports["3"]
    # As a worker does that stops.
    await hub.power.settled()
    assert hub.ports["3"]
    await hub.power.settled()


@pytest.mark.parametrize(("place", "serial"), [("1-2.3", "0123456789ABCDEF"), ("1-2.3.1", "0123456789ABCDEF")])
@ensureDeferred
async def test_a_port_at_which_something_else_hangs_by_now_keeps_its_power(hub: Hub, place: str, serial: str) -> None:
    hub.plug(place, serial)
    with pytest.raises(PowerFailed, match="now"):
        await hub.power.cycle(PLACE, SERIAL)
    assert hub.calls == []


@ensureDeferred
async def test_a_board_that_is_on_no_hub_is_left_alone(hub: Hub) -> None:
    with pytest.raises(PowerFailed, match="not a port of a hub"):
        await hub.power.cycle("virtual-1", SERIAL)
    assert hub.calls == []


def test_the_program_is_found_where_distributions_put_it(hub: Hub, monkeypatch: Any, tmp_path: Path) -> None:
    assert hub is not None
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setattr(command, "_MORE_PATHS", (str(tmp_path),))
    assert command.find("uhubctl") == str(tmp_path / "uhubctl")


@pytest.mark.parametrize(("place", "hub_at", "port"), [("1-2", "1", 2), ("1-2.3", "1-2", 3), ("12-1.4.7", "12-1.4", 7)])
def test_a_place_on_usb_names_a_port(place: str, hub_at: str, port: int) -> None:
    found = hub_port(place)
    assert found is not None
    assert (found.hub, found.port) == (hub_at, port)


@pytest.mark.parametrize("place", [None, "", "usb1", "virtual-1", "1-", "1-2:1.0", "pci-0000:00:14.0-usb-0:2.3:1.0"])
def test_what_is_no_place_on_usb_names_none(place: str | None) -> None:
    assert hub_port(place) is None


def test_the_hubs_that_switch_are_those_that_are_listed() -> None:
    said = "Current status for hub 1-2 [05e3:0608, USB 2.00, 4 ports, ppps]\n  Port 1: 0100 power\n"
    assert smart_hubs(said + said.replace("1-2", "2-1.4")) == {"1-2", "2-1.4"}
