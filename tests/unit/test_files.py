"""Files that icefarm writes: whole or not at all, and with one writer at a time."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
from pathlib import Path
from threading import Thread

import pytest

from icefarm.system.files import FileLock, Locked, write_whole


def test_a_file_keeps_its_permissions_and_a_new_one_gets_the_usual_ones(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("before")
    old.chmod(0o640)
    write_whole(old, "after")
    write_whole(new, b"content")
    (tmp_path / "plain").touch()
    assert (old.read_text(), stat.S_IMODE(old.stat().st_mode)) == ("after", 0o640)
    assert (new.read_bytes(), new.stat().st_mode) == (b"content", (tmp_path / "plain").stat().st_mode)


def test_a_private_file_is_private_even_where_it_was_not(tmp_path: Path) -> None:
    (tmp_path / "token").touch(0o644)
    write_whole(tmp_path / "token", "secret", mode=0o600)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    write_whole(tmp_path / "link", "content")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "content"


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def full(_: int, __: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "after")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["file"]


def test_a_device_is_written_to_and_not_replaced() -> None:
    write_whole("/dev/null", "content")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_of_many_writers_at_once_one_file_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [str(number) * 100_000 for number in range(8)]
    writers = [Thread(target=write_whole, args=(path, content)) for content in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert path.read_text() in contents
    assert os.listdir(tmp_path) == ["file"]


def test_a_lock_says_who_holds_it(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "data")
    lock.acquire()
    held = json.loads((tmp_path / "data.lock").read_text())
    assert (held["pid"], held["host"]) == (os.getpid(), socket.gethostname())
    with pytest.raises(Locked, match=f"process {os.getpid()} on {socket.gethostname()}, since 20"):
        FileLock(tmp_path / "data").acquire()
    lock.release()
    FileLock(tmp_path / "data").acquire()


def test_a_lock_whose_holder_says_nothing_is_held_all_the_same(tmp_path: Path) -> None:
    with (tmp_path / "data.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Locked, match="another process"):
            FileLock(tmp_path / "data").acquire()


def test_a_lock_that_its_holder_removed_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = tmp_path / "data.lock", fcntl.flock
    opened: list[int] = []

    def late(descriptor: int, how: int) -> None:
        opened.append(descriptor)
        if len(opened) == 1:
            path.unlink()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    FileLock(tmp_path / "data").acquire()
    assert len(opened) == 2
    assert path.exists()


def test_a_file_system_without_locks_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: int, __: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(OSError, match="local disk"):
        FileLock(tmp_path / "data").acquire()
