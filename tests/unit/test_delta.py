"""Bitstreams as differences from others: what travels, what the worker makes of it, and when a client sends one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from random import Random
from types import MappingProxyType
from typing import Any

import pytest
from frame_vectors import unhex, vectors
from hypothesis import given, settings
from hypothesis import strategies as st
from test_client_session import World, await_now
from test_worker_service import OTHER, Farm, run

from bench.circuits import Form, circuit
from icefarm.bitstream import LENGTH, compress, from_bytes, made_up_bitstream
from icefarm.bitstream.image import body
from icefarm.bitstream.transfer import difference, restored
from icefarm.bitstream.up5k import (
    BOOT_SETTINGS,
    BRAM_HEIGHT,
    BRAM_WIDTHS,
    CRAM_HEIGHTS,
    CRAM_WIDTH,
    EMPTY_COMMENT,
    PREAMBLE,
)
from icefarm.client.evaluation.payload import payload_of
from icefarm.client.evaluation.sent import ATTEMPTS, BASES, FEW, SELDOM, SMALLEST, Bases
from icefarm.contract import BASE_DIGITS, Assignment
from icefarm.errors import IcefarmError, InvalidBitstream, UnknownBitstream
from icefarm.kinds.circuit import BASES as KEPT_BASES
from icefarm.kinds.circuit import Admission, Packed

CRAM = [CRAM_WIDTH * height // 8 for height in CRAM_HEIGHTS]
BRAM = [width * BRAM_HEIGHT // 8 for width in BRAM_WIDTHS]


def family(children: int, bits: int = 20) -> list[bytes]:
    """Return a dense circuit and children of it, each with so many other bits."""
    random = Random(7)
    parent = [random.randbytes(length) for length in (*CRAM, *BRAM)]
    made = [parent]
    for _ in range(children):
        child = [bytearray(bank) for bank in parent]
        for _ in range(bits):
            bank = random.choice(child)
            bank[random.randrange(len(bank))] ^= 1 << random.randrange(8)
        made.append([bytes(bank) for bank in child])
    return [EMPTY_COMMENT + body(BOOT_SETTINGS["enabled"], banks[:4], banks[4:]) for banks in made]


PARENT, CHILD, SIBLING = family(2)


@pytest.mark.parametrize("form", list(Form))
def test_a_circuit_that_differs_in_twenty_bits_travels_in_less_than_1_kB(form: Form) -> None:
    parent = circuit(1, form).data
    child = bytearray(parent)
    random = Random(1)
    for _ in range(20):
        child[random.randrange(100, LENGTH - 100)] ^= 1 << random.randrange(8)
    delta = difference(bytes(child), parent)
    assert delta is not None
    assert len(delta) <= 20 * 5
    assert restored(delta, parent) == child


@pytest.mark.parametrize(("base", "runs", "result"), vectors("difference"))
def test_a_difference_is_restored_as_the_firmware_does_it(base: str, runs: str, result: str) -> None:
    if result == "damaged":
        with pytest.raises(InvalidBitstream, match="damaged"):
            restored(unhex(runs), unhex(base))
    else:
        assert restored(unhex(runs), unhex(base)) == unhex(result)


@settings(deadline=None, max_examples=50)
@given(st.binary(min_size=1, max_size=5000), st.dictionaries(st.integers(0, 4999), st.integers(0, 255)))
def test_what_was_made_a_difference_is_restored(base: bytes, changes: dict[int, int]) -> None:
    data = bytearray(base)
    for at, byte in changes.items():
        data[at % len(data)] = byte
    delta = difference(bytes(data), base)
    assert delta is not None
    assert restored(delta, base) == data
    assert len(delta) <= 6 * len(changes)


@given(st.integers(0, 2000))
def test_a_difference_is_not_longer_than_is_wanted(limit: int) -> None:
    delta = difference(CHILD, PARENT, limit)
    assert (delta is None) == (limit < len(difference(CHILD, PARENT) or b""))


def test_what_has_another_length_has_no_difference() -> None:
    assert difference(CHILD, PARENT[:-1]) is None


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_anything_is_a_difference_or_is_refused(delta: bytes) -> None:
    try:
        assert len(restored(delta, PARENT)) == LENGTH
    except InvalidBitstream:
        return


@pytest.mark.parametrize(
    "delta", [b"\0", b"\0\0", b"\0\x02x", b"\xff\xff\x7f\x01x", b"\x80\x80\x80\0\x01x", b"\0\0\0\x01x"]
)
def test_what_is_no_difference_is_refused(delta: bytes) -> None:
    with pytest.raises(InvalidBitstream, match=r"^the difference from another bitstream is damaged$"):
        restored(delta, PARENT)


# ----------------------------------------------------------------------------------------------- at the worker


def packed(data: bytes, base: bytes | None = None, changed: Mapping[str, Any] = MappingProxyType({})) -> Packed:
    payload = payload_of(data)
    if base is not None:
        named = {"base": payload_of(base)["sha256"], "delta": difference(data, base)}
        payload = {"sha256": payload["sha256"], **named, **changed}
    return Packed(**payload)


def test_a_difference_gives_the_circuit_that_the_whole_one_gives() -> None:
    admission = Admission()
    admission.admit(packed(PARENT))
    assert admission.admit(packed(CHILD, PARENT)) == Admission().admit(packed(CHILD))


def test_what_differs_little_from_what_does_not_pack_is_not_packed_for_some_generations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[bytes] = []

    def noted(data: bytes) -> bytes:
        tried.append(data)
        return compress(data)

    monkeypatch.setattr("icefarm.kinds.circuit.compress", noted)
    monkeypatch.setattr("icefarm.kinds.circuit.GENERATIONS", 3)
    line = family(5)
    admission = Admission()
    admission.admit(packed(line[0]))
    circuits = [admission.admit(packed(child, parent)) for parent, child in pairwise(line)]
    assert [circuit.payload for circuit in circuits] == line[1:]
    assert tried == [line[0], line[3]]


def test_a_base_may_be_named_by_the_beginning_of_its_hash() -> None:
    admission = Admission()
    admission.admit(packed(PARENT))
    named = packed(CHILD, PARENT, {"base": payload_of(PARENT)["sha256"][:BASE_DIGITS].upper()})
    assert admission.admit(named) == Admission().admit(packed(CHILD))
    with pytest.raises(UnknownBitstream, match="base"):
        admission.admit(packed(SIBLING, PARENT, {"base": payload_of(PARENT)["sha256"][: BASE_DIGITS - 1]}))


def test_a_difference_may_be_the_base_of_the_next_one() -> None:
    admission = Admission()
    admission.admit(packed(PARENT))
    admission.admit(packed(CHILD, PARENT))
    assert admission.admit(packed(SIBLING, CHILD)).sha256 == payload_of(SIBLING)["sha256"]


def test_a_difference_from_what_the_worker_does_not_have_is_asked_for_whole() -> None:
    with pytest.raises(UnknownBitstream, match="base"):
        Admission().admit(packed(CHILD, PARENT))


@pytest.mark.parametrize("changed", [{"sha256": "0" * 64}, {"delta": b"x" * 99}, {"delta": b""}, {"delta": b"\0\x01x"}])
def test_a_wrong_difference_is_no_bitstream_and_is_not_kept(changed: dict[str, Any]) -> None:
    admission = Admission()
    admission.admit(packed(PARENT))
    with pytest.raises(InvalidBitstream):
        admission.admit(packed(CHILD, PARENT, changed))
    with pytest.raises(UnknownBitstream):
        admission.admit(Packed(payload_of(CHILD)["sha256"]))


@pytest.mark.parametrize("changed", [{"base": None}, {"delta": None}])
def test_a_difference_needs_its_base_and_a_base_its_difference(changed: dict[str, Any]) -> None:
    admission = Admission()
    admission.admit(packed(PARENT))
    with pytest.raises(IcefarmError):
        admission.admit(packed(CHILD, PARENT, changed))


def test_an_account_cannot_name_the_circuit_of_another_one_as_a_base() -> None:
    admission = Admission()
    admission.admit(packed(PARENT), "alice")
    digest = payload_of(PARENT)["sha256"]
    # Only what another account knows as a whole could be the right difference; any other one would say what is there.
    for wrong in (difference(CHILD, PARENT), b"\0\x04" + PREAMBLE):
        with pytest.raises(UnknownBitstream, match="base"):
            admission.admit(Packed("0" * 64, base=digest, delta=wrong), "bob")


def test_an_account_that_has_a_circuit_measured_by_its_hash_has_no_base_in_it() -> None:
    admission = Admission()
    admission.admit(packed(PARENT), "alice")
    assert admission.admit(Packed(payload_of(PARENT)["sha256"]), "bob").sha256 == payload_of(PARENT)["sha256"]
    with pytest.raises(UnknownBitstream, match="base"):
        admission.admit(packed(CHILD, PARENT), "bob")


@pytest.mark.parametrize("form", list(Form))
def test_a_circuit_that_two_accounts_have_sent_is_a_base_of_both(form: Form) -> None:
    admission, parent = Admission(), circuit(1, form).data
    admission.admit(packed(parent), "alice")
    admission.admit(packed(parent), "bob")
    for account in ("alice", "bob"):
        with pytest.raises(InvalidBitstream):
            admission.admit(Packed("0" * 64, base=payload_of(parent)["sha256"], delta=b""), account)


def test_a_circuit_that_is_sent_again_is_the_latest_base() -> None:
    admission = Admission()
    admission.admit(packed(PARENT))
    for number in range(KEPT_BASES - 1):
        admission.admit(packed(circuit(number, Form.DENSE).data))
    admission.admit(packed(PARENT))
    admission.admit(packed(circuit(KEPT_BASES, Form.DENSE).data))
    assert admission.admit(packed(CHILD, PARENT)).sha256 == payload_of(CHILD)["sha256"]


@pytest.fixture
def farm() -> Iterator[Farm]:
    farm = Farm()
    farm.start()
    farm.prepare()
    farm.prepare(OTHER, Assignment("r2", "bob", "pulsecount"))
    yield farm
    assert run(farm.worker.stopService()) == [None]


def test_clients_of_two_accounts_have_no_bases_in_common(farm: Farm) -> None:
    delta = {"sha256": payload_of(CHILD)["sha256"], "base": payload_of(PARENT)["sha256"]}
    delta["delta"] = difference(CHILD, PARENT)
    (measured,) = farm.evaluate(bitstream=payload_of(PARENT))
    assert measured["sha256"] == delta["base"]
    (refused,) = farm.evaluate("bob", serial=OTHER, reservation="r2", bitstream=delta)
    assert isinstance(refused, UnknownBitstream)
    (measured,) = farm.evaluate(evaluation_id="e2", bitstream=delta)
    assert measured["sha256"] == delta["sha256"]


# ----------------------------------------------------------------------------------------------- at the client


def test_the_child_of_a_circuit_is_sent_as_its_difference() -> None:
    bases = Bases()
    assert bases.brief(payload_of(PARENT)) == payload_of(PARENT)
    brief = bases.brief(payload_of(CHILD))
    assert sorted(brief) == ["base", "delta", "sha256"]
    assert brief["base"] == payload_of(PARENT)["sha256"][:BASE_DIGITS]
    assert restored(brief["delta"], PARENT) == CHILD


def test_the_parent_is_found_among_the_last_circuits() -> None:
    bases = Bases()
    bases.brief(payload_of(PARENT))
    for number in range(BASES - 1):
        bases.brief(payload_of(circuit(number, Form.DENSE).data))
    assert bases.brief(payload_of(CHILD))["base"] == payload_of(PARENT)["sha256"][:BASE_DIGITS]


def test_circuits_that_have_nothing_in_common_are_sent_whole_and_soon_no_longer_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bases, tried = Bases(), []
    compared = Bases._difference
    monkeypatch.setattr(Bases, "_difference", lambda self, circuit: tried.append(circuit) or compared(self, circuit))
    for number in range(ATTEMPTS + 3 * (SELDOM + 1) + 1):
        payload = payload_of(circuit(number, Form.DENSE).data)
        assert bases.brief(payload) is payload
    assert len(tried) == ATTEMPTS + 3


def test_while_nothing_has_anything_in_common_only_the_latest_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    bases, compared = Bases(), list[int]()

    def none_found(_: bytes, others: list[bytes], __: int) -> None:
        compared.append(len(others))

    monkeypatch.setattr("icefarm.client.evaluation.sent.best_difference", none_found)
    for number in range(ATTEMPTS + SELDOM + 2):
        bases.brief(payload_of(circuit(number, Form.DENSE).data))
    assert compared == [*range(1, ATTEMPTS + 1), FEW]


@pytest.mark.parametrize("form", list(Form))
def test_a_child_of_any_form_takes_few_bytes(form: Form) -> None:
    bases, parent = Bases(), circuit(1, form).data
    child = bytearray(parent)
    for place in range(500, 80_500, 4000):
        child[place] ^= 4
    bases.brief(payload_of(parent))
    brief = bases.brief({"sha256": "1" * 64, "lz4": compress(bytes(child)), "length": len(child)})
    assert len(brief["delta"]) < 100


def test_a_small_circuit_is_not_worth_a_difference() -> None:
    bases = Bases()
    for number in range(3):
        payload = payload_of(made_up_bitstream(1, sparseness=20))
        assert len(payload["lz4"]) < SMALLEST
        assert bases.brief(payload) is payload, number


@pytest.fixture
def world() -> World:
    made = World("A")
    await_now(made.client.start())
    made.reserve(1)
    return made


def forms(world: World) -> list[list[str]]:
    return [sorted(asked["bitstream"]) for asked in world.farm.asked]


WHOLE, DELTA = ["plain", "sha256"], ["base", "delta", "sha256"]


def test_a_worker_that_takes_differences_gets_them(world: World) -> None:
    world.farm.deltas = True
    outcome = world.evaluating([from_bytes(each) for each in (PARENT, CHILD, SIBLING)])
    assert [result.ok for result in outcome.results[0]] == [True] * 3
    assert forms(world) == [WHOLE, DELTA, DELTA]


def test_a_worker_that_knows_none_gets_all_whole(world: World) -> None:
    world.evaluating([PARENT, CHILD, SIBLING])
    assert forms(world) == [WHOLE] * 3


def test_what_a_worker_has_no_base_of_is_sent_whole_under_the_same_id(world: World) -> None:
    world.farm.deltas = world.farm.forgetful = True
    outcome = world.evaluating([PARENT, CHILD])
    assert [result.ok for result in outcome.results[0]] == [True] * 2
    assert forms(world) == [WHOLE, DELTA, WHOLE]
    ids = [asked["evaluation_id"] for asked in world.farm.asked]
    assert ids[1] == ids[2]
