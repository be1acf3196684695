"""Bitstreams travel once: what a worker is believed to have is named by its hash, and sent whole where it has not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from memory_faces import Faces

from icefarm.bitstream import made_up_bitstream
from icefarm.client.evaluation.sent import ASSUMED_CACHE_BYTES, Sent

CIRCUITS = Path(__file__).parents[2] / "examples" / "circuits"
CIRCUIT, OTHER = CIRCUITS / "square_2khz.bin", CIRCUITS / "square_8khz.bin"


@pytest.fixture
def faces() -> Faces:
    return Faces()


def sent(faces: Faces) -> list[list[str]]:
    return [sorted(asked["bitstream"]) for asked in faces.farm.asked]


WHOLE, BRIEF = ["length", "lz4", "sha256"], ["sha256"]


def test_a_bitstream_is_sent_once_to_a_worker_however_many_boards_it_is_for(faces: Faces) -> None:
    with faces.Farm("http://127.0.0.1:8080", "exp") as farm, farm.reserve(2) as boards:
        assert [result.value for result in boards.evaluate_each([CIRCUIT, CIRCUIT])] == [1000] * 4
        assert sent(faces) == [WHOLE, BRIEF, BRIEF, BRIEF]


def test_the_next_run_does_not_send_it_again(faces: Faces) -> None:
    with faces.Farm("http://127.0.0.1:8080", "exp") as farm, farm.reserve(1) as boards:
        for circuit in (CIRCUIT, OTHER, CIRCUIT):
            list(boards.evaluate([circuit]))
        assert sent(faces) == [WHOLE, WHOLE, BRIEF]


def test_a_dense_bitstream_is_sent_plain_and_once_as_well(faces: Faces) -> None:
    dense = made_up_bitstream(1, sparseness=1)
    with faces.Farm("http://127.0.0.1:8080", "exp") as farm, farm.reserve(1) as boards:
        list(boards.evaluate([dense, dense]))
        assert sent(faces) == [["plain", "sha256"], BRIEF]


def test_a_worker_that_has_it_no_longer_gets_it_whole(faces: Faces) -> None:
    faces.farm.forgetful = True
    with faces.Farm("http://127.0.0.1:8080", "exp") as farm, farm.reserve(1) as boards:
        results = list(boards.evaluate([CIRCUIT, CIRCUIT]))
        assert [result.value for result in results] == [1000, 1000]
        assert sent(faces) == [WHOLE, BRIEF, WHOLE]
        ids = [asked["evaluation_id"] for asked in faces.farm.asked]
        assert ids[1] == ids[2]
        assert {result.measurement.attempt for result in results} == {1}


def test_each_worker_has_its_own() -> None:
    known, payload = Sent(), {"sha256": "ab", "lz4": b"", "length": 1}
    assert known.briefly("w1", payload) is payload
    assert known.briefly("w2", payload) is payload
    assert known.briefly("w1", payload) == {"sha256": "ab"}


def payloads(size: int) -> list[dict[str, Any]]:
    """Bitstreams of 1 MiB, more than a worker is believed to keep."""
    return [{"sha256": str(number), "plain": bytes(1 << 20)} for number in range(size)]


def test_what_is_believed_is_bounded_by_bytes() -> None:
    known, many = Sent(), payloads((ASSUMED_CACHE_BYTES >> 20) + 1)
    for payload in many:
        known.briefly("w1", payload)
    assert known.briefly("w1", many[-1]) == {"sha256": many[-1]["sha256"]}
    assert known.briefly("w1", many[0]) is many[0]


def test_going_through_more_than_is_believed_again_and_again_sends_each_whole() -> None:
    known, many = Sent(), payloads((ASSUMED_CACHE_BYTES >> 20) + 1)
    assert all(known.briefly("w1", payload) is payload for _ in range(3) for payload in many)


def test_a_miss_has_all_of_that_worker_sent_again_and_less_believed() -> None:
    known, many = Sent(), payloads(ASSUMED_CACHE_BYTES >> 20)
    for payload in many:
        known.briefly("w1", payload)
        known.briefly("w2", payload)
    known.missed("w1", many[0], {"sha256": many[0]["sha256"]})
    known.missed("w1", many[1], {"sha256": many[1]["sha256"]})
    assert all(known.briefly("w1", payload) is payload for payload in many)
    assert [known.briefly("w1", payload) is payload for payload in many[len(many) // 2 :]] == [False] * (len(many) // 2)
    assert known.briefly("w2", many[0]) == {"sha256": "0"}
