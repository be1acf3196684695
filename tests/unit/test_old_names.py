"""Names of earlier versions are understood."""

from __future__ import annotations

import pytest

from icefarm.legacy_names import CLIENT_NAMES, SERVICE_NAMES, kind_options, translate_legacy_env


def test_an_old_prefix_is_understood_with_a_note() -> None:
    known, notes = translate_legacy_env({"USBIPICE_DATABASE": "dbname=farm"}, SERVICE_NAMES)
    assert known["ICEFARM_DATABASE"] == "dbname=farm"
    assert notes == ["USBIPICE_DATABASE is called ICEFARM_DATABASE now; the old name still works"]


@pytest.mark.parametrize("prefix", ["USBIPICE", "ICEFARM"])
def test_names_that_changed_are_understood(prefix: str) -> None:
    environment = {f"{prefix}_CONTROL_SERVER": "http://farm:8080", f"{prefix}_WORKER_NAME": "w1"}
    known, notes = translate_legacy_env(environment, SERVICE_NAMES)
    assert (known["ICEFARM_CONTROL"], known["ICEFARM_NAME"], len(notes)) == ("http://farm:8080", "w1", 2)


def test_a_worker_name_is_no_name_of_a_client() -> None:
    known, _ = translate_legacy_env(
        {"USBIPICE_WORKER_NAME": "w1", "USBIPICE_CONTROL_SERVER": "http://farm:8080"}, CLIENT_NAMES
    )
    assert "ICEFARM_NAME" not in known
    assert known["ICEFARM_URL"] == "http://farm:8080"


def test_the_present_name_counts_where_both_are_set() -> None:
    known, notes = translate_legacy_env({"USBIPICE_DATABASE": "old", "ICEFARM_DATABASE": "new"}, SERVICE_NAMES)
    assert known["ICEFARM_DATABASE"] == "new"
    assert "is ignored" in notes[0]


@pytest.mark.parametrize("name", ["USBIPICE_WORKER_URL", "ICEFARM_CONTROL_PORT", "USBIPICE_PULSE_COUNT"])
def test_what_has_no_meaning_any_more_is_said(name: str) -> None:
    known, notes = translate_legacy_env({name: "x"}, SERVICE_NAMES)
    assert known == {name: "x"}
    assert "no meaning" in notes[0]


def test_other_variables_are_left_alone_without_a_word() -> None:
    environment = {"PATH": "/bin", "ICEFARM_URL": "http://farm:8080", "ICEFARM_DATABASE": "d"}
    assert translate_legacy_env(environment, SERVICE_NAMES) == (environment, [])


def test_options_of_the_old_transport_are_dropped_and_the_waveform_has_its_present_name() -> None:
    old = {"flush_interval_seconds": 1, "flush_at_bitstreams_remaining": 2, "send_waveform": True, "window": 0.5}
    assert kind_options(old) == {"waveform": True, "window": 0.5}
