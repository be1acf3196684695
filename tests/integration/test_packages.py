"""What a wheel has, and for which machines it says that it is; release.py checks the rest when a release is made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from build_backend import release

# Wheels are built, and the firmware in them: on a busy machine that takes its time.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 300
BOARDS = "icefarm/virtual/bin/icefarm-boards"
WHEN = 1_700_000_000
#: The Python that has the compiler for all machines; `make nightly` runs the part "dist" first, which installs it.
TOOLS = ROOT / "build" / "release" / "bin" / "python"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the repository, and nothing that was built from them."""
    tree = tmp_path_factory.mktemp("sources")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=LIMIT)
    for name in listed.stdout.decode().split("\0"):
        source, target = ROOT / name, tree / name
        # A file that is deleted and not yet committed is still listed.
        if name and os.path.lexists(source):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    return tree


def _wheel(sources: Path, into: Path, boards: Mapping[str, str], python: str = sys.executable) -> Path:
    environment = {**os.environ, "ICEFARM_DASHBOARD": "skip", "SOURCE_DATE_EPOCH": str(WHEN), **boards}
    command = [
        python, "-c",
        "import sys; sys.path.insert(0, 'build_backend'); import icefarm_build; icefarm_build.build_wheel(sys.argv[1])",
        str(into),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=sources, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr
    shutil.rmtree(sources / "build", ignore_errors=True)
    (wheel,) = into.glob("*.whl")
    return wheel


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_a_wheel_without_boards_is_for_any_machine_and_has_all_else(sources: Path, tmp_path: Path) -> None:
    wheel = _wheel(sources, tmp_path, {"ICEFARM_BOARDS": "none"})
    assert wheel.name.endswith("-py3-none-any.whl")
    names = _names(wheel)
    assert BOARDS not in names
    assert {
        "icefarm/data/circuits/frequencies.txt",
        "icefarm/data/circuits/square_2khz.bin",
        "icefarm/data/requirements/build.txt",
        "icefarm/data/requirements/router.txt",
        "icefarm/data/schema/V1__workers_devices_reservations.sql",
        "icefarm/py.typed",
        "twisted/plugins/icefarm_plugin.py",
    } <= names
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in names if name.endswith(".dist-info/WHEEL"))
        assert "Root-Is-Purelib: true" in archive.read(metadata).decode()


def test_a_wheel_for_this_machine_has_boards_that_run_and_is_for_any_python_3(sources: Path, tmp_path: Path) -> None:
    wheel = _wheel(sources, tmp_path, {})
    assert "-py3-none-linux_" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        program = Path(archive.extract(BOARDS, tmp_path))
    program.chmod(0o755)
    made = subprocess.run([program, "--image", "pulse_count"], capture_output=True, check=True, timeout=LIMIT)
    assert made.stdout[:4] == b"UF2\n"


def test_two_builds_of_a_wheel_have_the_same_bytes(sources: Path, tmp_path: Path) -> None:
    made = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        made.append(_wheel(sources, tmp_path / name, {"ICEFARM_BOARDS": "none"}).read_bytes())
    assert made[0] == made[1]


@pytest.mark.nightly
@pytest.mark.skipif(not TOOLS.is_file(), reason="the tools of a release are not installed: make dist")
@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="qemu-user is not on this machine")
@pytest.mark.skipif(not release.AARCH64_LIBRARIES.is_dir(), reason="libc6-arm64-cross is not on this machine")
def test_boards_for_a_raspberry_pi_run_and_load_an_old_glibc(sources: Path, tmp_path: Path) -> None:
    made = []
    for machine in ("aarch64", "x86_64"):
        (tmp_path / machine).mkdir()
        made.append(_wheel(sources, tmp_path / machine, {"ICEFARM_BOARDS": machine}, str(TOOLS)))
    assert [wheel.name.partition("-py3-none-")[2] for wheel in made] == [
        "manylinux_2_17_aarch64.whl",
        "manylinux_2_17_x86_64.whl",
    ]
    assert release.check_boards(made) == []


def test_a_machine_that_nobody_builds_for_is_refused(sources: Path) -> None:
    done = subprocess.run(
        [sys.executable, "setup.py", "--version"], cwd=sources, env={**os.environ, "ICEFARM_BOARDS": "z80"},
        capture_output=True, text=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.endswith("icefarm: ICEFARM_BOARDS=z80: not x86_64, aarch64 or none\n")


def test_a_program_that_takes_a_newer_glibc_than_its_tag_says_is_found() -> None:
    assert release.newest_glibc(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.17\0") == (2, 34)


def test_a_source_archive_has_nothing_of_the_machine_that_made_it(tmp_path: Path) -> None:
    written = []
    for number, mode in enumerate((0o600, 0o664)):
        file = tmp_path / "file"
        file.write_text("content")
        file.chmod(mode)
        os.utime(file, (WHEN + number, WHEN + number))
        archive = tmp_path / f"{number}.tar.gz"
        with tarfile.open(archive, "w:gz") as new:
            new.add(file, "icefarm-1/file")
        release._normalize(archive, WHEN)
        written.append(archive.read_bytes())
    assert written[0] == written[1]
    with tarfile.open(tmp_path / "0.tar.gz") as archive:
        (member,) = archive.getmembers()
        assert (member.mode, member.mtime, member.uid, member.uname) == (0o644, WHEN, 0, "")
