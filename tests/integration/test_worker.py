"""The worker with real parts: virtual boards on ptys, their faults, and the plugin under twistd at a real router."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, formatEvent
from twisted.python.failure import Failure
from waiting import until

from icefarm.bitstream import compress, from_file, made_up_bitstream
from icefarm.bus import Bus
from icefarm.contract import AUTHENTICATOR, Assignment, Role, device_procedure, to_wire
from icefarm.control.inventory.calibration.references import circuits_for
from icefarm.errors import DeviceFailed
from icefarm.kinds import Kinds
from icefarm.kinds.pulsecount import PulseCount
from icefarm.testing.memory.fake_control import RecordingControl, let_in
from icefarm.testing.memory.process import MemoryProcess
from icefarm.testing.memory.wamp import MemoryRouter
from icefarm.testing.processes.router import RealRouter
from icefarm.usb.uf2 import build
from icefarm.usb.usb_events import TtyAdded, TtyRemoved, UsbEvent
from icefarm.virtual.images import firmware_version
from icefarm.virtual.usb_bus import VirtualBus, VirtualBusOptions
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link
from icefarm.worker.board.serial_hardware import SerialHardware, write_drive
from icefarm.worker.control_link.link import WorkerIdentity
from icefarm.worker.flash.errors import FlashFailed
from icefarm.worker.service import Worker
from icefarm.worker.sources import RealBoards, VirtualBoards

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples" / "circuits"
CIRCUIT = from_file(EXAMPLES / "square_2khz.bin")
PACKED = {"lz4": compress(CIRCUIT.data), "length": len(CIRCUIT.data), "sha256": CIRCUIT.sha256}
#: LZ4 makes nothing of them, and they are not alike, so that each takes 0.1 s on the way to a board.
DENSE = [made_up_bitstream(seed, sparseness=1).data for seed in range(4)]
#: Seconds that anything here may take.
LIMIT = 60.0


@define(eq=False)
class Rig:
    """A worker with virtual boards at a router in memory."""

    router: MemoryRouter
    control: RecordingControl
    worker: Worker
    source: VirtualBoards
    client: Bus

    @property
    def bus(self) -> VirtualBus:
        assert self.source.bus is not None
        return self.source.bus

    @property
    def serials(self) -> list[str]:
        return sorted(self.control.devices)

    async def status(self, status: str, *serials: str) -> None:
        await self.control.until_status(status, *serials).addTimeout(LIMIT, reactor)

    async def reserve(self, serial: str, window: float = 0.02) -> None:
        await self.control.prepare("w1", serial, Assignment("r-" + serial, "alice", "pulsecount", {"window": window}))

    async def evaluate(self, serial: str, bitstream: Any = PACKED, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self.client.call(
            device_procedure(serial, "evaluate"),
            (),
            {
                "reservation": "r-" + serial,
                "evaluation_id": uuid.uuid4().hex,
                "bitstream": bitstream,
                "options": options,
            },
            timeout=LIMIT,
        )
        return answer


@asynccontextmanager
async def rig(boards: int = 1, speed: str = "instant", **options: Any) -> AsyncIterator[Rig]:
    """Run a worker until its boards are available, and stop it whatever happens."""
    router, control = MemoryRouter(reactor), RecordingControl()
    await control.serve(router)
    given = {"model": "simulated,landscape", **options}
    source = VirtualBoards(reactor, VirtualBusOptions(boards=boards, seed="test", speed=speed, **given))
    failures: list[Failure] = []
    worker = MemoryProcess(router, reactor).worker(
        WorkerIdentity("w1", "i", "host", "1.0"), SerialHardware(reactor),
        Kinds.of(PulseCount), source, failed=failures.append, left=lambda: None,
    )  # fmt: skip
    worker.startService()
    try:
        await control.until(
            lambda: (
                len(control.devices) == boards
                and all(device["status"] == "available" for device in control.devices.values())
            )
        ).addTimeout(LIMIT, reactor)
        yield Rig(router, control, worker, source, router.join("alice", Role.CLIENT))
    finally:
        await worker.stopService()
        assert failures == []
    ports = [reader for reader in reactor.getReaders() if type(reader).__name__ == "_Port"]  # type: ignore[attr-defined]
    assert ports == []


@ensureDeferred
async def test_boards_are_found_tested_reserved_measured_and_released() -> None:
    async with rig(boards=2) as farm:
        for serial in farm.serials:
            await farm.reserve(serial)
            measurement = await farm.evaluate(serial)
            # 2 kHz for 20 ms.
            assert (measurement["value"], measurement["window_us"]) == (40, 20_000)
            assert (measurement["serial"], measurement["firmware"]) == (serial, "pulse_count")
            await farm.control.order("w1", "release", serial=serial, reservation="r-" + serial, reason="done")
        await farm.status("available")


@ensureDeferred
async def test_a_plain_bitstream_and_repeats_are_measured_as_well() -> None:
    async with rig() as farm:
        (serial,) = farm.serials
        await farm.reserve(serial)
        measurement = await farm.evaluate(serial, CIRCUIT.data, repeats=3)
        assert measurement["value"] == [40, 40, 40]
        assert measurement["sha256"] == CIRCUIT.sha256


@ensureDeferred
async def test_the_next_bitstream_is_received_while_one_is_measured_unless_that_is_turned_off() -> None:
    async with rig(boards=2, speed="real") as farm:
        overlapping, quiet = farm.serials
        await farm.reserve(overlapping, 0.2)
        options = {"window": 0.2, "overlap": False}
        await farm.control.prepare("w1", quiet, Assignment("r-" + quiet, "alice", "pulsecount", options))
        received = {}
        for serial in farm.serials:
            results = await gatherResults([Deferred.fromCoroutine(farm.evaluate(serial, each)) for each in DENSE])
            received[serial] = sum(result["usb_bytes_in_window"] for result in results)
        assert received[overlapping] > 0
        assert received[quiet] == 0


@ensureDeferred
async def test_a_silent_board_is_recovered_and_its_evaluation_answered_once_it_speaks() -> None:
    async with rig() as farm:
        (serial,) = farm.serials
        await farm.reserve(serial)
        await farm.bus.fault(serial, "silent")
        running = Deferred.fromCoroutine(farm.evaluate(serial))
        await farm.status("testing", serial)
        await farm.bus.fault(serial, "silent", on=False)
        measurement = await running
        assert measurement["value"] == 40
        assert farm.worker.boards.get(serial).tally.retries >= 1


@ensureDeferred
async def test_a_board_that_stays_silent_is_set_aside_and_its_evaluation_fails() -> None:
    async with rig() as farm:
        (serial,) = farm.serials
        await farm.bus.fault(serial, "silent")
        with pytest.raises(DeviceFailed):
            await farm.reserve(serial)
        await farm.status("broken", serial)
        await farm.bus.fault(serial, "silent", on=False)
        await farm.control.order("w1", "retest", serial=serial)
        # It was prepared for a reservation that nobody has ended.
        await farm.status("reserved", serial)


@ensureDeferred
async def test_garbled_answers_are_asked_for_again() -> None:
    async with rig() as farm:
        (serial,) = farm.serials
        await farm.reserve(serial)
        await farm.bus.fault(serial, "garbled", value=3)
        for _ in range(20):
            assert (await farm.evaluate(serial))["value"] == 40
        assert farm.worker.boards.get(serial).tally.retries > 0


@ensureDeferred
async def test_a_board_unplugged_in_mid_transfer_answers_after_it_is_plugged_in_again() -> None:
    async with rig(speed="real") as farm:
        (serial,) = farm.serials
        await farm.reserve(serial)
        await farm.bus.unplug(serial, after=1000)
        running = Deferred.fromCoroutine(farm.evaluate(serial, CIRCUIT.data))
        await farm.status("offline", serial)
        await farm.bus.plug(serial)
        assert (await running)["value"] == 40


@ensureDeferred
async def test_a_board_unplugged_while_it_is_flashed_recovers_when_it_is_plugged_in() -> None:
    async with rig(speed="real") as farm:
        (serial,) = farm.serials
        preparing = Deferred.fromCoroutine(farm.reserve(serial))
        await farm.status("flashing", serial)
        await farm.bus.unplug(serial)
        await farm.bus.plug(serial)
        await preparing
        assert (await farm.evaluate(serial))["value"] == 40


@ensureDeferred
async def test_a_board_whose_firmware_does_not_boot_is_set_aside_with_the_reason() -> None:
    async with rig() as farm:
        (serial,) = farm.serials
        await farm.bus.fault(serial, "fails_to_boot")
        with pytest.raises(DeviceFailed, match=r"did not (start|come back)"):
            await farm.reserve(serial)
        await farm.status("broken", serial)


@pytest.mark.parametrize("fault", ["cdone", "stuck"])
@ensureDeferred
async def test_an_evaluation_that_the_board_cannot_carry_out_fails_with_its_reason(fault: str) -> None:
    async with rig() as farm:
        (serial,) = farm.serials
        await farm.reserve(serial)
        await farm.bus.fault(serial, fault)
        with pytest.raises(DeviceFailed, match="cdone" if fault == "cdone" else "watchdog"):
            await farm.evaluate(serial)
        await farm.bus.fault(serial, fault, on=False)
        assert (await farm.evaluate(serial))["value"] == 40


@ensureDeferred
async def test_a_board_whose_fpga_takes_no_bitstream_is_not_returned_to_service_before_it_takes_one() -> None:
    async with rig() as farm:
        (serial,) = farm.serials
        await farm.reserve(serial)
        await farm.bus.fault(serial, "cdone")
        while farm.worker.boards.get(serial).report().status != "broken":
            with pytest.raises(DeviceFailed):
                await farm.evaluate(serial)
        await farm.control.order("w1", "release", serial=serial, reservation="r-" + serial, reason="done")
        await farm.control.order("w1", "retest", serial=serial)
        # That it was tested meanwhile may not be reported: of what happens within 20 ms a worker reports the latest.
        await farm.control.until(lambda: "takes no circuit" in str(farm.control.devices[serial]["reason"]))
        assert farm.control.devices[serial]["status"] == "broken"
        await farm.bus.fault(serial, "cdone", on=False)
        await farm.control.order("w1", "retest", serial=serial)
        await farm.status("available", serial)


@ensureDeferred
async def test_blank_boards_get_the_default_firmware() -> None:
    async with rig(boards=2, blank=True) as farm:
        assert {device["firmware"] for device in farm.control.devices.values()} == {"default"}


@ensureDeferred
async def test_virtual_boards_whose_process_died_are_started_again() -> None:
    async with rig() as farm:
        (serial,) = farm.serials
        await farm.reserve(serial)
        assert farm.bus._process is not None
        farm.bus._process.kill()
        await farm.status("offline", serial)
        await farm.status("reserved", serial)
        assert (await farm.evaluate(serial))["value"] == 40


@ensureDeferred
async def test_after_their_process_died_the_same_virtual_boards_are_plugged_in_as_before() -> None:
    there: set[str] = set()

    def heard(event: UsbEvent) -> None:
        if isinstance(event, TtyAdded):
            there.add(event.serial)
        elif isinstance(event, TtyRemoved):
            there.discard(event.serial)

    source = VirtualBoards(reactor, VirtualBusOptions(boards=3, plugged=1, seed="test", speed="instant"))
    await source.start(heard)
    try:
        await until(lambda: len(there) == 1, "a board is plugged in", LIMIT)
        (first,), (second, _) = there, source.spare
        await source.unplug(first)
        await source.plug(second)
        await until(lambda: there == {second}, "the other board is plugged in", LIMIT)
        before = source.bus
        assert before is not None
        assert before.pid is not None
        os.kill(before.pid, 9)
        await until(
            lambda: source.bus is not before and there == {second} and first in source.spare,
            "the boards are as before",
            LIMIT,
        )
        assert len(source.spare) == 2
    finally:
        await source.stop()


@ensureDeferred
async def test_two_hundred_boards_are_prepared_within_three_seconds() -> None:
    async with rig(boards=200) as farm:
        started = reactor.seconds()  # type: ignore[attr-defined]
        await gatherResults([Deferred.fromCoroutine(farm.reserve(serial)) for serial in farm.serials])
        assert reactor.seconds() - started < 3.0  # type: ignore[attr-defined]


# ----------------------------------------------------------------------------------------------------- drives


@ensureDeferred
async def test_a_drive_that_is_no_fifo_is_written_by_a_child(tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    drive.write_bytes(b"\xff" * 8192)
    await write_drive(reactor, str(drive), b"\x01" * 4096)
    assert drive.read_bytes() == b"\x01" * 4096 + b"\xff" * 4096


@ensureDeferred
async def test_a_drive_that_cannot_be_written_fails_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "drive").mkdir()
    with pytest.raises(FlashFailed, match="directory"):
        await write_drive(reactor, str(tmp_path / "drive"), b"\x01" * 512)


def test_a_drive_that_is_gone_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FlashFailed, match="could not be opened"):
        write_drive(reactor, str(tmp_path / "gone"), b"\x01" * 512)


# ----------------------------------------------------------------------------------------------------- plugin


class Twistd(ProcessProtocol):
    """A worker under twistd."""

    def __init__(self) -> None:
        self.said = b""
        self.ended: Deferred[int] = Deferred()

    def outReceived(self, data: bytes) -> None:
        self.said += data

    errReceived = outReceived  # noqa: N815

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(reason.value.exitCode if reason.check(ProcessTerminated, ProcessDone) else -1)


Spawn = Callable[..., Twistd]


@pytest.fixture
def twistd(tmp_path: Path) -> Iterator[Spawn]:
    running: list[tuple[Any, Twistd]] = []

    def spawn(*arguments: str, **environment: str) -> Twistd:
        protocol = Twistd()
        command = [sys.executable, "-m", "twisted", "icefarm-worker", *arguments]
        process = reactor.spawnProcess(  # type: ignore[attr-defined]
            protocol, sys.executable, command, {"PATH": "/usr/bin:/bin", **environment}, str(tmp_path)
        )
        running.append((process, protocol))
        return protocol

    yield spawn
    for process, protocol in running:
        if not protocol.ended.called:
            process.signalProcess("KILL")


async def _control(router: RealRouter, control: RecordingControl) -> tuple[Link, Bus]:
    """Sign in as control at a real router, in a session that lets anybody in."""
    here: Deferred[Bus] = Deferred()

    async def joined(bus: Bus) -> None:
        await bus.register(AUTHENTICATOR, let_in)
        await control.join(bus)
        here.callback(bus)

    link = Link(reactor, router.control_url, Credentials("control", Role.CONTROL, "c", router.ticket), joined, _never)
    link.startService()
    return link, await here.addTimeout(LIMIT, reactor)


def _never(_: Exception) -> bool:
    return False


async def _client(router: RealRouter) -> tuple[Link, Bus]:
    here: Deferred[Bus] = Deferred()

    async def joined(bus: Bus) -> None:
        here.callback(bus)

    link = Link(reactor, router.url, Credentials("alice", Role.CLIENT, "a"), joined, _never)
    link.startService()
    return link, await here.addTimeout(LIMIT, reactor)


@ensureDeferred
async def test_the_plugin_serves_clients_at_a_real_router(router: RealRouter, twistd: Spawn) -> None:
    control = RecordingControl()
    link, _ = await _control(router, control)
    protocol = twistd(
        "--control", router.url, "--name", "w1", "--virtual-boards", "2", "--speed", "instant", "--no-usb"
    )
    client = None
    try:
        await control.until_status("available").addTimeout(LIMIT, reactor)
        serial = min(control.devices)
        await control.prepare("w1", serial, Assignment("r", "alice", "pulsecount", {"window": 0.02}))
        client, bus = await _client(router)
        arguments = {"reservation": "r", "evaluation_id": "e", "bitstream": PACKED}
        measurement = await bus.call(device_procedure(serial, "evaluate"), (), arguments, timeout=LIMIT)
        assert (measurement["serial"], measurement["worker"]) == (serial, "w1")
    finally:
        if client is not None:
            await client.stopService()
        await link.stopService()
    assert b"Traceback" not in protocol.said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--virtual-boards", "many"], b"whole number"),
        (["--speed", "fast"], b"real, instant"),
        (["--control", "ftp://there"], b"not the URL of a farm"),
        (["--name", " "], b"printable"),
        (["--images", "/nowhere"], b"no directory"),
        (["--model", "/nowhere.so"], b"no file"),
        (["--model", "dreamt"], b"'simulated,landscape'"),
        (["--unheard-of"], b"unheard-of"),
    ],
)
@ensureDeferred
async def test_wrong_options_end_with_one_clear_line(twistd: Spawn, arguments: list[str], words: bytes) -> None:
    protocol = twistd(*arguments)
    assert await protocol.ended.addTimeout(LIMIT, reactor) != 0
    assert words in protocol.said
    assert b"Traceback" not in protocol.said


@ensureDeferred
async def test_images_of_another_version_than_the_workers_own_are_named_in_the_log(tmp_path: Path) -> None:
    shipped = await firmware_version(reactor)
    for name in (f"default-{shipped}", "pulse_count-0.0.1"):
        (tmp_path / f"{name}.uf2").write_bytes(build(b"an image"))
    said: list[str] = []
    log = Logger("test", observer=lambda event: said.append(formatEvent(event)))
    images = await RealBoards(reactor, tmp_path, log=log).images(Kinds.of(PulseCount))
    assert set(images.by_name) == {"default", "pulse_count"}
    (line,) = said
    assert f"pulse_count 0.0.1 for real boards is not that of this icefarm, {shipped}" in line


@ensureDeferred
async def test_an_idle_board_measures_the_references_that_it_can_and_is_available_meanwhile() -> None:
    async with rig(offset_ppm=5000.0, model="simulated") as farm:
        (serial,) = farm.serials
        circuits = [
            {**to_wire(each), "bitstream": each.bitstream, "times": 2}
            for each in (*circuits_for(virtual=True), *circuits_for(virtual=False)[-1:])
        ]
        measured = await farm.control.order(
            "w1", "measure_references", serial=serial, reservation="c1", window=0.05, circuits=circuits
        )
        # Virtual boards refuse the ring of inverters.
        assert [each["reference"] for each in measured] == ["oscillator"] * 2 + ["crystal"] * 2
        counts = {each["value"] for each in measured}
        assert all(abs(count - 150_000) <= 151_000 * 0.0051 for count in counts)
        assert farm.control.devices[serial]["status"] == "available"
        await farm.reserve(serial)
        assert (await farm.evaluate(serial))["kind"] == "pulsecount"


@ensureDeferred
async def test_a_reservation_waits_for_one_window_of_a_reference_at_most() -> None:
    async with rig(speed="real") as farm:
        (serial,) = farm.serials
        oscillator, *_ = circuits_for(virtual=True)
        wanted = [{**to_wire(oscillator), "bitstream": oscillator.bitstream, "times": 20}]
        measuring = Deferred.fromCoroutine(
            farm.control.order("w1", "measure_references", serial=serial, reservation="c1", window=1.0, circuits=wanted)
        )
        await farm.control.until(lambda: farm.control.devices[serial]["firmware"] == "pulse_count").addTimeout(
            LIMIT, reactor
        )
        began = reactor.seconds()  # type: ignore[attr-defined]
        await farm.reserve(serial)
        assert reactor.seconds() - began < 2.5  # type: ignore[attr-defined]
        assert len(await measuring) < 20
