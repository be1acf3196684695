"""What ``icefarm simulate`` says while it takes long."""

from __future__ import annotations

import sys

import pytest

from icefarm.cli.commands.boards import simulate

COPIES = [sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"]
CIRCUIT = b"circuit" * 20_000


def test_a_user_at_a_terminal_reads_that_a_simulation_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(simulate, "PATIENCE", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert simulate._output(COPIES, CIRCUIT) == (0, CIRCUIT, b"")
    assert "icefarm: still simulating" in capsys.readouterr().err


def test_a_script_reads_nothing_of_that(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(simulate, "PATIENCE", 0.0)
    assert simulate._output(COPIES, CIRCUIT) == (0, CIRCUIT, b"")
    assert capsys.readouterr().err == ""
