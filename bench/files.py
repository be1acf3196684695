"""The circuits as files, as a user's script has them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from attrs import frozen

from bench.circuits import Mix, circuit, forms
from icefarm.bitstream import compress

__all__ = ["COUNT", "CircuitFiles", "write_circuits"]

#: So many that those of the mix are more than client and worker remember (`CACHED_FILES` in
#: `icefarm.client.evaluation.payload`, `ASSUMED_CACHE_BYTES` in `icefarm.client.evaluation.sent`,
#: `KEPT_BYTES` in `icefarm.kinds.circuit`): taking them in turn means reading, checking, compressing and sending each
#: of them every time, as with circuits that were never seen before.  Sparse ones alone would have to be about six times
#: as many.
COUNT = 5000


@frozen
class CircuitFiles:
    """Different circuits, as .bin files."""

    mix: Mix
    paths: Sequence[Path]
    #: Mean bytes of the payload that is sent.
    payload: float

    @property
    def description(self) -> str:
        return (
            f"{len(self.paths)} different generated .bin files of 104,090 bytes ({self.mix.value}), "
            f"{self.payload / 1000:.1f} kB each as sent"
        )


def write_circuits(directory: Path, mix: Mix, count: int = COUNT) -> CircuitFiles:
    """Generate circuits and write them into a directory."""
    directory.mkdir(exist_ok=True)
    paths, sent = [], 0
    for number, form in enumerate(islice(forms(mix), count)):
        bitstream = circuit(number, form)
        sent += min(len(compress(bitstream.data)), len(bitstream.data))
        path = directory / f"{number:04}-{form.value}.bin"
        path.write_bytes(bitstream.data)
        paths.append(path)
    return CircuitFiles(mix, paths, sent / count)
