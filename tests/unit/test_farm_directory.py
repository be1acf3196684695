"""Where a farm keeps its state, and what stands in the way of that."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from icefarm.farm.errors import CannotStart
from icefarm.farm.paths import (
    SOCKET_PATH_LIMIT,
    DataDirectory,
    DirectoryLock,
    default_data_directory,
    write_private,
)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HOME": "/home/a"}, "/home/a/.local/state/icefarm"),
        ({"HOME": "/home/a", "XDG_STATE_HOME": "/var/state"}, "/var/state/icefarm"),
        ({"HOME": "/home/a", "XDG_STATE_HOME": "relative"}, "/home/a/.local/state/icefarm"),
    ],
)
def test_the_default_is_the_state_directory_of_the_user(environment: dict[str, str], expected: str) -> None:
    assert default_data_directory(environment) == Path(expected)


def test_what_is_made_is_for_its_owner_alone(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "farm")
    directory.create()
    for path in (directory.path, directory.router, directory.logs, directory.run):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_ticket_is_new_each_time_and_for_its_owner_alone(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    directory.create()
    first, second = directory.new_ticket(), directory.new_ticket()
    assert first != second
    assert directory.router_ticket.read_text().strip() == second
    assert stat.S_IMODE(directory.router_ticket.stat().st_mode) == 0o600


def test_writing_leaves_the_old_file_where_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "\ud800")
    assert path.read_text() == "old"


@pytest.mark.parametrize("name", ["x" * 120, "a$HOME"])
def test_sockets_have_a_short_directory_where_the_data_directory_does_not_do(tmp_path: Path, name: str) -> None:
    run = DataDirectory(tmp_path / name).run
    assert len(os.fsencode(run / "control.sock")) <= SOCKET_PATH_LIMIT
    assert "$" not in str(run)
    assert run != DataDirectory(tmp_path / (name + "y")).run


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "farm").write_text("")
    with pytest.raises(CannotStart, match=r"cannot make the directory .*farm: .*; choose another one with --data-dir"):
        DataDirectory(tmp_path / "farm").create()


def test_two_farms_do_not_share_a_directory(tmp_path: Path) -> None:
    first, second = DirectoryLock(tmp_path / "lock"), DirectoryLock(tmp_path / "lock")
    first.acquire()
    with pytest.raises(CannotStart, match=rf"a farm runs on {tmp_path} already \(process {os.getpid()}\)"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()
