"""The virtual boards' own model of the FPGA (firmware/ports/host/fpga_model.c), loaded into this process."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Any

from attrs import define, frozen

__all__ = ["MODEL_PIN", "REFERENCE_C", "ModelOptions", "VirtualModel", "model_library"]

_FIRMWARE = Path(__file__).resolve().parents[1] / "firmware"
_SOURCES = ("ports/host/fpga_model.c", "ports/host/fpga_landscape.c")
#: The pin of the FPGA that is counted, and the temperature at which a board has its offset: those of fpga_model.h.
MODEL_PIN = 27
REFERENCE_C = 25.0
#: The clock at pin 35, which the model ignores.
_CLOCK_MHZ = 48


class _Options(ctypes.Structure):
    """``struct model_options`` of fpga_model.h."""

    _fields_ = (
        ("plugin", ctypes.c_char_p),
        ("simulated", ctypes.c_bool),
        ("landscape", ctypes.c_bool),
        ("offset_ppm", ctypes.c_double),
        ("noise_ppm", ctypes.c_double),
        ("drift_ppm_per_day", ctypes.c_double),
        ("ppm_per_kelvin", ctypes.c_double),
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
        ("days", ctypes.c_double),
        ("temperature_c", ctypes.c_double),
    )


@frozen
class ModelOptions:
    """By how much virtual boards differ at most, and vary: the options of ``icefarm-boards``."""

    offset_ppm: float = 0.0
    noise_ppm: float = 0.0
    drift_ppm_per_day: float = 0.0
    ppm_per_kelvin: float = 0.0


def model_library(directory: Path) -> Any:
    """Compile the model into a directory, and load it."""
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
    library.model_pace.restype = ctypes.c_double
    library.model_pace.argtypes = (ctypes.c_void_p, ctypes.POINTER(_Window))
    library.model_temperature.restype = ctypes.c_double
    library.model_temperature.argtypes = (ctypes.c_char_p, ctypes.c_double)
    return library


@define(eq=False)
class VirtualModel:
    """Boards with these options.  ``days`` are since they started."""

    _library: Any
    _handle: Any

    @classmethod
    def of(cls, options: ModelOptions, library: Any) -> VirtualModel:
        """Open the model, with the landscape."""
        given = _Options(
            None,
            False,
            True,
            options.offset_ppm,
            options.noise_ppm,
            options.drift_ppm_per_day,
            options.ppm_per_kelvin,
        )
        return cls(library, library.model_open(given))

    def temperature(self, serial: str, days: float) -> float:
        """Return a board's temperature, degrees Celsius."""
        return float(self._library.model_temperature(serial.encode(), days))

    def frequency(self, bitstream: bytes) -> float:
        """Return the frequency that the landscape has for a bitstream, hertz."""
        return float(self._library.model_frequency(self._handle, bitstream, len(bitstream), MODEL_PIN))

    def pace_ppm(self, serial: str, days: float, temperature_c: float, sequence: int = 1) -> float:
        """Return a board's deviation in its window of this number, noise included."""
        window = _window(serial, 1_000_000, sequence, days, temperature_c)
        return (float(self._library.model_pace(self._handle, window)) - 1) * 1e6

    def pulses(
        self,
        hertz: float,
        serial: str,
        window_us: int,
        sequence: int = 1,
        days: float = 0.0,
        temperature_c: float = REFERENCE_C,
    ) -> int:
        """Return what a board counts of a frequency in its window of this number."""
        window = _window(serial, window_us, sequence, days, temperature_c)
        return int(self._library.model_pulses(self._handle, hertz, window))


def _window(serial: str, window_us: int, sequence: int, days: float, temperature_c: float) -> _Window:
    return _Window(None, 0, serial.encode(), window_us, sequence, _CLOCK_MHZ, MODEL_PIN, days, temperature_c)
