"""What a board says of itself on USB, as its firmware does, must be what rules, worker and doctor look for.

The descriptors come from the port to the pico2-ice itself, compiled for this machine. The kernel's side is from
Linux' drivers/usb/core/sysfs.c (the attributes and their form) and drivers/usb/class/cdc-acm.c; the boot loader's from
the RP2350 datasheet, section 5.6.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from attrs import frozen

from icefarm.doctor.udev_rules import udev_rules
from icefarm.doctor.usb_tree import UsbDevice, devices_in
from icefarm.usb.usb_events import DriveAdded, TtyAdded
from icefarm.worker.usb_monitor import APPLICATION_IDS, BOOT_IDS, event_of, properties_of

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
FIRMWARE = HERE.parents[1] / "firmware"
SERIAL = "0123456789ABCDEF"
PLACE = "1-2.3"

Attributes = Mapping[str, str]


@frozen
class Node:
    """A device or interface in sysfs, as pyudev shows it."""

    sys_name: str
    texts: Attributes

    @property
    def attributes(self) -> dict[str, bytes]:
        return {name: text.encode() + b"\n" for name, text in self.texts.items()}


@frozen
class Plugged:
    """A device with its interfaces, and the class device that the kernel makes of one of them."""

    device: Node
    interfaces: tuple[Node, ...]

    def announced(self, subsystem: str, path: str, of: int, **properties: str) -> Announced:
        return Announced({"SUBSYSTEM": subsystem, "DEVNAME": path, **properties}, self.device, self.interfaces[of])


@frozen
class Announced:
    """A port or drive as the kernel alone tells of it, with its parents."""

    properties: dict[str, str]
    device: Node
    interface: Node
    action: str = "add"

    def find_parent(self, _: str, kind: str) -> Node:
        return self.device if kind == "usb_device" else self.interface


def descriptors(configuration: bytes) -> Iterator[bytes]:
    while configuration:
        yield configuration[: configuration[0]]
        configuration = configuration[configuration[0] :]


def plugged(device: bytes, configuration: bytes, texts: Mapping[int, str]) -> Plugged:
    """Return what sysfs has of a device with these descriptors (USB 2.0, tables 9-8, 9-10, 9-12), at full speed."""
    attributes = {
        "idVendor": f"{device[8] | device[9] << 8:04x}",
        "idProduct": f"{device[10] | device[11] << 8:04x}",
        "bDeviceClass": f"{device[4]:02x}",
        "bmAttributes": f"{configuration[7]:2x}",
        "bMaxPower": f"{2 * configuration[8]}mA",
        "bNumInterfaces": f"{configuration[4]:2d}",
        "manufacturer": texts[device[14]],
        "product": texts[device[15]],
        "serial": texts[device[16]],
        "speed": "12",
    }
    interfaces = tuple(
        Node(
            f"{PLACE}:1.{each[2]}",
            {
                "bInterfaceNumber": f"{each[2]:02x}",
                "bInterfaceClass": f"{each[5]:02x}",
                "bInterfaceSubClass": f"{each[6]:02x}",
                "bInterfaceProtocol": f"{each[7]:02x}",
            },
        )
        for each in descriptors(configuration)
        if each[1] == 4
    )
    return Plugged(Node(PLACE, attributes), interfaces)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Plugged:
    """A board that runs our firmware."""
    program = tmp_path_factory.mktemp("descriptors") / "descriptors"
    port = [path for path in (FIRMWARE / "ports" / "pico2_ice").glob("*.c") if path.name != "main.c"]
    parts = [*port, *(FIRMWARE / "core").glob("*.c"), *(FIRMWARE / "apps").glob("*.c")]
    fake = FIRMWARE / "tests" / "pico_sdk"
    include = ["core", "apps", "ports/pico2_ice", "tests", "tests/pico_sdk"]
    flags = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", *(f"-I{FIRMWARE / each}" for each in include)]
    sources = [HERE / "stand_ins" / "descriptors.c", fake / "fake_sdk.c", *parts]
    subprocess.run(["cc", *flags, "-o", program, *sources], check=True)
    said = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    lines = dict(line.split(" ", 1) for line in said.splitlines())
    texts = {number: lines[f"text{number}"] for number in range(1, 5)}
    return plugged(bytes.fromhex(lines["device"]), bytes.fromhex(lines["configuration"]), {0: "", **texts})


#: The boot ROM's: a drive (SCSI, bulk-only) and PICOBOOT.
LOADER = Plugged(
    Node(
        PLACE, {"idVendor": "2e8a", "idProduct": "000f", "bDeviceClass": "00", "bMaxPower": "500mA", "serial": SERIAL}
    ),
    (Node(f"{PLACE}:1.0", {"bInterfaceNumber": "00"}), Node(f"{PLACE}:1.1", {"bInterfaceNumber": "01"})),
)


def in_sysfs(root: Path, what: Plugged, node: str) -> UsbDevice:
    path = root / "bus" / "usb" / "devices" / PLACE
    (path / f"{PLACE}:1.0" / node).mkdir(parents=True)
    for name, text in what.device.texts.items():
        (path / name).write_text(text + "\n")
    (device,) = devices_in(root)
    return device


def test_the_kernel_makes_a_serial_port_of_the_boards_first_interface(board: Plugged) -> None:
    control, data = board.interfaces
    # cdc_acm takes abstract control models that speak no, or any, AT commands.
    assert (control.texts["bInterfaceClass"], control.texts["bInterfaceSubClass"]) == ("02", "02")
    assert control.texts["bInterfaceProtocol"] in ("00", "01")
    assert data.texts["bInterfaceClass"] == "0a"
    assert board.device.texts["bNumInterfaces"].strip() == "2"


def test_the_worker_recognises_the_firmwares_port_with_and_without_udevd(board: Plugged) -> None:
    port = board.announced("tty", "/dev/ttyACM0", of=0)
    assert event_of(properties_of(port)) == TtyAdded(SERIAL, "/dev/ttyACM0", "00", PLACE)
    udevs = {"ID_VENDOR_ID": "1209", "ID_MODEL_ID": "b1c0", "ID_SERIAL_SHORT": SERIAL, "ID_USB_INTERFACE_NUM": "00"}
    found = board.device.texts
    assert (found["idVendor"], found["idProduct"], found["serial"]) == tuple(udevs.values())[:3]
    assert event_of({**port.properties, **udevs, "ICEFARM_USB_PATH": PLACE}) == event_of(properties_of(port))


def test_the_worker_recognises_the_boot_drive_and_not_its_partition() -> None:
    drive = LOADER.announced("block", "/dev/sda", of=0, DEVTYPE="disk")
    assert event_of(properties_of(drive)) == DriveAdded(SERIAL, "/dev/sda", PLACE)
    assert event_of(properties_of(LOADER.announced("block", "/dev/sda1", of=0, DEVTYPE="partition"))) is None


def test_the_board_keeps_its_serial_number_from_boot_loader_to_firmware(board: Plugged) -> None:
    assert board.device.texts["serial"] == LOADER.device.texts["serial"]
    assert re.fullmatch("[0-9A-F]{16}", board.device.texts["serial"])


def test_the_doctor_sees_the_board_as_its_firmware_describes_it(board: Plugged, tmp_path: Path) -> None:
    found = in_sysfs(tmp_path, board, "tty/ttyACM0")
    assert (found.is_board, found.is_boot_drive, found.is_hub) == (True, False, False)
    assert (found.serial, found.speed, found.milliamperes) == (SERIAL, 12, 500)
    assert found.nodes == ("ttyACM0",)
    # TinyUSB's setting, which decides what the kernel finds.
    assert "OPT_MODE_FULL_SPEED" in (FIRMWARE / "ports/pico2_ice/tusb_config.h").read_text()


def test_the_doctor_sees_the_boot_drive(tmp_path: Path) -> None:
    found = in_sysfs(tmp_path, LOADER, "host0/target0:0:0/0:0:0:0/block/sda")
    assert (found.is_board, found.is_boot_drive, found.nodes) == (True, True, ("sda",))


# ------------------------------------------------------------------------------------------------------ rules

_TOKEN = re.compile(r'([A-Z_]+)(?:\{([A-Za-z_]+)\})?(==|\+=|=)"([^"]*)"')


def applied(rules: str, event: Mapping[str, str], own: Attributes, parents: Sequence[Attributes]) -> dict[str, str]:
    """Do as udevd does with an event of a device (udev(7)); return what is assigned to it."""
    assigned: dict[str, str] = {}
    goto = None
    for line in rules.splitlines():
        tokens = _TOKEN.findall(line)
        if line.startswith("#") or not tokens:
            continue
        labels = [value for key, _, _, value in tokens if key == "LABEL"]
        if goto is not None and goto not in labels:
            continue
        goto = None
        tests = [(key, name, value) for key, name, operator, value in tokens if operator == "=="]
        if not _fits(tests, event, own, parents):
            continue
        for key, name, operator, value in tokens:
            if key == "GOTO":
                goto = value
            elif operator != "==" and key != "LABEL":
                assigned[name or key] = value
    return assigned


def _fits(
    tests: Sequence[tuple[str, str, str]], event: Mapping[str, str], own: Attributes, parents: Sequence[Attributes]
) -> bool:
    above = {name: value for key, name, value in tests if key == "ATTRS"}
    for key, name, value in tests:
        if key == "ATTR" and own.get(name) != value:
            return False
        if key in ("ACTION", "SUBSYSTEM", "DRIVER", "ENV") and event.get(name or key) != value:
            return False
    # One parent, or the device itself, must have all of them.
    return any(above.items() <= dict(each).items() for each in (own, *parents))


def of_device(what: Plugged, **event: str) -> dict[str, str]:
    usb = {"ACTION": "add", "SUBSYSTEM": "usb", "DEVTYPE": "usb_device", **event}
    return applied(udev_rules("lab"), usb, what.device.texts, ())


def of_node(what: Plugged, subsystem: str, **event: str) -> dict[str, str]:
    parents = (what.interfaces[0].texts, what.device.texts)
    return applied(udev_rules("lab"), {"ACTION": "add", "SUBSYSTEM": subsystem, **event}, {}, parents)


def test_the_rules_give_the_firmwares_port_to_the_group_and_keep_modemmanager_off(board: Plugged) -> None:
    given = of_node(board, "tty")
    assert (given["GROUP"], given["MODE"], given["ID_MM_PORT_IGNORE"]) == ("lab", "0660", "1")
    assert of_device(board)["ID_MM_DEVICE_IGNORE"] == "1"


def test_the_rules_give_the_boot_drive_to_the_group_and_keep_udisks_off() -> None:
    given = of_node(LOADER, "block", DEVTYPE="disk")
    assert (given["GROUP"], given["MODE"], given["UDISKS_IGNORE"]) == ("lab", "0660", "1")
    assert of_device(LOADER)["GROUP"] == "lab"


def test_the_rules_touch_nothing_else(board: Plugged) -> None:
    other = Plugged(Node(PLACE, {**board.device.texts, "idProduct": "b1c1"}), board.interfaces)
    assert of_node(other, "tty") == of_device(other) == {}
    assert of_node(board, "block") == {}
    assert of_node(board, "tty", ACTION="remove") == {}


def test_every_id_that_the_worker_knows_is_that_of_firmware_sdk_or_boot_loader(board: Plugged) -> None:
    ours = (board.device.texts["idVendor"], board.device.texts["idProduct"])
    assert (*APPLICATION_IDS, *BOOT_IDS) == (ours, ("2e8a", "0009"), ("2e8a", "000f"))
