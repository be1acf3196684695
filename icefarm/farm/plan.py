"""Pure: no I/O, no clock.  A farm's options, and the command lines of its services."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from pathlib import Path

from attrs import Factory, evolve, frozen

from icefarm.contract import account_of, identity_of
from icefarm.farm.limits import GivenLimits
from icefarm.farm.paths import DataDirectory
from icefarm.farm.processes.process import Program
from icefarm.farm.router.config import Address

__all__ = ["MOST_ROUTERS", "FarmOptions", "control_program", "own_environment", "worker_program"]

#: Routers of one host, at most.
MOST_ROUTERS = 16

#: A line of Twisted's log at a level that users should see: "2026-11-22T16:13:08+0000 [namespace#level] text".
_COMPLAINT = re.compile(r"^\S+ \[[^\]]*#(?:error|critical)\] (?P<text>.*)$")

#: The same as an object (`icefarm.log_format`).
_COMPLAINT_IN_JSON = re.compile(
    r'^\{"time": "[^"]*", "level": "(?:error|critical)", "logger": "[^"]*", "message": "(?P<text>(?:[^"\\]|\\.)*)"'
)

#: Control's log line when the router has admitted it.
_JOINED = re.compile(r"control is at the router")


@frozen
class FarmOptions:
    """The options of ``icefarm up``."""

    data_dir: Path
    #: Boards of this host's worker; 0: no worker.
    boards: int = 4
    #: Virtual boards that it plugs in on demand, these included; None: no others.
    most_boards: int | None = None
    listen: Address = ("127.0.0.1", 8080)
    #: Where control serves HTTP to the router; None: at any free port of the loopback interface.
    http: Address | None = None
    #: Connection string of a running PostgreSQL; None: a private one.
    database: str | None = None
    #: Where control joins an existing router; None: start one.
    router: str | None = None
    router_ticket_file: Path | None = None
    #: Where others reach that router; None: at the same URL as control.
    url: str | None = None
    #: PEM file with the certificates that are trusted at that router; None: those that the system trusts.
    ca_file: Path | None = None
    #: The farm's URL from outside, if a proxy is in front of it.
    public_url: str | None = None
    crossbar: str | None = None
    #: The farm's own routers; each has a worker with its part of the boards.
    routers: int = 1
    #: The URLs of the routers after the first from outside, if a proxy is in front of them.
    router_urls: tuple[str, ...] = ()
    #: A second node of each of the farm's own routers stands by.
    standby: bool = True
    name: str = "worker"
    speed: str = "real"
    model: str | None = None
    offset_ppm: float | None = None
    noise: float | None = None
    drift_ppm_per_day: float | None = None
    ppm_per_kelvin: float | None = None
    grace: float | None = None
    worker_grace: float | None = None
    reservation: float | None = None
    #: Everybody needs a token, also where only this host reaches the farm.
    require_tokens: bool = False
    #: "on" or "off"; days and gigabytes of measurements that are kept, and where days go before they are dropped.
    archive: str | None = None
    archive_days: float | None = None
    archive_size: float | None = None
    archive_export: Path | None = None
    #: Megabytes of circuits that are kept for each account.
    archive_circuits: float | None = None
    #: Each account sees its own experiments only.
    private: bool = False
    #: How boards are shared (docs/sharing.md); None: control's default.
    half_life: float | None = None
    max_hold_while_waited: float | str | None = None
    preemptible: bool = False
    most_sharers: int | None = None
    #: Whether idle boards measure reference circuits, and what becomes of those that are unlike the others.
    calibration: bool = True
    suspect_boards: str | None = None
    #: What each account and each connection may cost, where that differs from the defaults.
    limits: GivenLimits = Factory(GivenLimits)
    #: Proxies in front of the farm's own router that say whose connections they pass on.
    proxies: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    #: "json": each line of the logs is an object; None: text.
    log_format: str | None = None
    #: Of logs in JSON: "debug" or "info".
    log_level: str | None = None
    #: Control's options for the lab's own sign-in, by their names.
    oidc: Mapping[str, object] = Factory(dict)

    @property
    def has_worker(self) -> bool:
        """Whether this host's worker is started."""
        return self.boards > 0 or bool(self.most_boards)

    @property
    def boards_in_words(self) -> str:
        """How many virtual boards the worker has, as its option says it."""
        return str(self.boards) if self.most_boards is None else f"{self.boards}..{self.most_boards}"

    def workers(self) -> list[FarmOptions]:
        """Return the options of the worker at each router: the boards are dealt out.

        Their names are of one account, for which there is one token.
        """
        return [
            evolve(
                self,
                name=self.name if number == 0 else identity_of(account_of(self.name), f"{self.name}-{number + 1}"),
                boards=_part(self.boards, number, self.routers),
                most_boards=None if self.most_boards is None else _part(self.most_boards, number, self.routers),
            )
            for number in range(self.routers)
        ]


def _part(amount: int, number: int, parts: int) -> int:
    """Return one part of an amount; the first parts have one more if it does not come out even."""
    return amount // parts + (number < amount % parts)


def own_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the farm's processes, without variables that would set their options."""
    return {name: value for name, value in environment.items() if not name.startswith(("ICEFARM_", "USBIPICE_"))}


def control_program(
    options: FarmOptions,
    *,
    twistd: str,
    router: str,
    ticket_file: Path,
    database: str,
    http: Address,
    sign_in: str,
    environment: Mapping[str, str],
) -> Program:
    """Return how to run control.  The database's address may contain a password, so it is in the environment."""
    flags: dict[str, object] = {
        "router": router,
        "ca-file": options.ca_file,
        "router-ticket-file": ticket_file,
        "http": f"{http[0]}:{http[1]}",
        "public-url": options.public_url,
        # A relative path would name another file where control runs.
        "data-dir": DataDirectory(options.data_dir).path,
        "sign-in": sign_in,
        "grace": options.grace,
        "worker-grace": options.worker_grace,
        "reservation": options.reservation,
        "log-format": options.log_format,
        "log-level": options.log_level,
        **options.oidc,
        "archive": options.archive,
        "archive-days": options.archive_days,
        "archive-size": options.archive_size,
        "archive-export": options.archive_export,
        "archive-circuits": options.archive_circuits,
        "private": options.private or None,
        "half-life": options.half_life,
        "max-hold-while-waited": options.max_hold_while_waited,
        "preemptible": options.preemptible or None,
        "most-sharers": options.most_sharers,
        "no-calibration": None if options.calibration else True,
        "suspect-boards": options.suspect_boards,
        "limit": ",".join(f"{name}={value:.15g}" for name, value in options.limits.account.items()) or None,
    }
    program = _service(
        "control", twistd, flags, options, {**own_environment(environment), "ICEFARM_DATABASE": database}
    )
    # The farm's own router starts meanwhile, and admits it. At an existing router another control may already answer
    # in its place.
    return program if options.router is None else evolve(program, ready=_JOINED)


def worker_program(
    options: FarmOptions,
    *,
    twistd: str,
    url: str,
    token_file: Path | None,
    environment: Mapping[str, str],
    label: str = "worker",
) -> Program:
    """Return how to run a worker of this host, with its virtual boards; ``label`` names it and its log."""
    flags: dict[str, object] = {
        "control": url,
        "ca-file": options.ca_file,
        "name": options.name,
        "token-file": token_file,
        "virtual-boards": options.boards_in_words,
        "speed": options.speed,
        "model": options.model,
        "offset-ppm": options.offset_ppm,
        "noise": options.noise,
        "drift-ppm-per-day": options.drift_ppm_per_day,
        "ppm-per-kelvin": options.ppm_per_kelvin,
        "spool": DataDirectory(options.data_dir).spool(options.name),
        "log-format": options.log_format,
        "log-level": options.log_level,
        # Trying out a farm must not take the boards on this host's USB; a worker started for them does.
        "no-usb": True,
    }
    program = _service("worker", twistd, flags, options, own_environment(environment))
    log = DataDirectory(options.data_dir).log(label.replace(" ", "-"))
    leaves = "it was drained for that; restart the farm to have it back"
    return evolve(program, name=label, log=log, leaves=leaves)


def _service(
    name: str, twistd: str, flags: Mapping[str, object], options: FarmOptions, environment: Mapping[str, str]
) -> Program:
    given = tuple(
        f"--{flag}" if value is True else f"--{flag}={value}" for flag, value in flags.items() if value is not None
    )
    directory = DataDirectory(options.data_dir)
    return Program(
        name=name,
        # No pid file: the farm knows the pid, and two farms would fight over the file.
        command=(twistd, "--nodaemon", "--pidfile=", f"icefarm-{name}", *given),
        directory=directory.path,
        log=directory.log(name),
        environment=environment,
        complaint=_COMPLAINT_IN_JSON if options.log_format == "json" else _COMPLAINT,
        stop_signal=signal.SIGTERM,
    )
