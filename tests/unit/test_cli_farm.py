"""Options of the verbs that start a farm."""

from __future__ import annotations

from pathlib import Path

import pytest

from icefarm.cli.commands.admin.farm import up


def test_a_relative_path_is_made_absolute_for_processes_that_run_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "authority.pem").touch()
    monkeypatch.chdir(tmp_path)
    context = up.make_context("up", ["--ca-file", "authority.pem"])
    assert context.params["ca_file"] == tmp_path / "authority.pem"
