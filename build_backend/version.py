"""Set the version everywhere that names it, and say whether the tree is ready to be released.

``python build_backend/version.py set 1.0.0`` writes `icefarm/_version.py` and `CITATION.cff`, and dates the changelog's
section: commit that.  ``check`` (``make release-check``) lists what still speaks against a release, and prints the
command that tags it if nothing does.  ``previous`` prints what the parts of this tree have to work with.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

__all__ = ["PROMISE", "Tree", "dated", "obstacles", "previous", "set_version"]

ROOT = Path(__file__).resolve().parent.parent
#: Versions of releases, and of what comes before one.
_RELEASED = re.compile(r"\d+\.\d+\.\d+")
_ANY = re.compile(r"\d+\.\d+\.\d+(?:\.dev\d+|rc\d+)?")
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
_UNRELEASED = "Unreleased"
#: Parts of the nightly run (build_backend/nightly.py) that a release takes.
NEEDED = ("dist", "pythons", "oldest", "coverage", "mutation", "nightly tests", "interleavings", "fuzz", "soak")
#: Seconds that a part has to last: one that was tried for a moment proves little.
LEAST = {"fuzz": 600, "soak": 3600}

#: Says which versions work together.  Until there is a release, the commit that added it stands for the previous one.
PROMISE = "docs/versions.md"


class Unfit(Exception):
    """A version, or a file that names it, is not as it has to be; the message says why."""


@dataclass(frozen=True)
class Tree:
    """What a release is judged by."""

    version: str
    cited: str | None
    changelog: str
    classifiers: tuple[str, ...]
    #: What git says is changed, the commit, and all tags.
    changes: str
    commit: str
    tags: tuple[str, ...]
    #: What the last nightly run left; None if there was none.
    nightly: str | None


def obstacles(tree: Tree) -> list[str]:
    """Return what speaks against a release of a tree, one line each."""
    return [line for check in _CHECKS for line in check(tree)]


def _of_the_version(tree: Tree) -> Iterator[str]:
    if not _RELEASED.fullmatch(tree.version):
        yield f"the version {tree.version} is that of no release: build_backend/version.py set X.Y.Z, and commit"
    if tree.cited != tree.version:
        yield f"CITATION.cff names version {tree.cited}, not {tree.version}"
    if f"v{tree.version}" in tree.tags:
        yield f"there is a tag v{tree.version} already"


def _of_the_changelog(tree: Tree) -> Iterator[str]:
    sections = _SECTION.findall(tree.changelog)
    if not any(re.fullmatch(rf"{re.escape(tree.version)} - \d{{4}}-\d\d-\d\d", each) for each in sections):
        yield f"CHANGELOG.md has no section '## {tree.version} - YYYY-MM-DD'"
    if _UNRELEASED in sections and _text_of(_UNRELEASED, tree.changelog):
        yield "CHANGELOG.md has changes under 'Unreleased'"


def _text_of(section: str, changelog: str) -> str:
    _, _, after = changelog.partition(f"\n## {section}\n")
    return re.split(r"^## ", after, maxsplit=1, flags=re.MULTILINE)[0].strip()


def _of_the_classifiers(tree: Tree) -> Iterator[str]:
    if not tree.version.startswith("0.") and any("Alpha" in each for each in tree.classifiers):
        yield "pyproject.toml says 'Development Status :: 3 - Alpha'"


def _of_the_commit(tree: Tree) -> Iterator[str]:
    if tree.changes:
        yield f"there are changes that are not committed:\n{tree.changes}"


def _of_the_nightly_run(tree: Tree) -> Iterator[str]:
    if tree.nightly is None:
        yield "there are no results of a nightly run: make nightly"
        return
    found = json.loads(tree.nightly)
    if found["commit"] != tree.commit:
        yield f"the nightly run was of commit {found['commit'][:12]}, not of {tree.commit[:12]}: make nightly"
    results = {each["name"]: each for each in found["results"]}
    for name in NEEDED:
        if name not in results or not results[name]["passed"]:
            yield f"nightly run: {name} {'failed' if name in results else 'did not run'}"
        elif results[name]["seconds"] < LEAST.get(name, 0):
            yield f"nightly run: {name} took {results[name]['seconds']:.0f} s, not {LEAST[name]}"


_CHECKS: Sequence[Callable[[Tree], Iterator[str]]] = (
    _of_the_version, _of_the_changelog, _of_the_classifiers, _of_the_commit, _of_the_nightly_run,
)  # fmt: skip


def dated(changelog: str, version: str, day: date) -> str:
    """Return the changelog with its newest changes under a version, and room for the next ones.  Raises `Unfit`."""
    if not _text_of(_UNRELEASED, changelog):
        raise Unfit("CHANGELOG.md has nothing under 'Unreleased'")
    return changelog.replace(f"\n## {_UNRELEASED}\n", f"\n## {_UNRELEASED}\n\n## {version} - {day}\n", 1)


def set_version(root: Path, version: str, day: date) -> None:
    """Write a version into the files that name it; a release also dates the changelog.  Raises `Unfit`."""
    if not _ANY.fullmatch(version):
        raise Unfit(f"{version!r} is not a version such as 1.4.0, 1.4.0rc1 or 1.5.0.dev0")
    texts = {
        root / "icefarm" / "_version.py": (r'^__version__ = ".*"$', f'__version__ = "{version}"'),
        root / "CITATION.cff": (r"^version: .*$", f"version: {version}"),
    }
    written = {path: _replaced(path, *how) for path, how in texts.items()}
    if _RELEASED.fullmatch(version):
        changelog = root / "CHANGELOG.md"
        written[changelog] = dated(changelog.read_text(encoding="utf-8"), version, day)
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")


def _replaced(path: Path, pattern: str, line: str) -> str:
    text, count = re.subn(pattern, line, path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if count != 1:
        raise Unfit(f"{path.name} names {count} versions")
    return text


def previous(root: Path) -> str:
    """Return the newest release, or the commit that stands for it.  Raises `Unfit` if the history does not reach it."""
    found = _lines(root, "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*")
    # In a shallow clone, its oldest commit is taken for the one that added all files.
    if not found and _lines(root, "rev-parse", "--is-shallow-repository") == ["false"]:
        found = _lines(root, "log", "--reverse", "--diff-filter=A", "--format=%H", "--", PROMISE)
    if not found:
        raise Unfit(f"this clone has no release, and no commit that added {PROMISE}: git fetch --tags --unshallow")
    return found[0]


def _lines(root: Path, *arguments: str) -> list[str]:
    """Return what git prints; no lines if it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.splitlines() if done.returncode == 0 else []


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def _this_tree() -> Tree:
    found = re.search(r'^__version__ = "(.*)"$', (ROOT / "icefarm" / "_version.py").read_text(), re.MULTILINE)
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    nightly = ROOT / "build" / "nightly" / "results.json"
    return Tree(
        version=found[1] if found else "",
        cited=cited[1] if cited else None,
        changelog=(ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        classifiers=tuple(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]),
        changes=_git("status", "--porcelain"),
        commit=_git("rev-parse", "HEAD"),
        tags=tuple(_git("tag").split()),
        nightly=nightly.read_text() if nightly.is_file() else None,
    )


def main(arguments: Sequence[str]) -> int:
    """Carry out ``set VERSION``, ``check`` or ``previous``; return the exit code."""
    match list(arguments):
        case ["set", version]:
            set_version(ROOT, version, datetime.now(UTC).date())
            print(f"git commit --all --message 'release: {version}'")
            return 0
        case ["check"]:
            tree = _this_tree()
            found = obstacles(tree)
            print("\n".join(found) or f"git tag --sign v{tree.version} --message 'icefarm {tree.version}'")
            return 1 if found else 0
        case ["previous"]:
            print(previous(ROOT))
            return 0
    sys.exit("usage: version.py set VERSION | check | previous")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Unfit as error:
        sys.exit(f"icefarm: {error}")
