"""Options of the verbs that start a farm."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from icefarm.cli.commands.admin.farm import router, up


def test_a_relative_path_is_made_absolute_for_processes_that_run_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "authority.pem").touch()
    monkeypatch.chdir(tmp_path)
    context = up.make_context("up", ["--ca-file", "authority.pem"])
    assert context.params["ca_file"] == tmp_path / "authority.pem"


def test_the_router_s_configuration_names_the_proxies_that_it_believes(tmp_path: Path) -> None:
    ticket = str(tmp_path / "ticket")
    words = ["config", "--router-ticket-file", ticket, "--proxy", "127.0.0.2", "--proxy", "fd00::/64"]
    made = CliRunner().invoke(router, words)
    assert made.exit_code == 0, made.output
    assert r"proxies=127.0.0.2/32,fd00\\:\\:/64" in made.output
    for wrong in ("proxy.example", "10.0.0.1/8", ""):
        refused = CliRunner().invoke(router, ["config", "--router-ticket-file", ticket, "--proxy", wrong])
        assert refused.exit_code == 2
        assert "must be an address or a network" in refused.output
