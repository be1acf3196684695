"""The ``icefarm-worker`` plugin of twistd and twist: options, and the service made of them."""

from __future__ import annotations

import re
import secrets
import socket
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure

from icefarm import __version__
from icefarm.concurrency.prompt.icefarm_large_pages import gather_later
from icefarm.concurrency.prompt.icefarm_prompt import poll_directly
from icefarm.contract import NAME_RULE, Role, normal_name, valid_name
from icefarm.errors import InvalidArgument, NotAuthorized
from icefarm.kinds.builtin import BUILTIN
from icefarm.kinds.registry import load_kinds
from icefarm.system.command import find
from icefarm.system.files import Locked
from icefarm.system.open_files import allow_open_files
from icefarm.twistd.collecting import spare_what_is_there
from icefarm.twistd.exit import stop_as_failed
from icefarm.twistd.json_log import LOG_FORMAT, LOG_LEVEL, follows_evaluations, logged
from icefarm.twistd.options import LayeredOptions, Setting, choice, existing_file, number
from icefarm.twistd.parsers import certificates, directory, span_of_boards, url
from icefarm.virtual.images import BoardsFailed, MissingBoards, program
from icefarm.virtual.models import MODELS
from icefarm.virtual.usb_bus import VirtualBusOptions
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link
from icefarm.wamp.url import DEFAULT_URL
from icefarm.worker.archive.spool import FileSpool, MemorySpool, Spool
from icefarm.worker.board.serial_hardware import SerialHardware
from icefarm.worker.control_link.alive import AliveFile
from icefarm.worker.control_link.link import WorkerIdentity
from icefarm.worker.flash.hub_power import HubPower
from icefarm.worker.flash.images import NoImage, images_directory, images_in
from icefarm.worker.flash.picotool import Picotool
from icefarm.worker.service import Worker
from icefarm.worker.sources import RealBoards, Source, VirtualBoards

__all__ = ["Options", "makeService"]

#: Descriptors that a board takes: its port, and two pipes of pyserial's.
DESCRIPTORS = 5
#: Those for everything else.
DESCRIPTORS_BESIDE = 100
#: The most boards expected on one worker, for the limit of descriptors.
MOST_BOARDS = 1000


def _name(text: str) -> str:
    name = normal_name(text)
    if not valid_name(name):
        raise ValueError(f"must be {NAME_RULE}, not {text!r}")
    return name


def _serials(text: str) -> frozenset[str]:
    serials = [part.strip() for part in text.split(",") if part.strip()]
    for serial in serials:
        if re.fullmatch(r"[0-9A-F]{16}", serial, re.ASCII) is None:
            raise ValueError(f"must be serials of 16 hexadecimal digits (upper case), not {serial!r}")
    return frozenset(serials)


def _megabytes(text: str) -> float:
    size = number(text)
    if size < 1:
        raise ValueError(f"must be a number of megabytes, at least 1, not {text!r}")
    return size


def _model(text: str) -> str:
    if text in MODELS:
        return text
    if not text.endswith(".so"):
        raise ValueError(f"must be {', '.join(map(repr, MODELS))}, or a file that ends in .so, not {text!r}")
    return existing_file(text)


def _speed(text: str) -> str:
    if text not in ("real", "instant") and number(text) <= 0:
        raise ValueError(f"must be real, instant or a factor above 0, not {text!r}")
    return text


class Options(LayeredOptions):
    """Options of the worker."""

    section = "worker"
    settings = (
        Setting("control", "the farm's router", "URL", DEFAULT_URL, url),
        Setting("name", "this worker's name in the farm; default: the name of the host", "NAME", parse=_name),
        Setting("token", "the token that the worker signs in with", "FILE", secret=True),
        Setting("ca-file", "trust the certificates in this PEM file at an https:// URL", "FILE", parse=certificates),
        Setting(
            "images",
            'firmware for real boards: APPLICATION-VERSION.uf2; default: where "icefarm firmware install" puts it',
            "DIR",
            parse=directory,
        ),
        Setting(
            "virtual-boards",
            "how many virtual boards to run: a number, or 4..64 for as many as needed",
            "N",
            "0",
            span_of_boards,
        ),
        Setting("speed", "speed of virtual boards: real, instant, or a factor", "SPEED", "real", _speed),
        Setting(
            "model",
            "what virtual boards do with a bitstream: simulated, landscape, simulated,landscape, or FILE.so",
            "MODEL",
            MODELS[0],
            _model,
        ),
        Setting("offset-ppm", "the largest offset of a virtual board", "PPM", "0", number),
        Setting("noise", "the standard deviation of virtual boards' measurements", "PPM", "0", number),
        Setting("drift-ppm-per-day", "the largest drift of a virtual board", "PPM", "0", number),
        Setting("ppm-per-kelvin", "the largest temperature coefficient of a virtual board", "PPM", "0", number),
        Setting("virtual-commands", "take commands for virtual boards (faults, unplug) at this Unix socket", "SOCKET"),
        Setting(
            "power-cycle",
            "cycle the power of a board's hub port, with uhubctl, when nothing else has recovered it",
            "auto|never",
            "auto",
            choice("auto", "never"),
        ),
        Setting(
            "slow-load",
            "load the FPGA of these boards (serials, separated by commas) at half speed, if they fail at full speed",
            "SERIALS",
            "",
            _serials,
        ),
        Setting(
            "spool",
            "keep measurements here until control has archived them; without it, in memory",
            "DIR",
        ),
        Setting(
            "spool-size",
            "megabytes of measurements that the spool holds; beyond, the oldest are dropped",
            "MB",
            "1000",
            _megabytes,
        ),
        Setting("alive-file", "touch this file whenever control has answered a heartbeat, for health checks", "FILE"),
        Setting("insecure", "send the token without TLS to another host, where others can read it", flag=True),
        LOG_FORMAT,
        LOG_LEVEL,
        Setting("no-usb", "ignore the boards on this host's USB", flag=True),
    )

    def postOptions(self) -> None:
        super().postOptions()
        if self["name"] is None:
            self["name"] = _host_name()
        try:
            if self["virtual-boards"][1] > 0:
                program()
            if self["images"] is None and not self["no-usb"]:
                installed = images_directory(self._environment)
                self["images"] = installed if installed.is_dir() else None
            if self["images"] is not None:
                images_in(self["images"], "real boards")
        except (MissingBoards, NoImage) as error:
            raise usage.UsageError(str(error)) from None


def _host_name() -> str:
    host = socket.gethostname()
    return host if valid_name(host) else "worker"


def _sources(options: Options, reactor: Any) -> list[Source]:
    sources: list[Source] = []
    least, most = options["virtual-boards"]
    if most > 0:
        virtual = VirtualBusOptions(
            boards=most,
            plugged=None if least == most else least,
            seed=options["name"],
            speed=options["speed"],
            model=options["model"],
            offset_ppm=options["offset-ppm"],
            noise_ppm=options["noise"],
            drift_ppm_per_day=options["drift-ppm-per-day"],
            ppm_per_kelvin=options["ppm-per-kelvin"],
        )
        commands = options["virtual-commands"]
        sources.append(VirtualBoards(reactor, virtual, None if commands is None else Path(commands)))
    if not options["no-usb"]:
        sources.append(RealBoards(reactor, options["images"]))
    return sources


def _hardware(options: Options, reactor: Any) -> SerialHardware:
    picotool = find("picotool")
    uhubctl = find("uhubctl") if options["power-cycle"] == "auto" and not options["no-usb"] else None
    return SerialHardware(
        reactor,
        None if picotool is None else Picotool(reactor, picotool),
        power=None if uhubctl is None else HubPower(reactor, uhubctl),
    )


def _spool(options: Options, log: Logger) -> Spool:
    """Open the spool; where that is impossible, the worker goes on with one in memory."""
    directory = options["spool"]
    if directory is None:
        return MemorySpool()
    try:
        return FileSpool.open(Path(directory), int(options["spool-size"] * 1e6))
    except (OSError, Locked) as error:
        log.warn(
            "measurements wait for the archive in memory, and are lost if the worker is killed: the spool {directory} "
            "cannot be used ({error})",
            directory=directory, error=error,
        )  # fmt: skip
        return MemorySpool()


def makeService(options: Options) -> Any:
    """Return the worker as a service (for twistd and twist)."""
    from twisted.internet import reactor

    spare_what_is_there()
    poll_directly(reactor)
    gather_later(reactor)
    return logged(_service(options), options)


@frozen
class _Process:
    """This process, as `icefarm.worker.control_link.shutdown.WorkerProcess`."""

    _reactor: Any
    _options: Options
    _log: Logger

    def failed(self, failure: Failure) -> None:
        if failure.check(MissingBoards, BoardsFailed, NoImage, InvalidArgument, OSError, CannotListenError):
            self._log.critical("the worker cannot start: {why}", why=failure.getErrorMessage())
        elif failure.check(NotAuthorized):
            self._log.critical(
                "the farm at {url} refuses worker {name!r}: {why}",
                url=self._options["control"], name=self._options["name"], why=failure.getErrorMessage(),
            )  # fmt: skip
        else:
            self._log.failure("the worker cannot start", failure)
        stop_as_failed(self._reactor)

    def left(self) -> None:
        # twistd exits with 0 then, which tells its supervisor not to restart it.
        self._reactor.stop()


def _service(options: Options) -> Worker:
    from twisted.internet import reactor as the_reactor

    reactor: Any = the_reactor
    log = Logger(namespace="icefarm.worker")

    allow_open_files(MOST_BOARDS * DESCRIPTORS + DESCRIPTORS_BESIDE)
    identity = WorkerIdentity(options["name"], secrets.token_hex(8), socket.gethostname(), __version__)
    credentials = Credentials(identity.name, Role.WORKER, identity.instance, options["token"] or "")
    return Worker(
        identity,
        reactor,
        _hardware(options, reactor),
        load_kinds(BUILTIN, log),
        _sources(options, reactor),
        lambda joined, refused: Link(
            reactor,
            options["control"],
            credentials,
            joined,
            refused,
            ca_file=options["ca-file"],
            insecure=options["insecure"] or None,
        ),
        _Process(reactor, options, log),
        options["slow-load"],
        _spool(options, log),
        follows_evaluations(options),
        AliveFile(None if options["alive-file"] is None else Path(options["alive-file"])),
    )
