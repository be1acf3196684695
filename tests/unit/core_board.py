"""The firmware's own core as the board at the other end of a worker's port: the C code, called from Python."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import Factory, define, field
from twisted.internet.task import Clock

__all__ = ["CoreBoard", "made_by_core"]

_FIRMWARE = Path(__file__).parents[2] / "firmware"
_BUILT = _FIRMWARE.parent / "build" / "tests"
_COMPILER = os.environ.get("CC", "cc")
#: The most that the bench keeps of what a board sends (``BENCH_SENT``).
_SENT = 1 << 18
#: Room for a ``struct difference_decoder``.
_DECODER = 256


@cache
def _library() -> Any:
    """Load the core, compiled; skip the test where that is not possible."""
    compiler = shutil.which(_COMPILER)
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = ctypes.CDLL(str(_made(Path(compiler))))
    library.board_new.restype = ctypes.c_void_p
    library.difference_complete.restype = ctypes.c_bool
    for name in ("bench_give", "board_held", "board_sent"):
        getattr(library, name).restype = ctypes.c_size_t
    return library


def _made(compiler: Path) -> Path:
    """Return the compiled core, made anew where a source, the command or the compiler is another than the last time."""
    sources = [*_FIRMWARE.glob("core/*.c"), *_FIRMWARE.glob("apps/*.c"), _FIRMWARE / "tests" / "bench_port.c"]
    command = [
        *(str(compiler), "-std=c11", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC"),
        *(f"-I{_FIRMWARE / each}" for each in ("core", "apps", "tests")),
        *map(str, (*sources, _FIRMWARE / "tests" / "for_python.c")),
    ]
    key = sha256(f"{command} {compiler.stat().st_mtime_ns}".encode())
    for path in sorted(each for folder in ("core", "apps", "tests") for each in (_FIRMWARE / folder).glob("*.[ch]")):
        key.update(f"{path.name} {path.stat().st_size} ".encode() + path.read_bytes())
    made = _BUILT / f"core-{key.hexdigest()[:16]}.so"
    if not made.exists():
        _BUILT.mkdir(parents=True, exist_ok=True)
        for old in _BUILT.glob("core-*.so"):
            old.unlink(missing_ok=True)
        # Another process may make the same.
        with TemporaryDirectory(dir=_BUILT) as directory:
            subprocess.run([*command, "-o", f"{directory}/core.so"], check=True)
            Path(directory, "core.so").replace(made)
    return made


def made_by_core(runs: bytes, base: bytes) -> bytes | None:
    """Return what the firmware makes of a base and a difference from it; None if it refuses that."""
    library, decoder, out = _library(), ctypes.create_string_buffer(_DECODER), ctypes.create_string_buffer(base)
    library.difference_begin(decoder, out, ctypes.c_size_t(len(base)))
    library.difference_feed(decoder, runs, ctypes.c_size_t(len(runs)))
    return out.raw[: len(base)] if library.difference_complete(decoder) else None


@define(eq=False)
class CoreBoard:
    """A board, and the transport that its worker's end gets; what it sends arrives a moment later."""

    clock: Clock
    buffers: int
    #: Whether a bit of the next request, or of the last frame of the next replies, is wrong when it arrives.
    spoil_request: bool = False
    spoil_reply: bool = False
    #: Bytes of all requests.
    written: int = 0
    _client: Any = None
    #: What it has not yet read.
    _waiting: bytearray = Factory(bytearray)
    _library: Any = Factory(_library)
    _board: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._board = ctypes.c_void_p(self._library.board_new(self.buffers))

    def free(self) -> None:
        """Give its memory back."""
        self._library.board_free(self._board)

    def connect(self, client: Any) -> None:
        """Open its port; whoever had it open hears nothing more."""
        self._library.board_hang_up(self._board)
        self._waiting.clear()
        self._client = client
        client.makeConnection(self)

    def write(self, data: bytes) -> None:
        """For the worker's end."""
        self.written += len(data)
        self._waiting += data
        if self.spoil_request:
            self._waiting[-1] ^= 1
            self.spoil_request = False
        self._go_on()

    def loseConnection(self) -> None:
        """For the worker's end."""
        self._client = None

    def end_one(self, *, well: bool = True) -> None:
        """End the evaluation in progress: with the CRC-32 of its bitstream as its count, or with FAILED."""
        self._library.board_end_one(self._board, well)
        self._go_on()

    def held(self) -> set[int]:
        """Return the ids of the EVALUATEs whose bitstreams it holds."""
        ids = (ctypes.c_uint32 * self.buffers)()
        return set(ids[: self._library.board_held(self._board, ids)])

    def _go_on(self) -> None:
        read = self._library.bench_give(self._board, bytes(self._waiting), ctypes.c_size_t(len(self._waiting)))
        del self._waiting[:read]
        buffer = ctypes.create_string_buffer(_SENT)
        amount = self._library.board_sent(self._board, buffer)
        sent = bytearray(buffer.raw[:amount])
        if sent and self.spoil_reply:
            sent[-1] ^= 1
            self.spoil_reply = False
        if sent:
            self.clock.callLater(0, self._deliver, self._client, bytes(sent))

    def _deliver(self, client: Any, data: bytes) -> None:
        if client is self._client and client is not None:
            client.dataReceived(data)
