"""Names on the wire."""

from __future__ import annotations

import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icefarm import errors
from icefarm.contract import (
    DeviceReport,
    DeviceStatus,
    Role,
    WorkerHello,
    account_of,
    client_topic,
    device_prefix,
    device_procedure,
    from_wire,
    identity_of,
    method_of,
    normal_name,
    permissions,
    valid_account,
    valid_name,
    worker_prefix,
    worker_procedure,
)
from icefarm.errors import InvalidArgument

#: A URI as the WAMP specification's loose check wants it ("URIs", regular expression without empty components).
LOOSE_URI = re.compile(r"^([^\s\.#]+\.)*([^\s\.#]+)$")

#: Letters, digits, punctuation, symbols and blanks of all scripts.
_shown = st.characters(categories=("L", "N", "P", "S", "Zs"))
names = st.text(_shown, min_size=1, max_size=40).map(normal_name).map(str.strip).filter(valid_name)


@given(names, st.sampled_from(["evaluate", "prepare"]))
def test_any_valid_name_makes_a_valid_uri_and_is_found_in_it_again(name: str, method: str) -> None:
    for procedure in (device_procedure(name, method), worker_procedure(name, method)):
        assert LOOSE_URI.match(procedure)
        assert method_of(procedure) == (name, method)
    assert LOOSE_URI.match(client_topic(name))


@given(names, names)
def test_no_devices_prefix_covers_another_device(one: str, other: str) -> None:
    if one != other:
        assert not device_procedure(other, "evaluate").startswith(device_prefix(one))
        assert not worker_procedure(other, "prepare").startswith(worker_prefix(one))


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        " a",
        "a ",
        "a\nb",
        "a\x00",
        "\u2028",
        "x" * 101,
        "a\u200bda",
        "\u202eada",
        "a\u0301da",
        "\uff41da",
        "\ud800",
        "a\u00a0b",
        "\ue000",
    ],
)
def test_names_that_people_could_not_read_are_refused(name: str) -> None:
    assert not valid_name(name)


@pytest.mark.parametrize("name", ["a", "exp-42", 'O\'Brien "x"', "Müller's Labor", "名前", "a.b#c%2E", "x" * 100])
def test_names_that_people_use_are_allowed(name: str) -> None:
    assert valid_name(name)


def _may(role: Role, action: str, uri: str) -> bool:
    return any(
        getattr(permission, action)
        and (uri == permission.uri or (permission.prefix and uri.startswith(permission.uri)))
        for permission in permissions()[role]
    )


@pytest.mark.parametrize(
    ("role", "action", "uri", "allowed"),
    [
        (Role.CLIENT, "call", "icefarm.v1.control.reserve", True),
        (Role.CLIENT, "call", "icefarm.v1.device.A.evaluate", True),
        (Role.CLIENT, "call", "icefarm.v1.control.drain", False),
        (Role.CLIENT, "call", "icefarm.v1.control.worker.hello", False),
        (Role.CLIENT, "call", "icefarm.v1.worker.w1.prepare", False),
        (Role.CLIENT, "call", "wamp.session.kill", False),
        (Role.CLIENT, "register", "icefarm.v1.device.A.evaluate", False),
        (Role.CLIENT, "publish", "icefarm.v1.event.device", False),
        (Role.OPERATOR, "call", "icefarm.v1.control.drain", True),
        (Role.OPERATOR, "call", "icefarm.v1.worker.w1.prepare", False),
        (Role.WORKER, "register", "icefarm.v1.device.A.", True),
        (Role.WORKER, "register", "icefarm.v1.control.reserve", False),
        (Role.WORKER, "call", "icefarm.v1.control.worker.hello", True),
        (Role.WORKER, "call", "icefarm.v1.control.reserve", False),
        (Role.WORKER, "publish", "icefarm.v1.event.device", False),
        (Role.CONTROL, "register", "icefarm.v1.control.authenticate", True),
    ],
)
def test_each_role_may_do_what_it_needs_and_no_more(role: Role, action: str, uri: str, allowed: bool) -> None:
    assert _may(role, action, uri) is allowed


def test_an_error_keeps_its_message_and_fields_over_the_wire() -> None:
    error = errors.Unavailable("only 2 are free", free=2)
    again = errors.error_from_wire(errors.error_uri(error), [error.message], error.fields)
    assert (type(again), str(again), again.fields if again else None) == (
        errors.Unavailable,
        "only 2 are free",
        {"free": 2},
    )


def test_an_error_without_a_message_says_what_its_class_says() -> None:
    assert str(errors.NotYours()) == "That board is not reserved by you."


def test_errors_of_others_are_not_ours() -> None:
    assert errors.error_from_wire("wamp.error.canceled", [], {}) is None


def test_an_error_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(errors.DeviceFailed("silent", serial="A1")))
    assert (str(again), again.fields) == ("silent", {"serial": "A1"})


def test_a_record_of_a_newer_version_is_read_without_what_is_new_in_it() -> None:
    wire = {"serial": "A", "status": "available", "mood": "sunny"}
    assert from_wire(wire, DeviceReport, "report") == DeviceReport("A", DeviceStatus.AVAILABLE)
    hello = {"name": "w", "instance": "i", "host": "h", "version": "9", "kinds": [], "devices": [wire], "moons": 2}
    assert from_wire(hello, WorkerHello, "hello").devices == [DeviceReport("A", DeviceStatus.AVAILABLE)]


def test_what_a_record_must_have_is_missed_all_the_same() -> None:
    with pytest.raises(InvalidArgument, match="serial is missing"):
        from_wire({"status": "available", "mood": "sunny"}, DeviceReport, "report")


@pytest.mark.parametrize(
    ("account", "name", "identity"),
    [
        ("ada", "ada", "ada"),
        ("ada", "run 1", "ada/run 1"),
        ("ada", "ada/run 1", "ada/run 1"),
        ("ada", "bob", "ada/bob"),
        ("ada", "bob/run 1", "ada/bob/run 1"),
        ("ada", "adam/run 1", "ada/adam/run 1"),
    ],
)
def test_a_name_is_one_inside_its_account(account: str, name: str, identity: str) -> None:
    assert identity_of(account, name) == identity
    assert account_of(identity) == account


@given(names, names)
def test_no_name_leads_out_of_its_account(account: str, name: str) -> None:
    if valid_account(account):
        assert account_of(identity_of(account, name)) == account
        assert LOOSE_URI.match(client_topic(identity_of(account, name)))


def test_an_account_has_no_slash() -> None:
    assert valid_account("ada's lab")
    assert not valid_account("ada/bob")
    assert not valid_account("")
