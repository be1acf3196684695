"""What a virtual board must measure, computed without a farm: the firmware's own model, loaded into this process."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import Factory, define

from icefarm.bitstream import Bitstream, made_up_bitstream

__all__ = ["OFFSET_PPM", "Oracle", "write_circuits"]

_FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
_SOURCES = ("ports/host/fpga_model.c", "ports/host/fpga_landscape.c")
#: Boards differ by so much, that a result of another board's is seen.
OFFSET_PPM = 20_000.0
#: The pin of the FPGA that is counted, MODEL_PIN of fpga_model.h, and the clock at pin 35, which the landscape ignores.
PIN = 27
CLOCK_MHZ = 48


class _Options(ctypes.Structure):
    """``struct model_options`` of fpga_model.h."""

    _fields_ = (
        ("plugin", ctypes.c_char_p),
        ("simulated", ctypes.c_bool),
        ("landscape", ctypes.c_bool),
        ("offset_ppm", ctypes.c_double),
        ("noise_ppm", ctypes.c_double),
    )


class _Window(ctypes.Structure):
    """``struct fpga_window`` of fpga_model.h."""

    _fields_ = (
        ("bitstream", ctypes.c_char_p),
        ("length", ctypes.c_size_t),
        ("serial", ctypes.c_char_p),
        ("window_us", ctypes.c_uint32),
        ("sequence", ctypes.c_uint32),
        ("clock_mhz", ctypes.c_uint32),
        ("pin", ctypes.c_uint32),
    )


def write_circuits(directory: Path, count: int) -> list[Bitstream]:
    """Write so many different circuits into a directory as NUMBER.bin, and return them."""
    directory.mkdir(parents=True, exist_ok=True)
    circuits = [made_up_bitstream(number, sparseness=10) for number in range(count)]
    for number, circuit in enumerate(circuits):
        (directory / f"{number}.bin").write_bytes(circuit.data)
    return circuits


def _model(directory: Path) -> Any:
    target = directory / "model.so"
    includes = [f"-I{_FIRMWARE / part}" for part in ("core", "ports/host")]
    sources = [str(_FIRMWARE / source) for source in _SOURCES]
    command = ["cc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-shared", "-fPIC", *includes, "-o", str(target), *sources]
    subprocess.run([*command, "-lm", "-ldl"], check=True)
    library = ctypes.CDLL(str(target))
    library.model_open.restype = ctypes.c_void_p
    library.model_open.argtypes = (ctypes.POINTER(_Options),)
    library.model_frequency.restype = ctypes.c_double
    library.model_frequency.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint32)
    library.model_pulses.restype = ctypes.c_uint32
    library.model_pulses.argtypes = (ctypes.c_void_p, ctypes.c_double, ctypes.POINTER(_Window))
    return library


@define(eq=False)
class Oracle:
    """Knows what each of its circuits gives on each board."""

    _circuits: Sequence[Bitstream]
    _library: Any
    _handle: Any
    _known: dict[tuple[int, str, int], int] = Factory(dict)

    @classmethod
    def of(cls, circuits: Sequence[Bitstream], directory: Path) -> Oracle:
        """Compile the model in a directory.  Boards must differ by `OFFSET_PPM` and have the landscape."""
        library = _model(directory)
        return cls(circuits, library, library.model_open(_Options(None, False, True, OFFSET_PPM, 0.0)))

    def pulses(self, circuit: int, serial: str, window_us: int) -> int:
        """Return the pulses of a circuit (by its number) on a board in a window."""
        key = (circuit, serial, window_us)
        if key not in self._known:
            data = self._circuits[circuit].data
            hertz = self._library.model_frequency(self._handle, data, len(data), PIN)
            window = _Window(data, len(data), serial.encode(), window_us, 1, CLOCK_MHZ, PIN)
            self._known[key] = self._library.model_pulses(self._handle, hertz, window)
        return self._known[key]
