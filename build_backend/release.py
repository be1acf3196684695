"""Make and check what a release consists of, in ``dist/``: the source, wheels, and lists of what they are made of.

``python build_backend/release.py`` makes the source archive, and from it a wheel for each machine that virtual boards
are compiled for, and one without them. Everything is made twice, and must have the same bytes; twine,
check-wheel-contents and pyroma must find nothing. ``sbom`` makes the lists alone (CycloneDX, from the lock files).
It runs in the environment of requirements/release.txt: `make dist`, `make sbom`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
#: Values of ICEFARM_BOARDS (setup.py), one wheel each.
MACHINES = ("x86_64", "aarch64", "none")
#: Lock files with what a farm runs, for which there are lists.
LISTED = ("farm", "router")
#: Seconds for a build, or a check.
LIMIT = 900.0
#: W004: `twisted.plugins` is a namespace of Twisted's, without an __init__.py of ours. W009: so there are two packages.
_TWO_PACKAGES = "W004,W009"
#: There is no public address of the project, or of its authors, yet. Once there is: [project.urls], authors, and no
#: entry here.
_NO_ADDRESS = "Url,AuthorEmail"
#: The newest glibc that the tag of the wheels promises to do without (setup.py, GLIBC).
GLIBC = (2, 17)
#: Where Debian's libc6-arm64-cross puts what an aarch64 program loads.
AARCH64_LIBRARIES = Path("/usr/aarch64-linux-gnu")
BOARDS = "icefarm/virtual/bin/icefarm-boards"


class Unfit(Exception):
    """What was made must not be released; the message says why."""


def epoch() -> str:
    """Return the time that files of a release have: that of the last commit, or SOURCE_DATE_EPOCH."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return given or _run(["git", "log", "-1", "--format=%ct"], cwd=ROOT).strip()


def build(into: Path, when: str) -> list[Path]:
    """Make the source archive, and the wheels from it.  Raises `Unfit`."""
    _run([sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", str(into)], cwd=ROOT)
    (source,) = into.glob("*.tar.gz")
    _normalize(source, int(when))
    for machine in MACHINES:
        # Each in a folder of its own: nothing that another build has left gets in.
        with tempfile.TemporaryDirectory() as name:
            with tarfile.open(source) as archive:
                # Python 3.11.4 is the first that has it.
                archive.extraction_filter = getattr(tarfile, "data_filter", None)
                archive.extractall(name)
            (tree,) = Path(name).iterdir()
            _run(
                [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(into)],
                cwd=tree,
                environment={"ICEFARM_BOARDS": machine, "SOURCE_DATE_EPOCH": when},
            )
    return sorted(into.iterdir())


def _normalize(source: Path, when: int) -> None:
    """Write a source archive again, without times, users and modes of this machine."""
    packed = io.BytesIO()
    with tarfile.open(source) as old, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new:
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            content = old.extractfile(member) if member.isreg() else None
            member.mtime, member.uid, member.gid, member.uname, member.gname = when, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, content)
    with source.open("wb") as file, gzip.GzipFile("", "wb", fileobj=file, mtime=when) as zipped:
        zipped.write(packed.getvalue())


def check(made: Sequence[Path]) -> None:
    """Check what was made, as an index and a careful reader do.  Raises `Unfit`."""
    names = [str(path) for path in made]
    wheels = [name for name in names if name.endswith(".whl")]
    (source,) = (name for name in names if name.endswith(".tar.gz"))
    _run([sys.executable, "-m", "twine", "check", "--strict", *names])
    _run([_program("check-wheel-contents"), "--ignore", _TWO_PACKAGES, *wheels])
    _run([_program("pyroma"), "--min", "10", "--skip-tests", _NO_ADDRESS, source])


def check_boards(made: Sequence[Path]) -> list[str]:
    """Check the virtual boards of each wheel: what they load, and that they run here, or in qemu.

    Returns what could not be run, and why.  Raises `Unfit`.
    """
    passed_over: list[str] = []
    images: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as name:
        for machine in (each for each in MACHINES if each != "none"):
            (wheel,) = (path for path in made if path.name.endswith(f"_{machine}.whl"))
            with zipfile.ZipFile(wheel) as archive:
                program = Path(archive.extract(BOARDS, Path(name, machine)))
            program.chmod(0o755)
            newest = newest_glibc(program.read_bytes())
            if newest > GLIBC:
                raise Unfit(f"{wheel.name}: its boards need glibc {newest[0]}.{newest[1]}, which its tag does not say")
            runner = _runner(machine)
            if runner is None:
                passed_over.append(f"boards for {machine}: install qemu-user and libc6-arm64-cross to run them")
                continue
            images[machine] = _output([*runner, str(program), "--image", "pulse_count"])
    if len(set(images.values())) > 1:
        raise Unfit(f"virtual boards make different images: {', '.join(images)}")
    return passed_over


def newest_glibc(program: bytes) -> tuple[int, int]:
    """Return the newest version of glibc's symbols that a program takes."""
    found = re.findall(rb"GLIBC_(\d+)\.(\d+)", program)
    return max((int(major), int(minor)) for major, minor in found)


def _runner(machine: str) -> list[str] | None:
    """Return what runs a program for a machine, here: nothing, or qemu; None if it is not there."""
    if machine == platform.machine():
        return []
    qemu = shutil.which(f"qemu-{machine}")
    return [qemu, "-L", str(AARCH64_LIBRARIES)] if qemu and AARCH64_LIBRARIES.is_dir() else None


def _output(command: Sequence[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, timeout=LIMIT, check=False)
    if done.returncode != 0 or not done.stdout:
        raise Unfit(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip() or 'no output'}")
    return done.stdout


def sboms(into: Path) -> list[Path]:
    """Write a list (CycloneDX) of what each environment of a farm consists of, the same bytes each time."""
    made = []
    for name in LISTED:
        made.append(into / f"icefarm-{name}.cdx.json")
        _run([
            _program("cyclonedx-py"), "requirements", "--pyproject", str(ROOT / "pyproject.toml"),
            "--mc-type", "application", "--output-reproducible", "--of", "JSON", "-o", str(made[-1]),
            str(REQUIREMENTS / f"{name}.txt"),
        ])  # fmt: skip
    return made


def _program(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _run(command: Sequence[str], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=cwd, env={**os.environ, **(environment or {})}, timeout=LIMIT,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Unfit(f"no end after {LIMIT:.0f} s: {' '.join(command)}") from None
    if done.returncode != 0:
        raise Unfit(f"{' '.join(command)}:\n{done.stdout.strip()}")
    return done.stdout


def digests(made: Sequence[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file, by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in made}


def release(into: Path) -> list[Path]:
    """Make everything twice, check it, and put it there.  Raises `Unfit`."""
    when = epoch()
    with tempfile.TemporaryDirectory() as again:
        made = build(into, when)
        first, second = digests(made), digests(build(Path(again), when))
    differ = sorted(name for name in first if first[name] != second.get(name))
    if differ:
        raise Unfit(f"a second build has other bytes: {', '.join(differ)}")
    check(made)
    return made


def main(arguments: Sequence[str]) -> None:
    """Make a release, or with the argument ``sbom`` the lists alone."""
    into = ROOT / "dist"
    into.mkdir(exist_ok=True)
    for old in into.iterdir():
        old.unlink()
    made = [] if list(arguments) == ["sbom"] else release(into)
    for line in check_boards(made) if made else ():
        print(f"not run: {line}", file=sys.stderr)
    for name, digest in digests([*made, *sboms(into)]).items():
        print(f"{digest}  {name}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Unfit as error:
        sys.exit(f"icefarm: {error}")
