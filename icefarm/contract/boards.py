"""Pure: the records of workers and boards, as workers report them and displays show them."""

from __future__ import annotations

from typing import Any

from attrs import Factory, frozen

from icefarm.arguments import passes_over_unknown
from icefarm.contract.names import DeviceStatus


@passes_over_unknown
@frozen
class KindRecord:
    """A device kind that a worker offers."""

    name: str
    #: One line for users.
    summary: str
    #: The firmware it runs on, and that firmware's version.
    firmware: str
    firmware_version: str
    #: Methods that clients call.
    methods: list[str]
    #: The kind's own version; empty where its worker does not say.
    version: str = ""
    #: The worker can let several clients share a board of this kind.
    shareable: bool = False


@passes_over_unknown
@frozen
class Assignment:
    """Control's order for a board: the reservation that it must serve."""

    reservation: str
    client: str
    kind: str
    options: dict[str, Any] = Factory(dict)
    #: The board's labels, for the provenance of what it measures.
    labels: dict[str, str] = Factory(dict)
    #: The id of the board's calibration, for the same.
    calibration: str | None = None
    #: The farm's own reservation of the board, which this client shares with others; None: it has the board for itself.
    within: str | None = None
    #: How much of the board's time its account gets, beside others that share it.
    weight: float = 1.0


@passes_over_unknown
@frozen
class ReferenceCircuit:
    """A reference circuit that an idle board is to measure."""

    name: str
    bitstream: bytes
    #: How often; it is loaded each time.
    times: int = 1


@passes_over_unknown
@frozen
class BoardCalibration:
    """How a board deviates, from its readings of one reference circuit (docs/calibration.md)."""

    #: Of the calibration, which each result of the board names.
    id: str
    reference: str
    #: When it was last measured, and the board's temperature then.
    measured_at: float
    temperature_c: float | None
    #: Its deviation, the standard deviation of single windows, the change with time and with temperature; the
    #: uncertainties are standard ones.
    offset_ppm: float
    offset_uncertainty_ppm: float
    noise_ppm: float
    drift_ppm_per_day: float
    drift_uncertainty: float
    ppm_per_kelvin: float
    kelvin_uncertainty: float
    #: How many readings it is made of.
    readings: int
    #: Why the board is suspect, with figures; None: it is not.
    suspect: str | None = None
    #: The operator's rule for suspects: "avoid" gives them out last, "set-aside" not at all, "ignore" like all others.
    rule: str = "avoid"


@passes_over_unknown
@frozen
class BoardHealth:
    """A board's recent health: how many of its last ``attempts`` to evaluate (60 at most) did not go well."""

    attempts: int = 0
    #: The board was silent; the attempt was made again; no attempt gave a result.
    timeouts: int = 0
    retries: int = 0
    failures: int = 0
    #: How often it was set aside since it last worked well for a while.
    set_aside: int = 0


@passes_over_unknown
@frozen
class DeviceReport:
    """A worker's report on one of its boards; replaces the previous report."""

    serial: str
    status: DeviceStatus
    #: Why it is broken or offline, or what it is doing; for users.
    reason: str | None = None
    #: The reservation that the worker holds for it, prepared or in preparation.
    reservation: str | None = None
    kind: str | None = None
    firmware: str | None = None
    firmware_version: str | None = None
    usb_path: str | None = None
    #: Since the worker started: evaluations answered with a result, failed ones, the board's own retries.
    evaluations: int = 0
    failures: int = 0
    retries: int = 0
    health: BoardHealth = BoardHealth()
    #: What a virtual board does with a circuit: "simulated", "landscape", "simulated,landscape" or "other"; None: it is
    #: a real board, or its worker is of an earlier version.
    model: str | None = None
    #: Where several clients share it: their reservations, which are within the one that the worker holds for it.
    shares: list[str] = Factory(list)


@passes_over_unknown
@frozen
class BoardReading:
    """A worker's counters for one of its boards, sent with its heartbeats; sums since the worker started."""

    serial: str
    #: The kind as which it served last; None: as none yet, or it has measured references since.
    kind: str | None = None
    evaluations: int = 0
    failures: int = 0
    retries: int = 0
    #: Images written to it, and how many seconds that took.
    flashes: int = 0
    flash_s: float = 0.0
    #: Measurements (an evaluation may have several); the seconds of loading, of their windows, and in total.
    measured: int = 0
    load_s: float = 0.0
    window_s: float = 0.0
    measured_s: float = 0.0
    #: As last reported, degrees Celsius.
    temperature_c: float | None = None


@passes_over_unknown
@frozen
class PoolRecord:
    """Virtual boards that a worker plugs in on demand: how many at least and at most, and their model."""

    least: int
    most: int
    model: str


@passes_over_unknown
@frozen
class WorkerHello:
    """A worker's hello: sent when its session begins, and again whenever control asks for it."""

    name: str
    #: A new one at each start of the process.
    instance: str
    host: str
    version: str
    kinds: list[KindRecord]
    devices: list[DeviceReport]
    #: None: all of its boards are always there.
    pool: PoolRecord | None = None
    #: Whether it measures reference circuits on idle boards when control asks for that.
    references: bool = False
    #: It takes orders for many boards at once: ``prepare_all``, ``release_all``.
    lists: bool = False


@passes_over_unknown
@frozen
class WorkerRecord:
    """A worker, as all displays show it."""

    name: str
    status: str  # "online" or "offline"
    draining: bool
    host: str
    version: str
    kinds: list[str]
    devices: int
    last_seen: float
    #: Its process exits when none of its boards is reserved any more; it is draining then. If offline, it has left.
    leaving: bool = False
    #: The versions of its kinds, by name.
    kind_versions: dict[str, str] = Factory(dict)
    #: What operators note of it; its boards have these labels too.
    labels: dict[str, str] = Factory(dict)
    #: Those of its kinds whose boards several clients can share.
    shared_kinds: list[str] = Factory(list)


@passes_over_unknown
@frozen
class DeviceRecord:
    """A board, as all displays show it.  Key: serial."""

    serial: str
    worker: str
    status: DeviceStatus
    reason: str | None
    client: str | None
    reservation: str | None
    kind: str | None
    firmware: str | None
    firmware_version: str | None
    usb_path: str | None
    evaluations: int
    failures: int
    retries: int
    expires_at: float | None
    changed_at: float
    health: BoardHealth = BoardHealth()
    #: When its reservation was made; None while it is not reserved.
    reserved_at: float | None = None
    #: See `DeviceReport`.
    model: str | None = None
    #: What operators note of it and of its worker; of two with one name, its own.
    labels: dict[str, str] = Factory(dict)
    #: From the reference circuit of the FPGA's oscillator; None: it is not calibrated.
    calibration: BoardCalibration | None = None
    #: Who shares it: clients by reservation, the first to come first; its ``client`` is the first, and its
    #: ``reservation`` the farm's own.  Empty: nobody does.
    shares: dict[str, str] = Factory(dict)
