"""Pure: no I/O, no clock.  The bitstreams that are evaluated: many different ones, like those of experiments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cache
from random import Random

from icefarm.bitstream import Bitstream
from icefarm.bitstream.image import body
from icefarm.bitstream.up5k import BOOT_SETTINGS, BRAM_HEIGHT, BRAM_WIDTHS, CRAM_HEIGHTS, CRAM_WIDTH, EMPTY_COMMENT

__all__ = ["SHARES", "Form", "Mix", "circuit", "forms"]


class Form(StrEnum):
    """What a configuration looks like; LZ4 makes about 2.3 kB and 11 kB of the first two."""

    #: One bit in 2048 is set, as in a design of some dozen cells that a synthesis tool made.
    SPARSE = "sparse"
    #: Sparse, but a tenth of each quadrant is random, one bit in four set: an evolved circuit beside its fixed logic.
    EVOLVED = "evolved"
    #: One bit in four is set everywhere, block RAM included: compression gains nothing, and it is sent as it is.
    DENSE = "dense"
    #: Dense, and like one circuit but for a few bits, as the children of one parent are.
    RELATED = "related"


class Mix(StrEnum):
    """Which forms a benchmark takes."""

    MIXED = "mixed"
    SPARSE = "sparse"
    EVOLVED = "evolved"
    DENSE = "dense"
    RELATED = "related"


#: Of twenty circuits of a mix, how many have each form.
SHARES = {Form.SPARSE: 9, Form.EVOLVED: 9, Form.DENSE: 2}

#: In sparse places one configuration bit in so many is set.
_SPARSENESS = 2048
#: Part of the configuration that is random in an evolved circuit.
_REGION = 0.1
#: Bits in which a related circuit differs from the first dense one.
_MUTATIONS = 20


def forms(mix: Mix) -> Iterator[Form]:
    """Yield the form of one circuit after the other, endlessly, evenly spread."""
    shares = SHARES if mix is Mix.MIXED else {Form(mix.value): 1}
    order = _spread(shares)
    while True:
        yield from order


def _spread(shares: dict[Form, int]) -> Sequence[Form]:
    places = [((turn + 0.5) / count, form) for form, count in shares.items() for turn in range(count)]
    return [form for _, form in sorted(places)]


def circuit(seed: int, form: Form) -> Bitstream:
    """Return circuit number ``seed`` of a form: the same on every machine, another one for another seed."""
    random = Random(f"{form.value} {seed}")
    if form is Form.RELATED:
        cram, bram = _dense_parent()
        return Bitstream(
            EMPTY_COMMENT + body(BOOT_SETTINGS["enabled"], _mutated(random, cram), bram), f"related-{seed}"
        )
    cram = [_bank(random, CRAM_WIDTH * height // 8, form) for height in CRAM_HEIGHTS]
    lengths = [width * BRAM_HEIGHT // 8 for width in BRAM_WIDTHS]
    bram = [_quarter(random, length) if form is Form.DENSE else bytes(length) for length in lengths]
    return Bitstream(EMPTY_COMMENT + body(BOOT_SETTINGS["enabled"], cram, bram), f"{form.value}-{seed}")


@cache
def _dense_parent() -> tuple[list[bytes], list[bytes]]:
    """Return the banks of the parent of related circuits."""
    random = Random("parent")
    lengths = [CRAM_WIDTH * height // 8 for height in CRAM_HEIGHTS], [width * BRAM_HEIGHT // 8 for width in BRAM_WIDTHS]
    cram, bram = ([_quarter(random, length) for length in each] for each in lengths)
    return cram, bram


def _mutated(random: Random, banks: Sequence[bytes]) -> list[bytes]:
    changed = [bytearray(bank) for bank in banks]
    for _ in range(_MUTATIONS):
        bank = random.choice(changed)
        bank[random.randrange(len(bank))] ^= 1 << random.randrange(8)
    return [bytes(bank) for bank in changed]


def _bank(random: Random, length: int, form: Form) -> bytes:
    if form is Form.DENSE:
        return _quarter(random, length)
    content = bytearray(length)
    for _ in range(length * 8 // _SPARSENESS):
        content[random.randrange(length)] |= 1 << random.randrange(8)
    if form is Form.EVOLVED:
        region = int(length * _REGION)
        start = random.randrange(length - region)
        content[start : start + region] = _quarter(random, region)
    return bytes(content)


def _quarter(random: Random, length: int) -> bytes:
    """Return bytes in which one bit in four is set."""
    both = random.getrandbits(8 * length) & random.getrandbits(8 * length)
    return both.to_bytes(length)
