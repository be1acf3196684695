"""Rows of the archive as a worker writes them: what a client notes is checked, and no row is too long for the spool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from icefarm.contract import ARCHIVE_FIELDS
from icefarm.control.archive.rows import parse_rows
from icefarm.errors import DeviceFailed, InvalidArgument
from icefarm.worker.archive.rows import MAX_ROW, MeasurementRows, Note, failure_row, note_from_wire
from icefarm.worker.archive.spool import FileSpool

NOW = 1_700_000_000.0
LONG = "x" * 600_000
MEASURED = {
    "evaluation_id": "e1", "serial": "A", "kind": "counter", "options": {"window": 1.0}, "value": 7, "ended_at": NOW
}  # fmt: skip


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
    row = MeasurementRows("r1").row(note_from_wire(note), measured)
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
        spool.append(MeasurementRows("r1").row(note, MEASURED))
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
