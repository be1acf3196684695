"""Rows of the archive as a worker writes them: what a client notes is checked, and no row is too long for the spool."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icefarm.contract import ARCHIVE_FIELDS
from icefarm.control.archive.parsing import parse_rows
from icefarm.errors import DeviceFailed, InvalidArgument
from icefarm.worker.archive import rows
from icefarm.worker.archive.rows import MAX_ROW, Note, failure_row, measurement_row, note_from_wire
from icefarm.worker.archive.spool import FileSpool

NOW = 1_700_000_000.0
LONG = "x" * 600_000
MEASURED = {
    "evaluation_id": "e1", "serial": "A", "kind": "counter", "options": {"window": 1.0}, "value": 7, "ended_at": NOW
}  # fmt: skip


@pytest.fixture(scope="module")
def without_package() -> ModuleType:
    """Return `icefarm.worker.archive.rows` as it is where `orjson` can't be imported."""
    spec = importlib.util.spec_from_file_location("rows_without_orjson", rows.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "orjson", None)
        spec.loader.exec_module(module)
    return module


def fields_of(row: bytes) -> dict[str, Any]:
    return dict(zip(ARCHIVE_FIELDS, json.loads(row), strict=True))


@pytest.mark.parametrize(
    ("note", "measured", "empty"),
    [
        ({"labels": {"genome": LONG}}, MEASURED, {"labels": None}),
        ({"labels": {"a": 1}}, {**MEASURED, "value": [LONG]}, {"value": None}),
        ({"labels": {"a": LONG}}, {**MEASURED, "value": LONG + "y" * 20}, {"value": None, "labels": None}),
        ({}, {**MEASURED, "options": {"text": LONG}}, {"options": {}}),
    ],
)
def test_a_row_that_is_too_long_is_kept_without_its_longest_parts(
    note: dict[str, Any], measured: dict[str, Any], empty: dict[str, Any]
) -> None:
    row = measurement_row("r1", note_from_wire(note), measured)
    assert len(row) <= MAX_ROW
    whole = {**measured, "labels": note.get("labels"), **empty}
    kept = fields_of(row)
    assert {name: kept[name] for name in whole} == whole
    assert kept["message"].startswith("left out, since the row would have ")
    assert kept["message"].endswith(": " + ", ".join(empty))
    assert parse_rows(row, NOW, 1.0).wrong == 0


def test_a_failure_whose_labels_are_too_long_keeps_its_error() -> None:
    note = note_from_wire({"labels": {"genome": LONG}})
    row = failure_row("r1", note, "e1", {"serial": "A", "kind": "counter", "options": {}}, DeviceFailed("silent"), NOW)
    kept = fields_of(row)
    assert (kept["labels"], kept["error"], kept["message"]) == (None, DeviceFailed.name, "silent")


def test_rows_after_one_with_long_labels_come_out_of_the_spool(tmp_path: Path) -> None:
    spool = FileSpool.open(tmp_path, 10_000_000)
    for note in (Note(), note_from_wire({"labels": {"genome": LONG}}), Note()):
        spool.append(measurement_row("r1", note, MEASURED))
    batch = spool.batch()
    assert batch is not None
    assert (batch.count, spool.dropped) == (3, 0)


@pytest.mark.parametrize("label", [float("nan"), float("inf"), b"bytes", [1]])
def test_a_label_that_the_archive_cannot_store_is_refused(label: object) -> None:
    with pytest.raises(InvalidArgument, match="labels must have text for names, and text or finite numbers"):
        note_from_wire({"labels": {"a": label}})


@pytest.mark.parametrize("noted", [None, {}])
def test_a_hash_is_noted_only_if_it_is_text_and_no_more_of_it_than_a_hash_has(noted: object) -> None:
    assert note_from_wire(noted, {"sha256": "A" * 64}).sha256 == "A" * 64
    assert note_from_wire(noted, {"sha256": LONG}).sha256 == "x" * 64
    assert note_from_wire(noted, {"sha256": 5}).sha256 is None


WHOLE = {
    **MEASURED, "options": {"window": 1.0, "overlap": True}, "firmware": "pulse_count", "firmware_version": "1.4",
    "sha256": "ab" * 32, "origin": "measured", "window_us": 1_000_003, "load_us": 34_000, "temperature_c": 31.5,
    "sequence": 3, "attempt": 1, "started_at": NOW - 1.123456, "ended_at": NOW + 0.000001, "board_labels": {"lab": "é"},
    "calibration": "c1",
}  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"value": [1, 2.5]},
        {"value": True},
        {"options": {"window": 1, "overlap": True}},
        {"options": ["a list"]},
        {"temperature_c": None},
        {"temperature_c": 31},
        {"window_us": None},
        {"sha256": None},
        {"started_at": 0.5},
        {"started_at": 7},
        {"board_labels": {}},
        {"serial": "B", "origin": None},
        {"attempt": 5},
    ],
)
def test_a_row_has_what_was_measured_also_what_a_board_does_not_usually_measure(changed: dict[str, Any]) -> None:
    note = Note("ga-7", 'a"é\\.bin', {"generation": 3}, attempt=2)
    measured = {**WHOLE, **changed}
    kept = fields_of(measurement_row("r1", note, measured))
    expected = {name: measured[name] for name in measured if name in ARCHIVE_FIELDS}
    expected |= {"attempt": max(measured["attempt"], 2), "board_labels": measured["board_labels"] or None}
    assert {name: kept[name] for name in expected} == expected
    # 1, 1.0 and True are equal.
    assert {name: type(kept[name]) for name in ("value", "window_us", "temperature_c")} == {
        name: type(measured[name]) for name in ("value", "window_us", "temperature_c")
    }
    assert json.dumps(kept["options"]) == json.dumps(measured["options"])
    assert (kept["reservation"], kept["circuit"], kept["experiment"]) == ("r1", note.circuit, "ga-7")
    assert kept["labels"] == {"generation": 3}


@pytest.mark.parametrize("field", ["value", "temperature_c", "started_at"])
def test_a_number_that_is_not_finite_keeps_no_other_field_from_the_archive(field: str) -> None:
    row = measurement_row("r1", Note("ga-7"), {**WHOLE, field: float("nan")})
    assert fields_of(row)["sha256"] == WHOLE["sha256"]


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3)),
    lambda each: st.one_of(st.lists(each, max_size=3), st.dictionaries(st.text(max_size=3), each, max_size=3)),
    max_leaves=5,
)
TEXTS = st.one_of(st.none(), st.text(max_size=5), st.text('\ud800\x7f\\"/é', max_size=3))


@given(VALUES, TEXTS, st.dictionaries(st.text(max_size=3), st.one_of(st.integers(), st.text(max_size=3)), max_size=3))
def test_a_row_has_the_same_in_it_with_the_compiled_package_as_without_it(
    without_package: ModuleType, value: object, circuit: str | None, labels: dict[str, Any]
) -> None:
    measured = {**WHOLE, "value": value}
    found = [
        module.measurement_row("r1", Note("ga-7", circuit, labels), measured) for module in (rows, without_package)
    ]
    first, second = (json.dumps(json.loads(row.decode("ascii"))) for row in found)
    assert first == second
