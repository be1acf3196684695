"""Images of real boards: what they say of themselves, and how they get where workers look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from twisted.python.usage import UsageError

from icefarm.cli import main
from icefarm.cli.commands.admin.firmware_build import Percentage, missing, source_directory
from icefarm.usb import uf2
from icefarm.worker.board.states import Firmware
from icefarm.worker.flash.images import NoImage, firmware_in, images_directory, images_in, install, read_image
from icefarm.worker.tap import Options


def put(directory: Path, name: str, mark: bytes = b"") -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_bytes(uf2.build(b"\x11" * 300 + mark + b"\x22" * 300))
    return path


def mark(name: str, version: str) -> bytes:
    return f"icefarm-firmware:{name}:{version}\0".encode()


def test_an_image_says_what_it_is() -> None:
    assert firmware_in(b"\xff\x00" + mark("pulse_count", "1.2.0") + b"\x00") == Firmware("pulse_count", "1.2.0")


def test_an_image_of_somebody_else_says_nothing() -> None:
    assert firmware_in(b"icefarm-firmware:" + bytes(100)) is None


def test_an_image_under_another_ones_name_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, "variance-1.0.0.uf2", mark("variance", "1.1.0"))
    with pytest.raises(NoImage, match=r"it holds variance 1.1.0, so its name must be variance-1.1.0.uf2"):
        read_image(path)


def test_an_image_that_says_nothing_is_taken_at_its_name(tmp_path: Path) -> None:
    assert read_image(put(tmp_path, "spectrum-0.1.uf2")).firmware == Firmware("spectrum", "0.1")


def test_an_installed_image_replaces_other_versions_of_its_application(tmp_path: Path) -> None:
    there = tmp_path / "there"
    for name in ("default-1.0.0.uf2", "default-0.9.uf2", "pulse_count-1.0.0.uf2", "default-notes.txt"):
        put(there, name)
    assert install(put(tmp_path, "default-1.1.0.uf2", mark("default", "1.1.0")), there) == [
        Firmware("default", "1.1.0")
    ]
    assert sorted(path.name for path in there.iterdir()) == [
        "default-1.1.0.uf2", "default-notes.txt", "pulse_count-1.0.0.uf2",
    ]  # fmt: skip
    assert images_in(there, "real boards").default == Firmware("default", "1.1.0")


def test_all_images_of_a_directory_are_installed(tmp_path: Path) -> None:
    source = tmp_path / "built"
    put(source, "default-1.0.0.uf2")
    put(source, "variance-1.0.0.uf2")
    install(source, tmp_path / "new" / "directory")
    assert set(images_in(tmp_path / "new" / "directory", "").by_name) == {"default", "variance"}


def test_nothing_is_installed_of_a_directory_with_a_bad_image(tmp_path: Path) -> None:
    source = tmp_path / "built"
    put(source, "default-1.0.0.uf2")
    (source / "variance-1.0.0.uf2").write_bytes(b"no blocks")
    with pytest.raises(NoImage, match="variance"):
        install(source, tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_a_directory_without_images_installs_nothing(tmp_path: Path) -> None:
    with pytest.raises(NoImage, match="no file APPLICATION-VERSION"):
        install(tmp_path, tmp_path / "there")


def test_images_are_with_the_users_other_files() -> None:
    assert images_directory({"HOME": "/home/ann"}) == Path("/home/ann/.local/share/icefarm/firmware")
    assert images_directory({"HOME": "/home/ann", "XDG_DATA_HOME": "/srv/x"}) == Path("/srv/x/icefarm/firmware")
    assert images_directory({"HOME": "/home/ann", "XDG_DATA_HOME": "relative"}).is_relative_to("/home/ann")


def worker_options(tmp_path: Path, *arguments: str) -> Options:
    options = Options(environment={"XDG_DATA_HOME": str(tmp_path)})
    options.parseOptions(arguments)
    return options


def test_a_worker_finds_installed_images_by_itself(tmp_path: Path) -> None:
    there = images_directory({"XDG_DATA_HOME": str(tmp_path)})
    assert worker_options(tmp_path)["images"] is None
    install(put(tmp_path, "default-1.0.0.uf2"), there)
    assert worker_options(tmp_path)["images"] == there
    assert worker_options(tmp_path, "--images", str(tmp_path))["images"] == tmp_path


def test_installed_images_are_nothing_to_a_worker_that_leaves_usb_alone(tmp_path: Path) -> None:
    there = images_directory({"XDG_DATA_HOME": str(tmp_path)})
    there.mkdir(parents=True)
    (there / "default-1.0.0.uf2").write_bytes(b"no blocks")
    assert worker_options(tmp_path, "--no-usb")["images"] is None
    with pytest.raises(UsageError, match=r"default-1\.0\.0\.uf2"):
        worker_options(tmp_path)


def test_boards_that_are_loaded_slowly_are_named_by_their_serials(tmp_path: Path) -> None:
    options = worker_options(tmp_path, "--slow-load", "0123456789ABCDEF, FEDCBA9876543210")
    assert options["slow-load"] == {"0123456789ABCDEF", "FEDCBA9876543210"}
    assert worker_options(tmp_path)["slow-load"] == frozenset()
    with pytest.raises(UsageError, match="16 hexadecimal digits"):
        worker_options(tmp_path, "--slow-load", "ttyACM0")


# --------------------------------------------------------------------------------------------- the command line


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, ["firmware", *arguments], env=environment)


def test_an_image_of_another_version_than_this_icefarms_is_not_current(tmp_path: Path) -> None:
    put(tmp_path, "default-0.0.1.uf2")
    records = json.loads(run("list", "-o", "json", ICEFARM_IMAGES=str(tmp_path)).stdout)
    (real,) = [record for record in records if record["boards"] == "real"]
    assert (real["name"], real["version"], real["current"], real["bytes"]) == ("default", "0.0.1", False, 768)


def test_images_of_virtual_boards_are_listed_too(tmp_path: Path) -> None:
    records = json.loads(run("list", "-o", "json", "--images", str(tmp_path)).stdout)
    assert {record["name"] for record in records if record["boards"] == "virtual"} >= {"default", "pulse_count"}


def test_install_says_where_the_image_is_now(tmp_path: Path) -> None:
    path = put(tmp_path, "default-1.0.0.uf2")
    result = run("install", str(path), "--images", str(tmp_path / "there"))
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path}/there/default-1.0.0.uf2\n")


def test_what_is_no_image_is_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "default-1.0.0.uf2"
    path.write_bytes(b"MZ")
    result = run("install", str(path), "--images", str(tmp_path / "there"))
    assert result.exit_code == 1
    assert "not a whole number of 512-byte blocks" in result.stderr
    assert result.stderr.count("\n") == 1


def test_all_that_a_build_lacks_is_said_at_once() -> None:
    lacks = "\n".join(missing({}, lambda _: None))
    for word in (
        "gcc-arm-none-eabi", "libnewlib-arm-none-eabi", "libstdc++-arm-none-eabi-newlib", "apt-get install cmake",
        "PICO_SDK_PATH", "lib/tinyusb",
    ):  # fmt: skip
        assert word in lacks


def test_the_sources_are_those_of_the_checkout() -> None:
    source = source_directory()
    assert source is not None
    assert (source / "cram.pio").is_file()
    assert not any("sources" in line for line in missing({}, lambda _: None))


def test_a_pico_sdk_that_is_too_old_is_named_with_its_version(tmp_path: Path) -> None:
    (tmp_path / "pico_sdk_init.cmake").touch()
    version = tmp_path / "pico_sdk_version.cmake"
    for minor, too_old in ((1, True), (2, False)):
        version.write_text(f"set(PICO_SDK_VERSION_MAJOR 2)\nset(PICO_SDK_VERSION_MINOR {minor})\n")
        lacks = missing({"PICO_SDK_PATH": str(tmp_path)}, lambda _: None)
        assert any(f"is version 2.{minor}" in line for line in lacks) is too_old


def test_a_bar_of_the_build_never_goes_back() -> None:
    steps: list[None] = []
    percentage = Percentage(lambda: steps.append(None))
    for reached, shown in ((4, 4), (3, 4), (51, 51), (51, 51), (100, 100)):
        percentage.reached(reached)
        assert len(steps) == shown


def test_a_pico_sdk_that_is_none_is_named(tmp_path: Path) -> None:
    lacks = missing({"PICO_SDK_PATH": str(tmp_path)}, lambda _: None)
    assert any(f"{tmp_path} (PICO_SDK_PATH) is not the pico-sdk" in line for line in lacks)


def test_a_pico_sdk_without_its_submodule_is_told_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "pico_sdk_init.cmake").touch()
    environment = {"PICO_SDK_PATH": str(tmp_path)}
    assert any("submodule update --init lib/tinyusb" in line for line in missing(environment, lambda _: None))
    (tmp_path / "lib" / "tinyusb" / "src").mkdir(parents=True)
    (tmp_path / "lib" / "tinyusb" / "src" / "tusb.h").touch()
    assert not any("tinyusb" in line for line in missing(environment, lambda _: None))


def test_a_build_that_lacks_something_fails(tmp_path: Path) -> None:
    result = run("build", "--into", str(tmp_path / "into"), PATH=str(tmp_path), PICO_SDK_PATH="")
    assert result.exit_code == 1
    assert "gcc-arm-none-eabi" in result.stderr
    assert not (tmp_path / "into").exists()
