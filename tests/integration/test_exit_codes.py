"""A service that cannot start ends with a line that says why, and an exit code that a supervisor understands."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

#: Seconds for a process to import everything and to give up.
LIMIT = 60


def _twistd(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "twisted", "--log-file=-", *arguments]
    environment = {**os.environ, "ICEFARM_ROUTER_TICKET": "any"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT, cwd=directory, env=environment, check=False
    )


def test_control_that_cannot_listen_ends_with_1_and_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = _twistd(
            "icefarm-control", f"--http=127.0.0.1:{port}", "--router=unix:/nowhere", "--database=host=/nowhere",
            f"--data-dir={tmp_path}", directory=tmp_path,
        )  # fmt: skip
    assert ended.returncode == 1
    assert f"control cannot start: Couldn't listen on 127.0.0.1:{port}" in ended.stdout + ended.stderr


def test_control_that_would_send_its_ticket_for_all_to_read_ends_with_1_and_one_line(tmp_path: Path) -> None:
    ended = _twistd(
        "icefarm-control", "--router=http://192.0.2.1:8082", "--database=host=/nowhere", f"--data-dir={tmp_path}",
        directory=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 1
    said = ended.stdout + ended.stderr
    assert "control cannot start: a token is not sent to http://192.0.2.1:8082 without TLS" in said
    assert "Traceback" not in said


def test_a_worker_whose_boards_cannot_run_ends_with_1_and_says_why(tmp_path: Path) -> None:
    model = tmp_path / "model.so"
    model.write_text("this is no shared object\n")
    ended = _twistd(
        "icefarm-worker", "--control=http://127.0.0.1:1", "--virtual-boards=1", "--no-usb", f"--model={model}",
        directory=tmp_path,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "the worker cannot start:" in ended.stdout + ended.stderr
    assert str(model) in ended.stdout + ended.stderr


def test_a_worker_that_would_send_its_token_for_all_to_read_ends_with_1_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    ended = _twistd(
        "icefarm-worker", "--control=http://192.0.2.1:8080", "--no-usb", "--token-file=token", directory=tmp_path
    )
    assert ended.returncode == 1
    said = ended.stdout + ended.stderr
    assert "the worker cannot start: a token is not sent to http://192.0.2.1:8080 without TLS" in said
    assert "Traceback" not in said
