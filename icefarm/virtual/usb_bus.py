"""The virtual USB bus: boards that run in a separate process, and appear and vanish with events like udev's.

The process (``firmware/ports/host``) runs the firmware's core behind one pseudo-terminal per board.  It takes commands
from its standard input and ends when that closes, so it never outlives the worker.  ``docs/virtual-boards.md``
describes commands and events.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import Factory, define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.errors import InvalidArgument
from icefarm.system.command import how_it_ended
from icefarm.text.outside_json import parse_json
from icefarm.usb.usb_events import DriveAdded, DriveRemoved, TtyAdded, TtyRemoved, UsbEvent
from icefarm.virtual.images import BoardsFailed, program
from icefarm.virtual.models import MODELS

__all__ = ["VirtualBus", "VirtualBusOptions"]

#: Seconds to start; thousands of boards take less than one.
START_LIMIT = 20.0
COMMAND_LIMIT = 10.0
#: Seconds after its input has closed; then the process is killed.
STOP_LIMIT = 5.0


@frozen
class VirtualBusOptions:
    """The settings of the virtual boards.

    ``seed`` determines their serials: give each worker its own, such as its name.  ``speed`` is ``real``, ``instant``
    or a factor.  ``model`` is what the FPGA does with a bitstream: one of `MODELS`, or the path of a shared object that
    does it instead; ``offset_ppm``, ``drift_ppm_per_day`` and ``ppm_per_kelvin`` make boards differ, ``noise_ppm``
    makes measurements vary.
    """

    boards: int = 1
    #: How many of them are plugged in at the start; None: all.
    plugged: int | None = None
    seed: str = "icefarm"
    speed: str = "real"
    buffers: int = 2
    blank: bool = False
    model: str | Path = MODELS[0]
    offset_ppm: float = 0.0
    noise_ppm: float = 0.0
    drift_ppm_per_day: float = 0.0
    ppm_per_kelvin: float = 0.0

    def arguments(self, directory: str) -> list[str]:
        """Return the command line for the program; drives appear in ``directory``."""
        given = {
            "--boards": self.boards,
            "--plugged": self.plugged,
            "--seed": self.seed,
            "--speed": self.speed,
            "--buffers": self.buffers,
            "--offset-ppm": self.offset_ppm,
            "--noise": self.noise_ppm,
            "--drift-ppm-per-day": self.drift_ppm_per_day,
            "--ppm-per-kelvin": self.ppm_per_kelvin,
            "--model": self.model,
            "--directory": directory,
        }
        words = [word for name, value in given.items() if value is not None for word in (name, str(value))]
        return [*words, "--blank"] if self.blank else words


def _event(record: Mapping[str, Any]) -> UsbEvent | None:
    match record["event"]:
        case "tty_added":
            return TtyAdded(record["serial"], record["path"], record["interface"], record["usb_path"])
        case "tty_removed":
            return TtyRemoved(record["serial"], record["path"])
        case "drive_added":
            return DriveAdded(record["serial"], record["path"], record["usb_path"])
        case "drive_removed":
            return DriveRemoved(record["serial"], record["path"])
    return None


@define(eq=False)
class VirtualBus:
    """Boards on a virtual bus.  Subscribe before `start`: boards appear while it runs."""

    _reactor: Any
    options: VirtualBusOptions = Factory(VirtualBusOptions)
    _log: Logger = Factory(Logger)
    _subscribers: list[Callable[[UsbEvent], None]] = Factory(list)
    #: Present ports and drives by path, so that all can be removed at once.
    _present: dict[str, TtyAdded | DriveAdded] = Factory(dict)
    _answers: deque[Deferred[None]] = Factory(deque)
    _endings: list[Deferred[str]] = Factory(list)
    _process: _BoardsProcess | None = None
    _ready: Deferred[None] | None = None
    #: Serials of boards that are not plugged in, in their order.
    spare: list[str] = Factory(list)
    _directory: str = ""
    _last_words: deque[str] = field(factory=lambda: deque(maxlen=5))

    def subscribe(self, callback: Callable[[UsbEvent], None]) -> None:
        """Call ``callback`` with every event from now on."""
        self._subscribers.append(callback)

    def when_ended(self) -> Deferred[str]:
        """Return a Deferred that fires with the reason once the process has ended, after all boards were removed."""
        ended: Deferred[str] = Deferred()
        self._endings.append(ended)
        return ended

    @property
    def pid(self) -> int | None:
        """The process that runs the boards, while it does."""
        return None if self._process is None else self._process.transport.pid

    async def start(self) -> None:
        """Plug all boards in.  Raises MissingBoards, or BoardsFailed with the program's message."""
        executable = str(program())
        self._directory = tempfile.mkdtemp(prefix="icefarm-drives-")
        self._ready = Deferred()
        self._process = _BoardsProcess(self)
        arguments = [executable, *self.options.arguments(self._directory)]
        self._reactor.spawnProcess(self._process, executable, arguments, env=None)
        self._ready.addTimeout(START_LIMIT, self._reactor)
        try:
            await self._ready
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Unplug all boards and end the process.  Does nothing if it has ended."""
        if self._process is None:
            return
        process, ended = self._process, self.when_ended()
        process.transport.closeStdin()
        killing = self._reactor.callLater(STOP_LIMIT, process.kill)
        try:
            await ended
        finally:
            if killing.active():
                killing.cancel()

    async def fault(self, serial: str, name: str, on: bool = True, value: float | None = None) -> None:
        """Switch a fault of a board on or off.

        ``silent`` (reads, never answers), ``garbled`` (a wrong bit in every ``value``-th write to the host), ``slow``
        (``value`` times as slow as real hardware, but for windows), ``cdone`` (loading fails), ``stuck`` (windows never
        end), ``fails_to_boot`` (no application starts).

        Raises InvalidArgument, or BoardsFailed if the process has ended.
        """
        number = "" if value is None or not on else f"{value:g}"
        await self.command("fault", serial, name, "on" if on else "off", number)

    async def unplug(self, serial: str, after: int | None = None) -> None:
        """Unplug a board, now or once it has received ``after`` more bytes.  Raises like `fault`."""
        await self.command("unplug", serial, "" if after is None else str(after))
        if after is None and serial not in self.spare:
            self.spare.append(serial)

    async def plug(self, serial: str) -> None:
        """Plug a board in again.  Raises like `fault`."""
        await self.command("plug", serial)
        if serial in self.spare:
            self.spare.remove(serial)

    async def command(self, *words: str) -> None:
        """Give a command of ``docs/virtual-boards.md`` and wait until it is carried out.  Raises like `fault`."""
        if any(len(word.split()) > 1 for word in words):
            raise InvalidArgument("serials and names of faults contain no spaces")
        if self._process is None:
            raise BoardsFailed("the virtual boards are not running")
        # Answers come in the order of commands: a cancelled command keeps its place.
        answer: Deferred[None] = Deferred()
        self._answers.append(answer)
        self._process.transport.write(" ".join(words).encode() + b"\n")
        await answer.addTimeout(COMMAND_LIMIT, self._reactor)

    def _take_line(self, line: bytes) -> None:
        record = parse_json(line)
        match record["event"]:
            case "spare":
                self.spare.append(record["serial"])
            case "ready":
                self._settle_ready(None)
            case "done":
                self._answers.popleft().callback(None)
            case "refused":
                self._answers.popleft().errback(InvalidArgument(record["why"]))
            case _:
                event = _event(record)
                if event is not None:
                    self._tell(event)

    def _tell(self, event: UsbEvent) -> None:
        if isinstance(event, TtyAdded | DriveAdded):
            self._present[event.path] = event
        else:
            self._present.pop(event.path, None)
        for callback in self._subscribers:
            callback(event)

    def _take_stderr(self, text: str) -> None:
        for line in text.splitlines():
            self._last_words.append(line)
            self._log.warn("virtual boards: {line}", line=line)

    def _settle_ready(self, outcome: BoardsFailed | None) -> None:
        ready, self._ready = self._ready, None
        if ready is not None and not ready.called:
            ready.callback(None) if outcome is None else ready.errback(outcome)

    def _ended(self, reason: Failure) -> None:
        why = f"their process {how_it_ended(reason)}"
        if reason.check(ProcessDone) is None:
            self._log.warn("the virtual boards ended: {why}", why=why)
        self._process = None
        shutil.rmtree(self._directory, ignore_errors=True)
        for event in list(self._present.values()):
            drive = isinstance(event, DriveAdded)
            self._tell(DriveRemoved(event.serial, event.path) if drive else TtyRemoved(event.serial, event.path))
        failed = BoardsFailed("\n".join(self._last_words) or why)
        self._settle_ready(failed)
        while self._answers:
            self._answers.popleft().errback(failed)
        endings, self._endings = self._endings, []
        for ended in endings:
            ended.callback(why)


class _BoardsProcess(ProcessProtocol):
    """Connects the bus and its process: lines in, lines out."""

    transport: Any

    def __init__(self, bus: VirtualBus) -> None:
        self._bus = bus
        self._rest = b""

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._bus._take_line(line)

    def errReceived(self, data: bytes) -> None:
        self._bus._take_stderr(data.decode(errors="replace"))

    def processEnded(self, reason: Failure) -> None:
        self._bus._ended(reason)

    def kill(self) -> None:
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            return
