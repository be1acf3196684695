"""Names of earlier versions are understood."""

from __future__ import annotations

import pytest

from icefarm.text.legacy_names import CLIENT_NAMES, SERVICE_NAMES, kind_options, translate_legacy_env


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


@pytest.mark.parametrize(
    "name", ["USBIPICE_SERVER_PORT", "ICEFARM_SERVER_PORT", "USBIPICE_VIRTUAL_BOARDS", "USBIPICE_VIRTUAL_X"]
)
@pytest.mark.parametrize("names", [SERVICE_NAMES, CLIENT_NAMES])
def test_ports_and_virtual_boards_of_earlier_versions_mean_nothing_and_are_told_so(
    name: str, names: dict[str, tuple[str, ...]]
) -> None:
    known, (note,) = translate_legacy_env({name: "x"}, names)
    assert known == {name: "x"}
    assert note.startswith(f"{name} has no meaning any more: ")


def test_the_present_variables_of_virtual_boards_are_left_alone() -> None:
    assert translate_legacy_env({"ICEFARM_VIRTUAL_BOARDS": "2"}, SERVICE_NAMES)[1] == []


@pytest.mark.parametrize("short", ["CONTROL_SERVER", "WORKER_NAME", "DATABASE", "CONTROL_PORT"])
@pytest.mark.parametrize("prefix", ["ICEFARM", "USBIPICE"])
def test_processes_of_all_roles_say_the_same_of_a_variable(prefix: str, short: str) -> None:
    notes = {
        note
        for names in (SERVICE_NAMES, CLIENT_NAMES)
        for note in translate_legacy_env({f"{prefix}_{short}": "x"}, names)[1]
    }
    assert len(notes) <= 1


def test_what_was_translated_once_gets_no_second_note() -> None:
    known, notes = translate_legacy_env({"USBIPICE_CONTROL_SERVER": "http://farm:8080"}, CLIENT_NAMES)
    assert len(notes) == 1
    assert translate_legacy_env(known, CLIENT_NAMES) == (known, [])


def test_names_that_agree_need_no_note() -> None:
    environment = {"ICEFARM_WORKER_NAME": "w1", "ICEFARM_NAME": "w1"}
    assert translate_legacy_env(environment, SERVICE_NAMES) == (environment, [])


def test_of_names_that_do_not_agree_the_newest_counts() -> None:
    old = {"USBIPICE_WORKER_NAME": "oldest", "ICEFARM_WORKER_NAME": "older"}
    known, notes = translate_legacy_env(old, SERVICE_NAMES)
    assert known["ICEFARM_NAME"] == "older"
    assert notes == [
        "ICEFARM_WORKER_NAME is called ICEFARM_NAME now for workers; the old name still works",
        "USBIPICE_WORKER_NAME is ignored, since ICEFARM_NAME is set",
    ]
    assert translate_legacy_env({**old, "ICEFARM_NAME": "new"}, SERVICE_NAMES)[0]["ICEFARM_NAME"] == "new"


def test_a_workers_name_is_nothing_to_a_client_under_any_prefix() -> None:
    for name in ("ICEFARM_WORKER_NAME", "USBIPICE_WORKER_NAME"):
        assert translate_legacy_env({name: "w1"}, CLIENT_NAMES) == ({name: "w1"}, [])
