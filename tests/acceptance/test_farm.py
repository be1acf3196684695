"""What a lab may expect of its farm: run after installing or upgrading, against virtual or real boards.

``pytest tests/acceptance --url http://farm:8080 --devices 2``.  Only the public client is used, and only boards that
were reserved for it.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from icefarm.client import Boards, Farm
from icefarm.errors import InvalidBitstream, NameInUse, NotYours, Unavailable

pytestmark = pytest.mark.integration

CIRCUITS = Path(__file__).resolve().parents[2] / "examples" / "circuits"
#: The example circuits and the frequency that each puts out, in Hz (examples/circuits/frequencies.txt).
FREQUENCIES = {"square_2khz.bin": 2000, "square_8khz.bin": 8000, "square_32khz.bin": 32000}
#: How far the FPGA's own oscillator may be off (iCE40 UltraPlus data sheet: 10 %).
TOLERANCE = 0.1
RESERVE_LIMIT = 90.0


def test_every_circuit_measures_as_simulated_on_every_board(boards: Boards) -> None:
    paths = [CIRCUITS / name for name in FREQUENCIES]
    results = list(boards.evaluate_each(paths))
    assert {(result.source, result.serial) for result in results} == {(p, s) for p in paths for s in boards.serials}
    for result in results:
        expected = FREQUENCIES[Path(result.source).name] * result.measurement.window_us / 1e6
        assert result.value == pytest.approx(expected, rel=TOLERANCE, abs=1), result


def test_a_result_says_where_it_comes_from(boards: Boards) -> None:
    path = CIRCUITS / "square_8khz.bin"
    (result,) = boards.evaluate([path])
    measured = result.measurement
    assert measured.serial in boards.serials
    assert measured.kind == "pulsecount"
    assert measured.sha256 == sha256(path.read_bytes()).hexdigest()
    assert measured.window_us == pytest.approx(100_000, rel=0.01)
    assert measured.firmware_version
    assert measured.ended_at >= measured.started_at


def test_many_evaluations_are_each_answered_once(boards: Boards) -> None:
    paths = [CIRCUITS / name for name in FREQUENCIES] * 10
    results = list(boards.evaluate(paths))
    assert sorted(str(result.source) for result in results) == sorted(str(path) for path in paths)
    assert all(result.ok for result in results)
    assert len({result.measurement.evaluation_id for result in results}) == len(paths)


def test_what_is_no_bitstream_is_refused_and_the_others_go_on(boards: Boards) -> None:
    good = CIRCUITS / "square_2khz.bin"
    results = {result.source: result for result in boards.evaluate([b"no bitstream", good])}
    assert isinstance(results[b"no bitstream"].error, InvalidBitstream)
    assert results[good].ok


def test_reserved_boards_are_shown_under_their_clients_name(farm: Farm, boards: Boards) -> None:
    holders = {record.serial: record.client for record in farm.reservations() if record.serial in boards.serials}
    assert holders == dict.fromkeys(boards.serials, farm.name)


def test_boards_of_one_client_are_not_given_to_another(boards: Boards, stranger: Farm) -> None:
    with pytest.raises(Unavailable):
        stranger.reserve(serials=boards.serials)
    with pytest.raises(NotYours):
        stranger.end(boards.serials)


def test_more_boards_than_there_are_cannot_be_had_and_none_is_kept(farm: Farm) -> None:
    with pytest.raises(Unavailable):
        farm.reserve(len(farm.devices()) + 1)
    assert not [record for record in farm.reservations() if record.client == farm.name]


def test_boards_that_are_given_back_go_to_whoever_waits(farm: Farm, stranger: Farm, amount: int) -> None:
    first = farm.reserve(amount, wait=True, timeout=RESERVE_LIMIT, window=0.1)
    serials = first.serials
    first.end()
    with stranger.reserve(serials=serials, wait=True, timeout=RESERVE_LIMIT, window=0.1) as boards:
        assert sorted(boards.serials) == sorted(serials)


def test_an_extended_reservation_ends_later(farm: Farm, boards: Boards) -> None:
    def ends() -> dict[str, float]:
        return {each.serial: each.expires_at for each in farm.reservations() if each.serial in boards.serials}

    before = ends()
    boards.extend(7200)
    assert all(ends()[serial] > before[serial] for serial in boards.serials)


def test_a_rebooted_board_serves_its_client_again(farm: Farm, boards: Boards) -> None:
    serial = boards.serials[0]
    farm.reboot([serial])
    (result,) = boards.evaluate_each([CIRCUITS / "square_2khz.bin"], serials=[serial])
    assert (result.serial, result.ok) == (serial, True)


def test_a_name_belongs_to_one_client_at_a_time(farm: Farm, url: str, token: str | None) -> None:
    with pytest.raises(NameInUse):
        Farm(url, farm.name, token=token, connect_timeout=15)
