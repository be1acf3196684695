"""Device kinds: what makes a class one, what of a client's arguments is refused, and what pulsecount answers."""

from __future__ import annotations

import hashlib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from twisted.logger import Logger

from icefarm.bitstream import (
    LENGTH,
    LENGTH_WITHOUT_BRAM,
    check,
    compress,
    decompress,
    for_loading,
    from_file,
    made_up_bitstream,
)
from icefarm.errors import InvalidArgument, InvalidBitstream, UnknownBitstream, UnknownKind
from icefarm.kinds import Kinds, Packed, register, reservable
from icefarm.kinds.circuit import Admission, Circuit
from icefarm.kinds.pulsecount import PulseCount
from icefarm.kinds.registry import load_kinds

OTHER = made_up_bitstream(7)
CIRCUIT = from_file(Path(__file__).parents[2] / "examples" / "circuits" / "square_2khz.bin")
#: A circuit that uses block RAM.
WITH_RAM = from_file(Path(__file__).parents[2] / "examples" / "circuits" / "bursts.bin")
PACKED = Packed(CIRCUIT.sha256, compress(CIRCUIT.data), LENGTH)


@reservable("third", firmware="theirs")
class Third:
    """Does what a kind of somebody else's does."""

    @frozen
    class Options:
        pass

    def __init__(self, device: Any, options: Any) -> None:
        pass

    @register("poke")
    async def poke(self, how: str) -> str:
        return how


def loaded(*values: str) -> tuple[Kinds, list[Any]]:
    """Load kinds from entry points; returns them, and what was logged."""
    logged: list[Any] = []
    log = Logger(observer=logged.append)
    entries = [EntryPoint(value.rpartition(":")[2].lower(), value, "icefarm.kinds") for value in values]
    return load_kinds([PulseCount], log, entries), logged


def test_a_kind_has_a_version_of_its_own_or_that_of_its_package() -> None:
    class Package:
        version = "3.2"

    def loaded_as(version: str) -> str:
        class Fourth(PulseCount):
            """Counts as well."""

        class Entry:
            name, value, dist = "fourth", "fourth:Fourth", Package()

            def load(self) -> type:
                return reservable("fourth", firmware="pulse_count", version=version)(Fourth)

        return load_kinds([PulseCount], Logger(), [Entry()]).get("fourth").version  # type: ignore[list-item]

    assert loaded_as("") == "3.2"
    assert loaded_as("1.1") == "1.1"
    assert load_kinds([PulseCount], Logger(), []).get("pulsecount").version == "1.1"


def test_the_kinds_that_are_installed_are_offered() -> None:
    kinds = load_kinds([PulseCount], Logger())
    assert kinds.get("pulsecount").firmware == "pulse_count"


def test_a_kind_of_another_package_is_offered_beside_our_own() -> None:
    kinds, logged = loaded(f"{__name__}:Third")
    assert set(kinds.by_name) == {"pulsecount", "third"}
    assert logged == []


@pytest.mark.parametrize("value", ["no.such.package:Kind", f"{__name__}:CIRCUIT", "icefarm.kinds.pulsecount:nothing"])
def test_a_kind_that_cannot_be_loaded_is_left_out(value: str) -> None:
    kinds, logged = loaded(value)
    assert set(kinds.by_name) == {"pulsecount"}
    assert len(logged) == 1


def test_a_built_in_kind_cannot_be_replaced() -> None:
    other = type("Other", (Third,), {"__doc__": "Is not it."})
    globals()["Other"] = reservable("pulsecount", firmware="theirs")(other)
    kinds, logged = loaded(f"{__name__}:Other")
    assert kinds.get("pulsecount").firmware == "pulse_count"
    assert len(logged) == 1


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnknownKind, match="pulsecount"):
        Kinds.of(PulseCount).get("juggling")


def test_a_class_without_options_is_no_kind() -> None:
    with pytest.raises(TypeError, match="Options"):
        reservable("x", firmware="y")(type("X", (), {"__doc__": "Is none."}))


def declared(**members: Any) -> type:
    """Make a class a kind that has these members beside what each kind has."""
    common = {"__doc__": "Measures.", "Options": Third.Options}
    return reservable("declared", firmware="theirs")(type("Declared", (), {**common, **members}))


def nothing(*_: object) -> None:
    """Stand for a method."""


def test_a_class_that_declares_what_it_measures_can_be_evaluated() -> None:
    kind = Kinds.of(declared(parameters=nothing, decode=nothing)).get("declared")
    assert set(kind.methods) == {"evaluate"}
    arguments = {"evaluation_id": "a", "bitstream": b"", "options": {}}
    assert set(kind.method("evaluate").bind((), arguments)) == set(arguments)
    with pytest.raises(InvalidArgument, match="options: there is no 'x'"):
        kind.method("evaluate").bind((), {**arguments, "options": {"x": 1}})


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "needs methods 'parameters' and 'decode', or a coroutine method marked with @register"),
        ({"parameters": nothing}, "needs a method 'decode' as well"),
        ({"decode": nothing}, "needs a method 'parameters' as well"),
        ({"parameters": nothing, "decode": nothing, "EvaluationOptions": dict}, "must be an attrs class"),
        ({"parameters": nothing, "decode": nothing, "EvaluationOptions": Packed}, "needs a default"),
    ],
)
def test_a_class_that_declares_by_halves_is_no_kind(members: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        declared(**members)


@pytest.mark.parametrize(
    "options",
    [
        {"window": 0},
        {"window": 61},
        {"window": "1"},
        {"window": True},
        {"window": float("nan")},
        {"overlap": 1},
        {"windows": 1.0},
        {"window": None},
        {"window": [1.0]},
        {"clock_mhz": 0},
        {"clock_mhz": 16},
        {"clock_mhz": True},
        {"clock_mhz": 48.0},
        {"clock_mhz": "48"},
        {"clock_mhz": None},
    ],
)
def test_options_that_a_kind_does_not_take_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        Kinds.of(PulseCount).get("pulsecount").check_options(options)


def test_options_have_defaults() -> None:
    assert Kinds.of(PulseCount).get("pulsecount").check_options({}) == PulseCount.Options(1.0, True, 48)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"evaluation_id": "a"},
        {"evaluation_id": 1, "bitstream": b""},
        {"evaluation_id": "a", "bitstream": "text"},
        {"evaluation_id": "a", "bitstream": {"lz4": b"", "length": 1}},
        {"evaluation_id": "a", "bitstream": b"", "options": {"repeats": 0}},
        {"evaluation_id": "a", "bitstream": b"", "options": {"repeats": 1.0}},
        {"evaluation_id": "a", "bitstream": b"", "options": []},
        {"evaluation_id": "a", "bitstream": b"", "attempt": "1"},
        {"evaluation_id": "a", "bitstream": b"", "self": 1},
    ],
)
def test_arguments_that_evaluate_does_not_take_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        Kinds.of(PulseCount).get("pulsecount").method("evaluate").bind((), arguments)


def test_a_method_that_is_not_registered_cannot_be_called() -> None:
    with pytest.raises(InvalidArgument, match="no method '__init__'"):
        Kinds.of(PulseCount).get("pulsecount").method("__init__")


# -------------------------------------------------------------------------------------------- bitstreams


def test_what_a_client_packed_goes_to_the_board_as_it_is_where_nothing_can_be_left_out() -> None:
    packed = Packed(WITH_RAM.sha256, compress(WITH_RAM.data), LENGTH)
    circuit = Admission().admit(packed)
    assert (circuit.payload, circuit.compressed, circuit.sha256) == (packed.lz4, True, WITH_RAM.sha256)


def loaded_plain(circuit: Circuit) -> bytes:
    return decompress(circuit.payload, circuit.length) if circuit.compressed else circuit.payload


@pytest.mark.parametrize("bitstream", [PACKED, CIRCUIT.data, Packed(CIRCUIT.sha256, plain=CIRCUIT.data)])
def test_a_circuit_without_block_ram_is_loaded_without_content_for_it(bitstream: Packed | bytes) -> None:
    circuit = Admission().admit(bitstream)
    assert (circuit.length, circuit.sha256) == (LENGTH_WITHOUT_BRAM, CIRCUIT.sha256)
    check(loaded_plain(circuit))


def test_a_circuit_that_came_without_content_for_block_ram_is_loaded_as_it_came() -> None:
    short = for_loading(CIRCUIT.data)
    packed = Packed(hashlib.sha256(short).hexdigest(), compress(short), LENGTH_WITHOUT_BRAM)
    admission = Admission()
    assert loaded_plain(admission.admit(packed)) == short
    assert admission.admit(Packed(packed.sha256)).sha256 == packed.sha256 != CIRCUIT.sha256


def test_a_client_that_sends_a_known_bitstream_again_is_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    admission = Admission()
    first = admission.admit(PACKED)
    monkeypatch.setattr("icefarm.kinds.circuit.normal_form", lambda _: pytest.fail("checked again"))
    assert admission.admit(PACKED) is first


def test_a_plain_bitstream_is_packed_where_that_is_shorter() -> None:
    circuit = Admission().admit(CIRCUIT.data)
    assert circuit.compressed
    assert len(circuit.payload) < len(CIRCUIT.data)


def test_the_digest_is_of_the_normal_form() -> None:
    commented = b"\xff\x00comment\x00\x00\xff" + CIRCUIT.data[CIRCUIT.data.index(b"\x7e\xaa\x99\x7e") :]
    assert Admission().admit(commented).sha256 == CIRCUIT.sha256


def _of(data: bytes) -> Packed:
    return Packed(hashlib.sha256(data).hexdigest(), compress(data), LENGTH)


def _flipped(data: bytes) -> bytes:
    return data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]


@pytest.mark.parametrize(
    "bitstream",
    [
        b"",
        b"no bitstream",
        CIRCUIT.data[:-1],
        CIRCUIT.data + b"\0",
        _flipped(CIRCUIT.data),
        Packed(CIRCUIT.sha256, b"", LENGTH),
        Packed(CIRCUIT.sha256, b"garbage", LENGTH),
        Packed(CIRCUIT.sha256, PACKED.lz4, LENGTH - 1),
        Packed(CIRCUIT.sha256, PACKED.lz4, 1 << 40),
        Packed(CIRCUIT.sha256, PACKED.lz4),
        Packed("00" * 32, PACKED.lz4, LENGTH),
        Packed("", PACKED.lz4, LENGTH),
        Packed("00" * 32, plain=CIRCUIT.data),
        Packed(CIRCUIT.sha256, plain=b"no bitstream"),
        _of(_flipped(CIRCUIT.data)),
        _of(b"\0" * LENGTH),
    ],
)
def test_what_is_no_bitstream_never_reaches_a_board(bitstream: bytes | Packed) -> None:
    with pytest.raises(InvalidBitstream):
        Admission().admit(bitstream)


def test_a_known_bitstream_under_a_wrong_digest_is_still_refused() -> None:
    admission = Admission()
    admission.admit(PACKED)
    with pytest.raises(InvalidBitstream, match="SHA-256"):
        admission.admit(Packed("00" * 32, PACKED.lz4, LENGTH))


def test_another_content_under_a_known_digest_is_still_refused() -> None:
    admission = Admission()
    admission.admit(PACKED)
    with pytest.raises(InvalidBitstream, match="SHA-256"):
        admission.admit(Packed(CIRCUIT.sha256, compress(OTHER.data), LENGTH))
    assert admission.admit(Packed(CIRCUIT.sha256)) == Admission().admit(PACKED)


def test_a_bitstream_that_was_sent_before_is_known_by_its_digest() -> None:
    admission = Admission()
    whole = admission.admit(PACKED)
    assert admission.admit(Packed(CIRCUIT.sha256)) == whole
    assert admission.admit(Packed(CIRCUIT.sha256.upper())) == whole


def test_a_digest_that_is_not_known_is_an_error_of_its_own() -> None:
    with pytest.raises(UnknownBitstream):
        Admission().admit(Packed(CIRCUIT.sha256))


def test_what_was_refused_is_not_known_afterwards() -> None:
    admission, bad = Admission(), _of(_flipped(CIRCUIT.data))
    with pytest.raises(InvalidBitstream):
        admission.admit(bad)
    with pytest.raises(UnknownBitstream):
        admission.admit(Packed(bad.sha256))


def test_those_used_longest_ago_are_forgotten_when_there_is_no_room() -> None:
    circuits = [made_up_bitstream(number) for number in range(4)]
    room = sum(len(compress(circuit.data)) for circuit in circuits[:3])
    admission = Admission(room=room + 100)
    for circuit in circuits[:3]:
        admission.admit(_of(circuit.data))
    admission.admit(Packed(circuits[0].sha256))
    admission.admit(_of(circuits[3].data))
    with pytest.raises(UnknownBitstream):
        admission.admit(Packed(circuits[1].sha256))
    assert admission.admit(Packed(circuits[0].sha256)).sha256 == circuits[0].sha256


def test_a_dense_bitstream_goes_to_the_board_as_it_is() -> None:
    dense = made_up_bitstream(1, sparseness=1)
    circuit = Admission().admit(Packed(dense.sha256, plain=dense.data))
    assert (circuit.payload, circuit.compressed) == (dense.data, False)
