"""Virtual boards: the firmware's core behind real pseudo-terminals, its boot drive, its faults."""

from __future__ import annotations

import os
import shutil
import struct
import termios
import tty
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import lz4.block
import pulse_counts
import pytest
from attrs import define
from pytest_twisted import async_yield_fixture, ensureDeferred
from twisted.internet import reactor
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.fdesc import readFromFD, setNonBlocking, writeToFD
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure

from icefarm.errors import InvalidArgument
from icefarm.usb import uf2
from icefarm.usb.usb_events import DriveAdded, DriveRemoved, TtyAdded, TtyRemoved, UsbEvent
from icefarm.virtual.images import BoardsFailed, firmware_version, image, program
from icefarm.virtual.usb_bus import VirtualBus, VirtualBusOptions
from icefarm.worker.protocol import messages
from icefarm.worker.protocol.frames import FrameReader
from icefarm.worker.protocol.messages import Encoding, FailureReply, Hello, Nak, NakCode, Reply, ResultReply, Status
from icefarm.worker.protocol.messages import Failure as Why

pytestmark = pytest.mark.integration

LIMIT = 20.0
CIRCUITS = Path(__file__).parents[1] / "circuits"
RING, ENDLESS = ((CIRCUITS / f"{name}.bin").read_bytes() for name in ("ring", "endless"))
#: So many frames of one board are answered while fewer than a quarter as many simulations of others end.
FRAMES_MEANWHILE = 16
SQUARE_2KHZ = (Path(__file__).parents[2] / "examples" / "circuits" / "square_2khz.bin").read_bytes()
BITSTREAM = b"\xff\x00\x00\xff\x7e\xaa\x99\x7e" + bytes(range(256)) * 406 + bytes(146)
SECOND = pulse_counts.parameters(1_000_000)


class Port(FileDescriptor):
    """A board's serial port, opened as a worker opens it, less what pyserial adds."""

    def __init__(self, path: str) -> None:
        super().__init__(reactor)
        self._descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._descriptor)
        setNonBlocking(self._descriptor)
        self._reader = FrameReader()
        self._waiting: list[Deferred[messages.Reply]] = []
        self._arrived: list[messages.Reply] = []
        self.damaged = 0
        self.lost: Deferred[None] = Deferred()
        self.connected = 1
        self.startReading()

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> Any:
        return readFromFD(self._descriptor, self.dataReceived)

    def writeSomeData(self, data: bytes) -> Any:
        return writeToFD(self._descriptor, data)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        os.close(self._descriptor)
        self._descriptor = -1
        self.lost.callback(None)

    def dataReceived(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            if not hasattr(frame, "payload"):
                self.damaged += 1
            else:
                self._arrived.append(messages.decode(frame))
        while self._arrived and self._waiting:
            self._waiting.pop(0).callback(self._arrived.pop(0))

    async def reply(self) -> messages.Reply:
        if self._arrived:
            return self._arrived.pop(0)
        waiting: Deferred[messages.Reply] = Deferred()
        self._waiting.append(waiting)
        return await waiting.addTimeout(LIMIT, reactor)

    @property
    def arrived(self) -> int:
        """How many replies wait to be read."""
        return len(self._arrived)

    async def ask(self, request: bytes) -> messages.Reply:
        self.write(request)
        return await self.reply()

    async def close(self) -> None:
        if self._descriptor >= 0:
            self.loseConnection()
            await self.gone()

    async def gone(self) -> None:
        """Wait until the port is closed, by whichever side."""
        if self._descriptor >= 0:
            await self.lost.addTimeout(LIMIT, reactor)

    async def touch(self) -> None:
        attributes = termios.tcgetattr(self._descriptor)
        attributes[4] = attributes[5] = termios.B1200
        termios.tcsetattr(self._descriptor, termios.TCSANOW, attributes)
        await self.close()


@define(eq=False)
class Boards:
    """A bus, and what it told."""

    bus: VirtualBus
    events: list[UsbEvent]
    waiting: list[Deferred[None]]
    ports: list[Port]
    #: Of the board that was flashed last.
    serial: str = ""

    async def event(self, type_: type[Any], serial: str | None = None) -> Any:
        """Take the first event of a type, for a board if one is named; wait for it if need be."""
        while True:
            for event in self.events:
                if isinstance(event, type_) and serial in (None, event.serial):
                    self.events.remove(event)
                    return event
            waiting: Deferred[None] = Deferred()
            self.waiting.append(waiting)
            await waiting.addTimeout(LIMIT, reactor)

    def tell(self, event: UsbEvent) -> None:
        self.events.append(event)
        waiting, self.waiting[:] = self.waiting[:], []
        for one in waiting:
            if not one.called:
                one.callback(None)

    def open(self, path: str) -> Port:
        port = Port(path)
        self.ports.append(port)
        return port

    async def flashed(self, app: str, drive: DriveAdded) -> Port:
        self.serial = drive.serial
        write_blocks(drive.path, await image(reactor, app))
        await self.event(DriveRemoved, drive.serial)
        return self.open((await self.event(TtyAdded, drive.serial)).path)


def write_blocks(path: str, blocks: bytes) -> None:
    """Write to a boot drive; an image fits into the FIFO, so that this does not wait."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    assert os.write(descriptor, blocks) == len(blocks)
    os.close(descriptor)


def is_there(path: str) -> bool:
    return os.path.exists(path)


async def started(**options: Any) -> Boards:
    """Start boards; the circuits of most tests are made up, so that these have a landscape."""
    given = {"speed": "instant", "seed": "test", "model": "landscape", **options}
    bus = VirtualBus(reactor, VirtualBusOptions(**given))
    boards = Boards(bus, [], [], [])
    bus.subscribe(boards.tell)
    await bus.start()
    return boards


async def stopped(boards: Boards) -> None:
    for port in boards.ports:
        await port.close()
    await boards.bus.stop()


@async_yield_fixture
async def boards() -> AsyncIterator[Boards]:
    """One instant board with nothing in flash."""
    running = await started(blank=True)
    yield running
    await stopped(running)


@async_yield_fixture
async def default_board() -> AsyncIterator[Boards]:
    """One instant board as it comes: with the default application."""
    running = await started()
    yield running
    await stopped(running)


async def counting(boards: Boards) -> Port:
    return await boards.flashed("pulse_count", await boards.event(DriveAdded))


async def compiled(directory: Path, body: str) -> Path:
    """Build a model of the FPGA whose one function has that body."""
    source, target = directory / "model.c", directory / "model.so"
    source.write_text(f'#include "fpga_model.h"\nuint32_t fpga_pulses(const struct fpga_window *window) {{ {body} }}\n')
    compiler, headers = shutil.which("cc"), Path(__file__).parents[2] / "firmware" / "ports" / "host"
    assert compiler is not None
    arguments = ("-shared", "-fPIC", f"-I{headers}", "-o", str(target), str(source))
    _, err, code = await getProcessOutputAndValue(compiler, arguments, env=dict(os.environ))
    assert code == 0, err
    return target


def evaluation(id_: int, bitstream: bytes = BITSTREAM, parameters: bytes = SECOND) -> bytes:
    packed = lz4.block.compress(bitstream, store_size=False)
    return messages.evaluate(id_, packed, len(bitstream), Encoding.LZ4, parameters)


@ensureDeferred
async def test_a_board_says_who_it_is_and_passes_its_test(default_board: Boards) -> None:
    added = await default_board.event(TtyAdded)
    port = default_board.open(added.path)
    hello = await port.ask(messages.hello(1))
    assert isinstance(hello, Hello)
    assert (hello.serial, hello.app, hello.buffers) == (added.serial, "default", 2)
    assert hello.version == await firmware_version(reactor)
    assert await port.ask(messages.test(2, b"ping")) == messages.Tested(2, 0, b"ping")
    assert isinstance(await port.ask(messages.status(3)), Status)
    assert added.interface == "00"


@ensureDeferred
async def test_the_touch_starts_the_boot_loader(default_board: Boards) -> None:
    added = await default_board.event(TtyAdded)
    await default_board.open(added.path).touch()
    assert await default_board.event(TtyRemoved) == TtyRemoved(added.serial, added.path)
    drive = await default_board.event(DriveAdded)
    assert (drive.serial, drive.usb_path) == (added.serial, added.usb_path)


@ensureDeferred
async def test_closing_the_port_at_another_speed_does_not_start_the_boot_loader(default_board: Boards) -> None:
    added = await default_board.event(TtyAdded)
    await default_board.open(added.path).close()
    hello = await default_board.open(added.path).ask(messages.hello(1))
    assert isinstance(hello, Hello)
    assert default_board.events == []


@ensureDeferred
async def test_reboot_leads_to_the_boot_loader_after_its_answer(default_board: Boards) -> None:
    port = default_board.open((await default_board.event(TtyAdded)).path)
    assert await port.ask(messages.reboot(1, to_loader=True)) == messages.Rebooting(1)
    assert await default_board.event(DriveAdded)
    await port.gone()


@ensureDeferred
async def test_the_image_decides_which_application_runs(boards: Boards) -> None:
    port = await counting(boards)
    hello = await port.ask(messages.hello(1))
    assert isinstance(hello, Hello)
    assert hello.app == "pulse_count"


@ensureDeferred
async def test_an_image_may_come_in_any_order_and_with_duplicates(boards: Boards) -> None:
    drive = await boards.event(DriveAdded)
    blocks = list(uf2.blocks(await image(reactor, "default", "7.7")))
    write_blocks(drive.path, b"".join(reversed(blocks[1:] + blocks[5:9])))
    write_blocks(drive.path, blocks[0])
    port = boards.open((await boards.event(TtyAdded)).path)
    hello = await port.ask(messages.hello(1))
    assert isinstance(hello, Hello)
    assert (hello.app, hello.version) == ("default", "7.7")


@ensureDeferred
async def test_an_image_of_no_virtual_board_leads_back_to_the_boot_loader(boards: Boards) -> None:
    drive = await boards.event(DriveAdded)
    write_blocks(drive.path, uf2.build(b"code for an RP2350" * 500))
    await boards.event(DriveRemoved)
    assert (await boards.event(DriveAdded)).serial == drive.serial


@ensureDeferred
async def test_raw_and_lz4_bitstreams_give_the_same_count(boards: Boards) -> None:
    port = await counting(boards)
    raw = await port.ask(messages.evaluate(1, BITSTREAM, len(BITSTREAM), Encoding.RAW, SECOND))
    packed = await port.ask(evaluation(2))
    assert isinstance(raw, ResultReply)
    assert isinstance(packed, ResultReply)
    assert raw.value == packed.value
    assert (raw.sequence, packed.sequence, raw.window_us) == (1, 2, 1_000_000)


@ensureDeferred
async def test_two_evaluations_may_be_under_way(boards: Boards) -> None:
    port = await counting(boards)
    port.write(evaluation(1) + evaluation(2))
    assert [(await port.reply()).id, (await port.reply()).id] == [1, 2]  # type: ignore[union-attr]


@ensureDeferred
async def test_a_bitstream_without_preamble_does_not_raise_cdone(boards: Boards) -> None:
    port = await counting(boards)
    failed = await port.ask(evaluation(1, bytes(104_090)))
    assert isinstance(failed, FailureReply)
    assert failed.code == Why.CDONE


@ensureDeferred
async def test_a_damaged_request_is_refused_and_may_be_sent_again(boards: Boards) -> None:
    port = await counting(boards)
    request = bytearray(evaluation(1))
    request[200] ^= 8
    assert await port.ask(bytes(request)) == Nak(1, NakCode.CORRUPT, 3)
    assert isinstance(await port.ask(evaluation(1)), ResultReply)


async def evaluated(circuit: bytes, model: str, window_us: int = 500_000, repeats: int = 1) -> Reply:
    """Return what an instant board answers to a circuit."""
    boards = await started(blank=True, model=model)
    try:
        port = await counting(boards)
        return await port.ask(evaluation(1, circuit, pulse_counts.parameters(window_us, repeats)))
    finally:
        await stopped(boards)


@ensureDeferred
async def test_a_circuit_counts_what_its_simulation_gives() -> None:
    result = await evaluated(SQUARE_2KHZ, "simulated", repeats=3)
    assert isinstance(result, ResultReply)
    assert pulse_counts.counts(result.value) == [(1000, 500_000)] * 3
    assert result.origin == "simulated"


@ensureDeferred
async def test_a_circuit_that_takes_too_long_to_simulate_is_extrapolated() -> None:
    result = await evaluated(ENDLESS, "simulated", 10_000_000)
    assert isinstance(result, ResultReply)
    assert result.origin == "extrapolated"


@ensureDeferred
async def test_a_circuit_that_cannot_be_simulated_is_refused_with_the_reason() -> None:
    failed = await evaluated(RING, "simulated")
    assert isinstance(failed, FailureReply)
    assert failed.code == Why.NOT_MEASURED
    assert "a loop of 3 gates" in failed.text


@ensureDeferred
async def test_the_landscape_stands_in_where_that_is_allowed() -> None:
    result = await evaluated(RING, "simulated,landscape")
    assert isinstance(result, ResultReply)
    assert result.origin == "landscape"


@ensureDeferred
async def test_a_board_answers_while_another_one_is_being_simulated() -> None:
    boards = await started(boards=2, blank=True, model="simulated")
    try:
        first, second = await counting(boards), await counting(boards)
        for window_us in (10_000_000, 11_000_000):
            first.write(evaluation(window_us, ENDLESS, pulse_counts.parameters(window_us)))
        assert isinstance(await second.ask(messages.hello(2)), Hello)
        # Each simulation takes a tenth of a second.
        assert first.arrived < 2
        assert [(await first.reply()).id for _ in range(2)] == [10_000_000, 11_000_000]  # type: ignore[union-attr]
    finally:
        await stopped(boards)


@ensureDeferred
async def test_simulations_delay_no_frame_of_another_board() -> None:
    """Counted in frames, whatever the machine: with simulations in the way, all would end before the first frame."""
    boards = await started(boards=4, blank=True, model="simulated")
    try:
        *busy, other = [await counting(boards) for _ in range(4)]
        for number, board in enumerate(busy):
            for window_us in (10_000_000 + number, 11_000_000 + number):
                board.write(evaluation(window_us, ENDLESS, pulse_counts.parameters(window_us)))
        for frame in range(FRAMES_MEANWHILE):
            assert isinstance(await other.ask(messages.hello(2 + frame)), Hello)
        assert sum(board.arrived for board in busy) < FRAMES_MEANWHILE / 4
        for board in busy:
            assert [type(await board.reply()) for _ in range(2)] == [ResultReply, ResultReply]
    finally:
        await stopped(boards)


@ensureDeferred
async def test_an_evaluation_that_is_being_simulated_can_be_cancelled() -> None:
    boards = await started(blank=True, model="simulated")
    try:
        port = await counting(boards)
        port.write(evaluation(1, ENDLESS, pulse_counts.parameters(10_000_000)))
        failed = await port.ask(messages.cancel(2))
        assert isinstance(failed, FailureReply)
        assert failed.code == Why.CANCELLED
        assert await port.reply() == messages.Cancelled(2, 1)
        assert isinstance(await port.ask(evaluation(3, SQUARE_2KHZ)), ResultReply)
    finally:
        await stopped(boards)


@ensureDeferred
async def test_the_landscape_alone_says_so() -> None:
    result = await evaluated(SQUARE_2KHZ, "landscape")
    assert isinstance(result, ResultReply)
    assert result.origin == "landscape"


@ensureDeferred
async def test_a_real_board_takes_the_time_that_hardware_takes() -> None:
    boards = await started(blank=True, speed="real")
    try:
        port = await counting(boards)
        before = reactor.seconds()  # type: ignore[attr-defined]
        port.write(messages.evaluate(1, BITSTREAM, len(BITSTREAM), Encoding.RAW, pulse_counts.parameters(200_000)))
        port.write(messages.evaluate(2, BITSTREAM, len(BITSTREAM), Encoding.RAW, pulse_counts.parameters(1_000)))
        first, second = await port.reply(), await port.reply()
        assert isinstance(first, ResultReply)
        assert isinstance(second, ResultReply)
        # 104 ms over USB, 34.6 ms to load, and the window.
        assert reactor.seconds() - before >= 0.104 + 0.0346 + 0.2  # type: ignore[attr-defined]
        assert first.load_us >= 34_600
        assert 0 < first.received <= len(BITSTREAM) + 100  # what did not come while the first was loaded
        assert second.received == 0
    finally:
        await stopped(boards)


@ensureDeferred
async def test_a_load_takes_as_long_as_its_bitstream_and_its_clock_say() -> None:
    boards = await started(blank=True, speed="real")
    try:
        port = await counting(boards)
        parameters = pulse_counts.parameters(1_000)
        short = await port.ask(messages.evaluate(1, BITSTREAM[:50_000], 50_000, Encoding.RAW, parameters))
        slow = await port.ask(messages.evaluate(2, BITSTREAM[:50_000], 50_000, Encoding.RAW, parameters, slower=3))
        assert isinstance(short, ResultReply)
        assert isinstance(slow, ResultReply)
        assert 17_300 <= short.load_us < 34_600
        assert slow.load_us >= 49_300
    finally:
        await stopped(boards)


@ensureDeferred
async def test_a_silent_board_reads_and_does_not_answer() -> None:
    boards = await started(boards=2)
    try:
        added = await boards.event(TtyAdded)
        port, neighbour = boards.open(added.path), boards.open((await boards.event(TtyAdded)).path)
        await boards.bus.fault(added.serial, "silent")
        port.write(messages.hello(1))
        # One process serves both: by the time the neighbour has answered many times, the silent one has read.
        for id_ in range(100):
            await neighbour.ask(messages.status(id_))
        await boards.bus.fault(added.serial, "silent", on=False)
        status = await port.ask(messages.status(2))
        assert isinstance(status, Status)
        assert status.frames == 2
    finally:
        await stopped(boards)


@ensureDeferred
async def test_a_garbling_board_sends_damaged_frames_and_no_wrong_ones(default_board: Boards) -> None:
    added = await default_board.event(TtyAdded)
    port = default_board.open(added.path)
    await default_board.bus.fault(added.serial, "garbled", value=2)
    replies = [await port.ask(messages.test(id_, b"x" * 100) + messages.status(id_)) for id_ in range(1, 30)]
    assert all(isinstance(reply, Status) or reply.echo == b"x" * 100 for reply in replies)  # type: ignore[union-attr]
    assert port.damaged + port._reader.skipped > 0


@ensureDeferred
async def test_a_failing_load_and_an_endless_window_fail_the_evaluation_and_not_the_board(boards: Boards) -> None:
    port = await counting(boards)
    serial = boards.serial
    for fault, code in (("cdone", Why.CDONE), ("stuck", Why.WATCHDOG)):
        await boards.bus.fault(serial, fault)
        failed = await port.ask(evaluation(1, parameters=pulse_counts.parameters(1)))
        assert isinstance(failed, FailureReply)
        assert failed.code == code
        await boards.bus.fault(serial, fault, on=False)
        assert isinstance(await port.ask(evaluation(2)), ResultReply)


@ensureDeferred
async def test_a_board_unplugged_in_mid_transfer_comes_back_when_plugged_in(boards: Boards) -> None:
    port = await counting(boards)
    serial = boards.serial
    await boards.bus.unplug(serial, after=1000)
    port.write(messages.evaluate(1, BITSTREAM, len(BITSTREAM), Encoding.RAW, SECOND))
    assert (await boards.event(TtyRemoved)).serial == serial
    await port.gone()
    await boards.bus.plug(serial)
    again = boards.open((await boards.event(TtyAdded)).path)
    assert isinstance(await again.ask(evaluation(1)), ResultReply)


@ensureDeferred
async def test_a_drive_unplugged_while_it_is_written_is_gone_and_comes_back_blank(boards: Boards) -> None:
    drive = await boards.event(DriveAdded)
    await boards.bus.unplug(drive.serial, after=5000)
    write_blocks(drive.path, await image(reactor, "default"))
    await boards.event(DriveRemoved)
    assert not is_there(drive.path)
    await boards.bus.plug(drive.serial)
    assert await boards.event(DriveAdded) == drive


@ensureDeferred
async def test_a_board_that_fails_to_boot_is_nowhere_until_the_fault_is_gone(boards: Boards) -> None:
    drive = await boards.event(DriveAdded)
    await boards.bus.fault(drive.serial, "fails_to_boot")
    write_blocks(drive.path, await image(reactor, "default"))
    await boards.event(DriveRemoved)
    await boards.bus.fault(drive.serial, "slow", value=1)  # a command's answer shows that the board has had its turn
    assert boards.events == []
    await boards.bus.fault(drive.serial, "slow", on=False)
    await boards.bus.fault(drive.serial, "fails_to_boot", on=False)
    assert (await boards.event(TtyAdded)).serial == drive.serial


@ensureDeferred
async def test_a_slow_board_takes_its_time(boards: Boards) -> None:
    port = await counting(boards)
    await boards.bus.fault(boards.serial, "slow", value=3)
    result = await port.ask(evaluation(1))
    assert isinstance(result, ResultReply)
    assert result.load_us >= 3 * 34_600


@ensureDeferred
async def test_wrong_commands_are_refused_with_the_reason(default_board: Boards) -> None:
    serial = (await default_board.event(TtyAdded)).serial
    with pytest.raises(InvalidArgument, match="no board"):
        await default_board.bus.plug("0000000000000000")
    with pytest.raises(InvalidArgument, match="faults are"):
        await default_board.bus.fault(serial, "sleepy")
    with pytest.raises(InvalidArgument, match="at least 1"):
        await default_board.bus.unplug(serial, after=0)
    with pytest.raises(InvalidArgument, match="spaces"):
        await default_board.bus.plug(f"{serial}\nunplug {serial}")


@ensureDeferred
async def test_serials_differ_by_seed_and_are_the_same_each_time() -> None:
    serials = []
    for seed in ("one", "one", "two"):
        boards = await started(boards=3, seed=seed)
        serials.append({(await boards.event(TtyAdded)).serial for _ in range(3)})
        await stopped(boards)
    assert serials[0] == serials[1]
    assert not serials[0] & serials[2]
    assert all(len(serial) == 16 and set(serial) <= set("0123456789ABCDEF") for serial in serials[0])


@ensureDeferred
async def test_two_hundred_boards_live_in_one_process() -> None:
    boards = await started(boards=200)
    try:
        added = [await boards.event(TtyAdded) for _ in range(200)]
        ports = [boards.open(one.path) for one in added]
        hellos = [await port.ask(messages.hello(1)) for port in ports]
        assert [hello.serial for hello in hellos if isinstance(hello, Hello)] == [one.serial for one in added]
    finally:
        await stopped(boards)


@ensureDeferred
async def test_when_the_process_dies_its_boards_are_removed_and_the_bus_says_so() -> None:
    boards = await started(boards=2)
    ended = boards.bus.when_ended()
    assert boards.bus.pid is not None
    os.kill(boards.bus.pid, 9)
    assert "signal 9" in await ended.addTimeout(LIMIT, reactor)
    removed = {(await boards.event(TtyRemoved)).serial for _ in range(2)}
    assert removed == {(await boards.event(TtyAdded)).serial for _ in range(2)}
    with pytest.raises(BoardsFailed):
        await boards.bus.plug(removed.pop())


@ensureDeferred
async def test_boards_that_lose_their_worker_end_and_leave_nothing_behind(tmp_path: Path) -> None:
    directory = tmp_path / "drives"
    directory.mkdir()
    arguments = ("--blank", "--directory", str(directory))
    # Its input is closed at once, as that of boards whose worker was killed.
    out, err, code = await getProcessOutputAndValue(str(program()), arguments, reactor=reactor, stdinBytes=b"")
    assert (out.count(b"drive_added"), out.count(b"drive_removed"), err, code) == (1, 1, b"", 0)
    assert not is_there(str(directory))


@ensureDeferred
async def test_a_wrong_option_fails_the_start_with_the_programs_own_words() -> None:
    with pytest.raises(BoardsFailed, match=r"no-such-model\.so can't be used"):
        await started(model="/no-such-model.so")


@ensureDeferred
async def test_an_image_of_an_unknown_application_is_refused() -> None:
    with pytest.raises(BoardsFailed, match="there is no application sing"):
        await image(reactor, "sing")


@ensureDeferred
async def test_another_model_of_the_fpga_may_be_given(tmp_path: Path) -> None:
    model = await compiled(tmp_path, "return window->window_us / 1000 + window->sequence;")
    boards = await started(blank=True, model=model)
    try:
        port = await counting(boards)
        result = await port.ask(evaluation(1))
        assert isinstance(result, ResultReply)
        assert struct.unpack("<II", result.value) == (1001, 1_000_000)
    finally:
        await stopped(boards)
