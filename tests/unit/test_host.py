"""A host's udev rules, and what `icefarm doctor` finds on recorded hosts."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from recorded_host import SERIAL, Host

from icefarm.doctor.udev_rules import RULES_FILE, udev_rules
from icefarm.doctor.usb_tree import devices_in, parent_of
from icefarm.worker.usb_monitor import APPLICATION_IDS, BOOT_IDS

#: One match or assignment of a rule (udev(7)).
_TOKEN = re.compile(r'[A-Z_]+(?:\{[A-Za-z_]+\})?(?:==|!=|\+=|=)"[^"]*"')


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    host.plug("1-2", APPLICATION_IDS[0], ["tty/ttyACM0"])
    return host


# ---------------------------------------------------------------------------------------------------- rules


def test_each_rule_is_well_formed() -> None:
    for line in udev_rules("lab", hubs=True).splitlines():
        if line and not line.startswith("#"):
            assert _TOKEN.sub("", line).replace(",", "").strip() == "", line


def test_every_board_that_the_worker_knows_has_rules() -> None:
    lines = udev_rules().splitlines()
    for ids, subsystem in [*((ids, "tty") for ids in APPLICATION_IDS), *((ids, "block") for ids in BOOT_IDS)]:
        for kind in (subsystem, "usb"):
            (rule,) = [
                line for line in lines if f'SUBSYSTEM=="{kind}"' in line and all(f'"{each}"' in line for each in ids)
            ]
            assert 'MODE="0660"' in rule
            assert 'GROUP="plugdev"' in rule


@pytest.mark.parametrize("group", ["", "a b", 'x"', "ROOT", "x" * 33])
def test_what_is_no_group_is_refused(host: Host, group: str) -> None:
    assert host.icefarm("udev", "print", "--group", group).exit_code == 2


def test_the_rules_are_printed_for_a_group(host: Host) -> None:
    assert host.icefarm("udev", "print", "--group", "lab").stdout == udev_rules("lab")


def test_installing_writes_the_rules_and_tells_udevd(host: Host, tmp_path: Path) -> None:
    result = host.icefarm("udev", "install", "--directory", str(tmp_path))
    assert result.exit_code == 0
    assert (tmp_path / RULES_FILE).read_text() == udev_rules()
    assert [command[:2] for command in host.ran] == [["udevadm", "control"], ["udevadm", "trigger"]]


def test_where_no_udevd_runs_the_rules_are_written_all_the_same(host: Host, tmp_path: Path) -> None:
    (host.root / "run/udev/control").unlink()
    result = host.icefarm("udev", "install", "--directory", str(tmp_path))
    assert (result.exit_code, host.ran) == (0, [])
    assert "no udevd runs here" in result.stdout
    assert (tmp_path / RULES_FILE).exists()


def test_installing_without_the_right_to_says_how(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/home/ada/my farm/bin/python3")
    result = host.icefarm("udev", "install", "--directory", str(tmp_path / "absent"))
    assert result.exit_code == 1
    assert "sudo '/home/ada/my farm/bin/python3' -m icefarm udev install" in result.stderr
    assert host.ran == []


def test_a_command_of_the_doctor_can_be_pasted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_rules(host)
    monkeypatch.setattr(sys, "executable", "/home/ada/my farm/bin/python3")
    assert "sudo '/home/ada/my farm/bin/python3' -m icefarm udev install" in host.doctor().output


def test_installing_for_a_group_that_is_not_there_says_how_to_make_it(host: Host, tmp_path: Path) -> None:
    result = host.icefarm("udev", "install", "--directory", str(tmp_path), "--group", "lab")
    assert "groupadd --system lab" in result.stderr
    assert not (tmp_path / RULES_FILE).exists()


def test_udevd_that_fails_is_reported(host: Host, tmp_path: Path) -> None:
    host.answers["udevadm"] = (1, "no permission")
    result = host.icefarm("udev", "install", "--directory", str(tmp_path))
    assert (result.exit_code, "no permission" in result.stderr) == (1, True)


# ---------------------------------------------------------------------------------------------------- doctor


def test_a_host_in_order_ends_with_0(host: Host) -> None:
    result = host.doctor()
    assert result.exit_code == 0, result.output
    assert f"board {SERIAL} at USB 1-2: firmware, 12 Mbit/s" in result.output


def _without_rules(host: Host) -> None:
    (host.root / "etc/udev/rules.d" / RULES_FILE).unlink()


def _other_group(host: Host) -> None:
    host.own_groups = {"users"}


def _forbidden(host: Host) -> None:
    host.usable = False


def _slow(host: Host) -> None:
    host.plug("1-3", APPLICATION_IDS[0], ["tty/ttyACM1"], speed="1.5")


def _no_node(host: Host) -> None:
    host.plug("1-3", APPLICATION_IDS[0])


def _same_serial(host: Host) -> None:
    host.plug("1-3", APPLICATION_IDS[0], ["tty/ttyACM1"])


def _no_serial(host: Host) -> None:
    host.plug("1-3", APPLICATION_IDS[1], ["tty/ttyACM1"], serial="")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_without_rules, "icefarm udev install"),
        (_other_group, "usermod -aG plugdev"),
        (_forbidden, "you may not use /dev/ttyACM0"),
        (_slow, "another cable"),
        (_no_node, "neither serial port nor drive"),
        (_no_serial, "no serial number"),
        (_same_serial, f"the boards at USB 1-2 and 1-3 have the same serial number {SERIAL}"),
    ],
)
def test_what_is_wrong_is_named_with_its_cure_and_ends_with_1(host: Host, spoil: Any, words: str) -> None:
    spoil(host)
    result = host.doctor()
    assert result.exit_code == 1
    assert words in result.output


def _old_rules(host: Host) -> None:
    host.write(f"etc/udev/rules.d/{RULES_FILE}", "# of another version\n")


def _brltty(host: Host) -> None:
    host.write("proc/77/comm", "brltty\n")


def _over_current(host: Host) -> None:
    host.answers["dmesg"] = (0, "[1.0] usb 1-2-port3: over-current condition\n")


def _secret_log(host: Host) -> None:
    host.answers["dmesg"] = (1, "Operation not permitted")


def _hungry_hub(host: Host) -> None:
    host.plug("1-4", ("05e3", "0608"), bDeviceClass="09", bMaxPower="100mA", bmAttributes="a0", serial="")
    for port in (1, 2):
        host.plug(f"1-4.{port}", APPLICATION_IDS[0], [f"tty/ttyACM{port}"], serial=f"{port:016X}")


def _no_udevd(host: Host) -> None:
    (host.root / "run/udev/control").unlink()


def _slow_python(host: Host) -> None:
    host.python["CONFIG_ARGS"] = "'--prefix=/home/ada/.pyenv/versions/3.11.7' '--enable-shared'"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_slow_python, "this Python was built without optimisations"),
        (_old_rules, "is not that of this version"),
        (_brltty, "braille"),
        (_over_current, "over-current"),
        (_secret_log, "cannot be read"),
        (_hungry_hub, "is unpowered, and its devices request 500 mA"),
        (_no_udevd, "no udevd runs"),
    ],
)
def test_what_is_odd_is_a_warning(host: Host, change: Any, words: str) -> None:
    change(host)
    result = host.doctor()
    assert result.exit_code == 0
    assert words in result.output


@pytest.mark.parametrize(
    "built",
    [
        {"CONFIG_ARGS": "'--enable-optimizations' '--with-lto'", "PGO_PROF_USE_FLAG": "-fprofile-use"},
        # Debian optimises by rules of its own.
        {"CONFIG_ARGS": "'--enable-shared' '--prefix=/usr'", "PGO_PROF_USE_FLAG": ""},
        # Nothing is known.
        {},
    ],
)
def test_a_python_that_is_optimised_or_may_be_is_no_cause_for_concern(host: Host, built: dict[str, str]) -> None:
    host.python = built
    assert "optimis" not in host.doctor().output


def test_a_hub_with_a_supply_of_its_own_is_no_cause_for_concern(host: Host) -> None:
    _hungry_hub(host)
    host.write("sys/bus/usb/devices/1-4/bmAttributes", "e0\n")
    assert "supply" not in host.doctor().output


LISTED = (
    "Current status for hub 1-4 [05e3:0608, USB 2.00, 4 ports, ppps]\n  Port 1: 0103 power enable connect [1209:b1c0]\n"
)


def test_a_hub_that_switches_its_ports_one_by_one_is_told_of(host: Host) -> None:
    _hungry_hub(host)
    host.answers["uhubctl"] = (0, LISTED)
    output = host.doctor().output
    assert "the hub at USB 1-4 (2 boards) switches its ports one by one" in output
    assert "the hub at USB 1 (1 board) switches all of its ports at once, or none: its power is left alone" in output


def test_a_hub_that_may_not_be_used_has_a_cure(host: Host) -> None:
    _hungry_hub(host)
    host.answers["uhubctl"] = (1, "There were permission problems while accessing USB.")
    bus, device = (host.read(f"sys/bus/usb/devices/1-4/{name}") for name in ("busnum", "devnum"))
    host.forbidden = {host.root / f"dev/bus/usb/{int(bus):03}/{int(device):03}"}
    result = host.doctor("--group", "plugdev")
    assert "icefarm udev install --hubs" in result.output


def test_without_uhubctl_nothing_is_asked_of_hubs(host: Host) -> None:
    assert "boards are recovered without" in host.doctor().output


def test_the_rules_for_hubs_are_wanted_or_not(host: Host, tmp_path: Path) -> None:
    assert "hub" not in udev_rules().replace("github", "")
    host.icefarm("udev", "install", "--hubs", "--directory", str(tmp_path))
    text = (tmp_path / RULES_FILE).read_text()
    assert text == udev_rules(hubs=True)
    host.write(f"etc/udev/rules.d/{RULES_FILE}", text)
    assert "ok   udev rules: " in host.doctor().output


def test_services_that_the_rules_keep_off_are_named(host: Host) -> None:
    host.write("proc/12/comm", "ModemManager\n")
    host.write("proc/13/comm", "udisksd\n")
    output = host.doctor().output
    assert "ok   ModemManager runs; the udev rules tell it to keep off boards" in output
    assert "ok   udisksd runs; the udev rules tell it to keep off boards" in output


@pytest.mark.parametrize(("service", "words"), [("ModemManager", "for a modem"), ("udisksd", "mounts boot drives")])
def test_services_that_nothing_keeps_off_are_explained(host: Host, service: str, words: str) -> None:
    _without_rules(host)
    host.write("proc/12/comm", service + "\n")
    output = host.doctor().output
    assert f"warn {service} runs, which" in output
    assert words in output
    assert "no udev rules keep it off boards" in output


def test_a_boot_drive_is_seen_with_its_node(host: Host) -> None:
    host.plug("1-2", BOOT_IDS[0], ["host0/target0:0:0/0:0:0:0/block/sda"])
    (board,) = devices_in(host.root / "sys")
    assert (board.is_boot_drive, "sda" in board.nodes) == (True, True)


def test_a_host_without_usb_has_no_devices(tmp_path: Path) -> None:
    assert devices_in(tmp_path) == ()


def test_what_hangs_on_what_follows_from_the_names() -> None:
    assert [parent_of(name) for name in ("1-2", "1-2.3", "1-2.3.4")] == [None, "1-2", "1-2.3"]
