"""What a virtual board must measure, computed without a farm: the firmware's own model, loaded into this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import Factory, define

from bench.circuits import Form, circuit
from bench.virtual_model import ModelOptions, VirtualModel, model_library
from icefarm.bitstream import Bitstream, made_up_bitstream

__all__ = ["OFFSET_PPM", "Oracle", "write_circuits"]

#: Boards differ by so much, that a result of another board's is seen.
OFFSET_PPM = 20_000.0


def write_circuits(directory: Path, count: int) -> list[Bitstream]:
    """Write so many different circuits into a directory as NUMBER.bin, and return them.

    Every third one is dense and a relative of the others of these, so they travel as differences, also to the boards.
    """
    directory.mkdir(parents=True, exist_ok=True)
    circuits = [_circuit(number) for number in range(count)]
    for number, each in enumerate(circuits):
        (directory / f"{number}.bin").write_bytes(each.data)
    return circuits


def _circuit(number: int) -> Bitstream:
    return circuit(number, Form.RELATED) if number % 3 == 0 else made_up_bitstream(number, sparseness=10)


@define(eq=False)
class Oracle:
    """Knows what each of its circuits gives on each board."""

    _circuits: Sequence[Bitstream]
    _model: VirtualModel
    _known: dict[tuple[int, str, int], int] = Factory(dict)

    @classmethod
    def of(cls, circuits: Sequence[Bitstream], directory: Path) -> Oracle:
        """Compile the model in a directory.  Boards must differ by `OFFSET_PPM` and have the landscape."""
        return cls(circuits, VirtualModel.of(ModelOptions(offset_ppm=OFFSET_PPM), model_library(directory)))

    def pulses(self, circuit: int, serial: str, window_us: int) -> int:
        """Return the pulses of a circuit (by its number) on a board in a window."""
        key = (circuit, serial, window_us)
        if key not in self._known:
            hertz = self._model.frequency(self._circuits[circuit].data)
            self._known[key] = self._model.pulses(hertz, serial, window_us)
        return self._known[key]
