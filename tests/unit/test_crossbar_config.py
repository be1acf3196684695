"""The router's configuration is made of the wire contract, and of nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from icefarm.contract import AUTHORIZER, Role, permissions
from icefarm.farm.router.config import (
    CrossbarMissing,
    RouterConfig,
    configuration,
    configuration_text,
    find_crossbar,
)

CONFIG = RouterConfig(("127.0.0.1", 8080), ("127.0.0.1", 8081), "/run/control.sock", "s3cret")


def worker(config: RouterConfig = CONFIG) -> Any:
    (only,) = configuration(config)["workers"]
    return only


def transport(name: str, config: RouterConfig = CONFIG) -> Any:
    (found,) = [item for item in worker(config)["transports"] if item["id"] == name]
    return found


def test_every_role_of_the_contract_has_its_permissions_and_no_other() -> None:
    (realm,) = worker()["realms"]
    assert realm["name"] == "icefarm"
    found = {
        role["name"]: {
            (grant["uri"], grant["match"] == "prefix", *(action for action, may in grant["allow"].items() if may))
            for grant in role["permissions"]
        }
        for role in realm["roles"]
        if "permissions" in role
    }
    assert set(found) == {role.value for role in Role if role is not Role.WORKER}
    for role, grants in permissions().items():
        if role is Role.WORKER:
            continue
        assert found[role.value] == {
            (grant.uri, grant.prefix, *(a for a in ("call", "register", "publish", "subscribe") if getattr(grant, a)))
            for grant in grants
        }


def test_callers_and_publishers_are_disclosed_everywhere() -> None:
    (realm,) = worker()["realms"]
    for role in realm["roles"]:
        grants = role.get("permissions", [])
        assert all(grant["disclose"] == {"caller": True, "publisher": True} for grant in grants)


def test_control_decides_what_a_worker_may_register() -> None:
    (realm,) = worker()["realms"]
    assert {"name": "worker", "authorizer": AUTHORIZER} in realm["roles"]


def test_the_public_port_opens_last() -> None:
    assert [item["id"] for item in worker(evolve(CONFIG, local="/run/local.sock"))["transports"]] == [
        "control",
        "local",
        "public",
    ]


def test_the_ticket_of_control_opens_its_own_endpoint_only() -> None:
    assert transport("control")["auth"]["ticket"]["principals"] == {"control": {"ticket": "s3cret", "role": "control"}}
    assert "s3cret" not in json.dumps(transport("public"))


@pytest.mark.parametrize("name", ["rawsocket", "websocket"])
def test_control_decides_who_signs_in_at_the_public_port(name: str) -> None:
    part = transport("public")[name]
    auth = part["ws"]["auth"] if name == "websocket" else part["auth"]
    assert set(auth) == {"ticket"}
    assert auth["ticket"]["authenticator"] == "icefarm.v1.control.authenticate"
    assert auth["ticket"]["authenticator-role"] == "trusted"


def test_pages_of_other_hosts_may_connect_only_where_they_need_a_token() -> None:
    options = transport("public")["websocket"]["ws"]["options"]
    assert "*" not in options["allowed_origins"]
    assert options["allow_null_origin"] is False
    open_to_all = transport("public", evolve(CONFIG, any_origin=True))["websocket"]["ws"]["options"]
    assert open_to_all["allowed_origins"] == ["*"]


def test_with_a_certificate_the_public_port_speaks_tls() -> None:
    config = evolve(CONFIG, certificate=Path("/etc/farm.crt"), key=Path("/etc/farm.key"))
    public = transport("public", config)
    assert "certificate=/etc/farm.crt:key=/etc/farm.key" in public["endpoint"]["server_string"]
    assert public["web"]["paths"]["/"]["forwarded_proto"] == "https"
    assert "tls" not in transport("control", config)["endpoint"]


def test_names_of_certificates_do_not_depend_on_the_directory_of_the_node() -> None:
    config = evolve(CONFIG, certificate=Path("farm.crt"), key=Path("farm.key"))
    assert f"key={Path('farm.key').absolute()}" in transport("public", config)["endpoint"]["server_string"]


def test_a_node_that_may_have_to_wait_for_its_turn_does_so_at_the_first_of_its_endpoints() -> None:
    transports = worker(evolve(CONFIG, local="/run/local.sock", turn="/run/a:b.lock"))["transports"]
    assert [item["endpoint"]["type"] for item in transports] == ["twisted", "unix", "twisted"]
    assert transports[0]["endpoint"]["server_string"] == r"icefarm-turn:/run/a\:b.lock:/run/control.sock"


def test_an_address_of_ipv6_is_bound_as_such() -> None:
    assert transport("public", evolve(CONFIG, listen=("::", 1)))["endpoint"]["server_string"] == (
        "icefarm:1:interface=\\:\\:"
    )


def test_the_guard_of_the_public_port_gets_the_limits_that_differ() -> None:
    config = evolve(CONFIG, guard={"pending": 8, "sign_in": 2.5})
    endpoint = transport("public", config)["endpoint"]
    assert endpoint == {"type": "twisted", "server_string": "icefarm:8080:interface=127.0.0.1:pending=8:sign_in=2.5"}
    places = [Path(place) for place in worker(config)["options"]["pythonpath"]]
    for module in ("icefarm_guard/endpoint.py", "icefarm_large_pages.py", "icefarm_prompt.py"):
        assert any((place / module).exists() for place in places)


@pytest.mark.parametrize("name", ["rawsocket", "websocket"])
def test_a_message_at_the_public_port_has_at_most_two_mebibytes(name: str) -> None:
    part = transport("public")[name]
    options = part["ws"]["options"] if name == "websocket" else part["options"]
    assert options["max_message_size"] == 2 * 1024 * 1024


def test_control_may_join_an_external_router_over_tcp() -> None:
    endpoint = transport("control", evolve(CONFIG, control=("127.0.0.1", 8079)))["endpoint"]
    assert (endpoint["type"], endpoint["port"]) == ("tcp", 8079)


def test_the_text_is_the_value_as_json() -> None:
    assert json.loads(configuration_text(CONFIG)) == configuration(CONFIG)


def test_a_crossbar_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CrossbarMissing, match="there is no such program"):
        find_crossbar(str(tmp_path / "crossbar"))


def test_without_any_crossbar_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CrossbarMissing, match=r"pip install 'icefarm\[farm\]'"):
        find_crossbar(None, str(tmp_path))


def test_the_router_s_own_environment_comes_first(tmp_path: Path) -> None:
    for name in ("environment/bin", "environment/router/bin"):
        program = tmp_path / name / "crossbar"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    scripts = str(tmp_path / "environment" / "bin")
    assert find_crossbar(None, scripts) == str(tmp_path / "environment" / "router" / "bin" / "crossbar")


def test_the_crossbar_of_this_environment_comes_before_that_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("scripts", "path"):
        program = tmp_path / name / "crossbar"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert find_crossbar(None, str(tmp_path / "scripts")) == str(tmp_path / "scripts" / "crossbar")
    assert find_crossbar(None, str(tmp_path)) == str(tmp_path / "path" / "crossbar")


def test_the_guard_knows_the_proxies_that_say_whose_connections_they_pass_on() -> None:
    config = evolve(CONFIG, proxies=("127.0.0.2/32", "fd00::/8"))
    assert transport("public", config)["endpoint"]["server_string"] == (
        r"icefarm:8080:interface=127.0.0.1:proxies=127.0.0.2/32,fd00\:\:/8"
    )
