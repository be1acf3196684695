"""A batch of the archive as COPY reads it, and what it adds to the sums of boards."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icefarm.contract import ARCHIVE_FIELDS
from icefarm.control.archive import parsing as module
from icefarm.control.archive.copying.batch import COPIED, STEP, as_text, id_ranges, sums_of
from icefarm.control.archive.rows import OWN, STAMPED, ArchiveRow, ArchiveRows, OwnedRows, Owner, Stamp
from icefarm.runs.canonical import canonical_text, canonical_texts
from icefarm.runs.numbers import evaluation_id

RUN, OTHER = "0a" * 16, "0b" * 16
IDS = {("ada", "ga-7"): 4, ("ada", "ga-8"): 5}


def owned(*rows: ArchiveRow) -> OwnedRows:
    owners, stamps = {}, []
    for each in rows:
        stamp = Stamp(*(getattr(each, name) for name in STAMPED))
        stamps.append(stamp)
        owners[stamp] = Owner(stamp, "ada/laptop", ("ada", str(stamp.experiment)))
    return OwnedRows(
        ArchiveRows(stamps, {name: [getattr(each, name) for each in rows] for name in OWN}),
        [owners[each] for each in stamps],
    )


def row(id: str = "e1", experiment: str = "ga-7", **fields: Any) -> ArchiveRow:
    usual = dict.fromkeys(ArchiveRow._fields) | {
        "evaluation_id": id, "reservation": "r1", "serial": "A", "kind": "counter", "options": "{}", "value": "7",
        "number": 7.0, "attempt": 1, "ended_at": 1000.5, "day": date(1970, 1, 1),
    }  # fmt: skip
    return ArchiveRow(**usual | {"experiment": experiment} | fields)  # type: ignore[arg-type]


def cells(text: str) -> list[dict[str, str]]:
    return [dict(zip(COPIED, line.split("\t"), strict=True)) for line in text.splitlines()]


def test_a_row_has_its_cells_in_the_order_of_the_columns() -> None:
    (found,) = cells(as_text("w1", owned(row(window_us=5, temperature_c=31.5)), IDS))
    told = {
        "experiment": "4", "worker": "w1", "client": "ada/laptop", "evaluation_id": "e1", "reservation": "r1",
        "serial": "A", "kind": "counter", "options": "{}", "value": "7", "number": "7.0", "window_us": "5",
        "temperature_c": "31.5", "attempt": "1", "ended_at": "1970-01-01T00:16:40.500000Z", "day": "1970-01-01",
    }  # fmt: skip
    assert found == dict.fromkeys(COPIED, "\\N") | told


def test_rows_are_copied_in_the_order_in_which_they_ended() -> None:
    rows = [row(f"e{end}", ended_at=1000.5 + end, started_at=end or None) for end in (2, 0, 1)]
    found = cells(as_text("w1", owned(*rows).in_order(), IDS))
    assert [(each["evaluation_id"], each["ended_at"][17:19], each["started_at"][17:19]) for each in found] == [
        ("e0", "40", ""), ("e1", "41", "01"), ("e2", "42", "02"),
    ]  # fmt: skip


@given(st.lists(st.one_of(st.none(), st.text(st.sampled_from("ab\\\t\n\r\x01é"), max_size=4)), min_size=1, max_size=5))
def test_texts_are_read_as_they_are_whatever_stands_beside_them(circuits: list[str | None]) -> None:
    text = as_text("w1", owned(*(row(circuit=circuit) for circuit in circuits)), IDS)
    place = COPIED.index("circuit")
    assert [_read(line.split("\t")[place]) for line in text.removesuffix("\n").split("\n")] == circuits


def _read(cell: str) -> str | None:
    """Read a cell as PostgreSQL does."""
    if cell == "\\N":
        return None
    for sign, character in (("t", "\t"), ("n", "\n"), ("r", "\r")):
        cell = cell.replace("\\\\", "\0").replace(f"\\{sign}", character).replace("\0", "\\\\")
    return cell.replace("\\\\", "\\")


def test_of_a_row_that_is_too_long_only_the_types_of_known_fields_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def are_types(types: tuple[type, ...]) -> bool:
        asked.append(len(types))
        return False

    monkeypatch.setattr(module, "_are_types", are_types)
    assert module.parse_rows(b"[%s]\n{}" % b",".join([b"0"] * 1000), 0.0, 90).wrong == 2
    assert asked == [len(ARCHIVE_FIELDS)]


@pytest.mark.parametrize(
    "value",
    [b"18446744073709551616", b"\t18446744073709551616", b"\r-18446744073709551616", b"[1,18446744073709551616]",
     b'{"x":18446744073709551616}', b"-0", b"-0.0", b"1e400", b"5e-324", b'"\\ud800"', b'"\\ud83d\\ude00"', b"NaN",
     b"[" * 2000 + b"]" * 2000, b'{"x":1,"x":2}', b"1\n2", b"1,2", b""],
)  # fmt: skip
def test_a_faster_reader_of_json_reads_the_same(monkeypatch: pytest.MonkeyPatch, value: bytes) -> None:
    pytest.importorskip("orjson")
    batch = b"[%s]\n[1]" % value
    found = module._decoded(batch)
    monkeypatch.setattr(module, "loads", None)
    assert repr(found) == repr(module._decoded(batch))


def test_the_ids_of_a_run_are_one_range_and_others_are_ranges_of_their_own() -> None:
    ids = [evaluation_id(run, index, 0) for run in (RUN, OTHER) for index in (7, 5, 6)]
    assert id_ranges(ids) == ([ids[1], ids[4]], [ids[0], ids[3]])
    assert id_ranges(["own", *ids]) == (["own", *ids], ["own", *ids])


def test_rows_are_summed_up_by_experiment_step_and_board() -> None:
    rows = [
        row(number=1.0, ended_at=STEP + 1.0),
        row(number=5.0, ended_at=STEP + 2.0),
        row(number=None, value="[]", ended_at=STEP + 3.0),
        row(number=None, value=None, error="timed_out", ended_at=STEP + 4.0),
        row(number=2.0, ended_at=STEP + 5.0, experiment="ga-8"),
        row(number=2.0, ended_at=STEP + 6.0, serial="B"),
        row(number=2.0, ended_at=2.0 * STEP),
    ]
    first, *others = sums_of(owned(*rows), IDS)
    assert (first.experiment, first.serial, first.step, first.first, first.last) == (4, "A", 1, STEP + 1.0, STEP + 4.0)
    assert (first.done, first.failed, first.numbers, first.sum, first.least, first.most) == (3, 1, 2, 6.0, 1.0, 5.0)
    assert [(each.experiment, each.serial, each.step, each.done) for each in others] == [
        (5, "A", 1, 1), (4, "B", 1, 1), (4, "A", 2, 1),
    ]  # fmt: skip


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-9, 9), st.floats(allow_nan=False), st.text(max_size=3)
)


@given(st.one_of(st.lists(VALUES), st.lists(st.integers()), st.lists(st.text(max_size=3)), st.lists(st.floats())))
def test_values_of_a_column_have_the_form_that_each_has_by_itself(values: list[Any]) -> None:
    assert list(canonical_texts(values)) == list(map(canonical_text, values))
