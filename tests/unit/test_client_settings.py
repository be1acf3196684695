"""Arguments come first, then the environment, then defaults."""

from __future__ import annotations

from typing import Any

import pytest

from icefarm.client.connection.settings import ClientSettings
from icefarm.contract import Role, valid_name
from icefarm.errors import InvalidArgument
from icefarm.wamp.url import DEFAULT_URL

THERE = {"ICEFARM_URL": "http://there:1", "ICEFARM_NAME": "env", "ICEFARM_TOKEN": "secret"}


def test_arguments_win_over_the_environment() -> None:
    settings = ClientSettings.of("http://here:2", "me", "mine", environment=THERE)
    assert (settings.url, settings.name, settings.token) == ("http://here:2", "me", "mine")


def test_the_environment_fills_in_what_is_left_out() -> None:
    settings = ClientSettings.of(environment=THERE)
    assert (settings.url, settings.name, settings.token) == ("http://there:1", "env", "secret")


def test_without_either_there_are_defaults_and_a_name_of_ones_own() -> None:
    first, second = ClientSettings.of(environment={}), ClientSettings.of(environment={})
    assert (first.url, first.role, first.token) == (DEFAULT_URL, Role.CLIENT, "")
    assert valid_name(first.name)
    assert first.name != second.name


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(ClientSettings.of(environment=THERE))


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "localhost"},
        {"url": "ftp://there"},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 101},
        {"role": "king"},
    ],
)
def test_what_is_wrong_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        ClientSettings.of(**wrong, environment={})


def test_names_of_earlier_versions_are_understood_and_noted_once(caplog: pytest.LogCaptureFixture) -> None:
    environment = {"USBIPICE_CONTROL_SERVER": "http://old:1", "USBIPICE_WORKER_NAME": "w1"}
    assert [ClientSettings.of(environment=environment).url for _ in range(2)] == ["http://old:1"] * 2
    assert ClientSettings.of(environment=environment).name != "w1"
    assert [record.message for record in caplog.records].count(
        "USBIPICE_CONTROL_SERVER is called ICEFARM_URL now for clients, and ICEFARM_CONTROL for workers; "
        "the old name still works"
    ) == 1
