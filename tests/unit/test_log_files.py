"""The log files of a farm on a disk that is full for a while."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import Logger, LogPublisher, textFileLogObserver

from icefarm.farm.log import RotatedLog
from icefarm.twistd.json_log import json_observer


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _FullDisk:
    """Takes nothing, and can be closed."""

    write = staticmethod(_full)

    def close(self) -> None:
        pass


def test_a_log_whose_rotation_failed_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = RotatedLog(tmp_path / "part.log")
    log.write("zero\n")
    log.file.rotateLength = 1
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", _full)
        log.write("one\n")
    for line in ("two", "three", "four"):
        log.write(f"{line}\n")
    log.close()
    assert log.path.read_text() == "zero\n\n(2 lines before this could not be written)\nthree\nfour\n"


def test_each_line_that_is_missing_is_counted_and_bytes_that_are_no_text_cost_none(tmp_path: Path) -> None:
    log = RotatedLog(tmp_path / "up.log")
    disk, log.file._file = log.file._file, _FullDisk()
    log.write("one\n\tits traceback\n")
    log.write("two\n")
    log.file._file = disk
    log.write(f"cannot read {os.fsdecode(b'caf' + bytes([0xE9]))}\n")
    log.close()
    assert log.path.read_text() == "\n(3 lines before this could not be written)\ncannot read caf\\udce9\n"


@pytest.mark.parametrize("as_json", [False, True])
def test_an_observer_goes_on_after_a_full_disk(tmp_path: Path, as_json: bool) -> None:
    file: Any = RotatedLog(tmp_path / "up.log", "up" if as_json else None)
    log = Logger("up", observer=LogPublisher(json_observer(file) if as_json else textFileLogObserver(file)))
    log.info("zero")
    disk, file.file._file = file.file._file, _FullDisk()
    log.info("one")
    log.info("two")
    file.file._file = disk
    log.info("three")
    file.close()
    lines = [line for line in file.path.read_text().splitlines() if line]
    assert [word for word in ("zero", "one", "two", "three") if word in str(lines)] == ["zero", "three"]
    assert "2 lines before this could not be written" in lines[1]
    if as_json:
        assert [json.loads(line)["message"] for line in lines][::2] == ["zero", "three"]
