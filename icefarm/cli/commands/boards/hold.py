"""The verbs ``reserve`` and ``shell``: boards that are held while a command runs.

The client of the reservation is a name that the command gets in its environment.  Only one session at a time may have
a name, so this verb signs out when it has the boards, and extends the reservation over HTTP: the command may sign in
under the name and use the boards.  Each extension is short, so the farm takes the boards back soon if this verb is
killed.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Thread
from types import FrameType
from typing import TYPE_CHECKING, Any

import click
from attrs import Factory, define, evolve

from icefarm.cli.commands.boards.evaluate import (
    check_timeout,
    check_where,
    given,
    kind_option,
    option_option,
    priority_option,
    reserve_where_option,
    serial_option,
    shared_option,
    timeout_option,
    wait_option,
    window_option,
)
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.http_way import HttpAnswer, HttpWay
from icefarm.cli.reading import Reader
from icefarm.cli.reserving import HELD, SERIALS, Wanted, reserved
from icefarm.cli.ui.parameter_types import BOARDS
from icefarm.cli.ui.terminal.console import Screen
from icefarm.cli.verb import farm_of, opened_screen
from icefarm.contract import ReservationRecord
from icefarm.errors import IcefarmError, LinkLost, NameInUse, NotYours, error_from_wire, error_uri
from icefarm.text.local_time import stay_until, utc

if TYPE_CHECKING:
    from icefarm.client import Farm

__all__ = ["reserve", "shell"]

#: Seconds that the farm keeps the boards without another extension, and between two extensions.
LEASE = 300.0
EXTENDED_EVERY = 60.0
#: Seconds that the farm waits for the client to sign in; the lease is what ends the reservation.
GRACE = 30 * 86400.0
#: Exit codes of a command that can't be run, as of env(1).
CANNOT_RUN, NOT_FOUND = 126, 127
#: Signals that are passed on to the command.  The terminal sends SIGINT and SIGQUIT to both.
_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_OF_THE_TERMINAL = (signal.SIGINT, signal.SIGQUIT)


@define
class _Hold:
    """Boards, held under a name until `end`."""

    access: SignIn
    records: Sequence[ReservationRecord]
    screen: Screen
    _over: Event = Factory(Event)
    #: Why boards can't be kept, by reservation, as it was said.
    _limited: dict[str, str] = Factory(dict)

    @property
    def serials(self) -> list[str]:
        return [record.serial for record in self.records]

    def keep(self) -> None:
        """Extend the reservations until they are ended, or lost."""
        while not self._over.wait(EXTENDED_EVERY):
            try:
                self.extend()
            except (NameInUse, LinkLost):
                # The command is signed in, and its client extends what it uses; or a later extension gets through.
                continue
            except IcefarmError as error:
                if self._over.is_set():
                    return
                left = self._left(error)
                if not left:
                    why = sorted(set(self._limited.values()))
                    self.screen.say(f"the boards are no longer held: {'; '.join(why) or error}")
                    return
                # None was extended: these are, the next time.
                gone = [serial for serial in self.serials if serial not in [record.serial for record in left]]
                self.records = left
                self.screen.say(f"no longer held: {', '.join(gone)}")
            # An extension is what finds that there is a limit.
            with suppress(IcefarmError):
                self.warn()

    def warn(self) -> None:
        """Say once of each reservation that a booking needs its board: this verb is signed out, and hears no events."""
        own = {record.id for record in self.records} - self._limited.keys()
        # The command may have this verb's name.
        onlooker = evolve(self.access, name=f"cli-{secrets.token_hex(8)}")
        found = [each for each in Reader(onlooker).snapshot()["reservations"] if each["id"] in own]
        limited = [each for each in found if each.get("limited_by") is not None]
        boards: dict[tuple[str, str], list[str]] = {}
        for each in limited:
            boards.setdefault((each["limited_by"], utc(each["expires_at"])), []).append(each["serial"])
        for (why, ends), serials in sorted(boards.items()):
            self.screen.say(stay_until(serials, ends, why))
        self._limited.update({each["id"]: each["limited_by"] for each in limited})

    def _left(self, error: IcefarmError) -> list[ReservationRecord]:
        """Return the boards that are still held, if an error of the farm names those that are not; else nothing."""
        gone = error.fields.get("serials") if isinstance(error, NotYours) else None
        return [record for record in self.records if record.serial not in gone] if isinstance(gone, list) else []

    def extend(self) -> None:
        """Extend the reservations once."""
        if not self._post("/extend", {"seconds": LEASE}):
            with farm_of(self.access) as farm:
                try:
                    farm.extend(self.serials, LEASE)
                finally:
                    farm.close(end=False)

    def end(self) -> None:
        """Return the boards."""
        self._over.set()
        try:
            if not self._post("/end", {}):
                with farm_of(self.access) as farm:
                    farm.end(self.serials)
        except IcefarmError as error:
            self.screen.say(f"the farm takes the boards back within {LEASE / 60:.0f} minutes: {error}")

    def _post(self, path: str, more: Mapping[str, float]) -> bool:
        """Call the farm over HTTP, if that is possible.

        It can't where a farm of this host takes tokens: those go through its socket only.
        """
        way = HttpWay.of(self.access)
        if way is not None:
            _check(way.post(path, {"name": self.access.name, "serials": self.serials, **more}))
        return way is not None


def _check(answer: HttpAnswer | None) -> None:
    """Raise the error that an answer holds."""
    if answer is None:
        raise LinkLost("the farm does not answer")
    if answer.status == 200:
        return
    value: Any = answer.value if isinstance(answer.value, dict) else {}
    uri = error_uri(IcefarmError).removesuffix(IcefarmError.name) + str(value.get("error"))
    message = value.get("message") or f"the farm answers with {answer.status}"
    error = error_from_wire(uri, [message], value.get("fields") or {})
    raise error or LinkLost()


def _environment(access: SignIn, records: Sequence[ReservationRecord]) -> dict[str, str]:
    """Return the environment of the command: which farm, under which name, and which boards."""
    known = {
        "ICEFARM_URL": access.url,
        "ICEFARM_NAME": access.name,
        "ICEFARM_TOKEN": access.token,
        "ICEFARM_CA_FILE": access.ca_file,
        "ICEFARM_DATA_DIR": access.data_dir,
        "ICEFARM_KIND": records[0].kind,
        SERIALS: " ".join(record.serial for record in records),
        HELD: " ".join(record.id for record in records),
    }
    return {**os.environ, **{name: str(value) for name, value in known.items() if value is not None}}


@define
class _Command:
    """The command that has the boards; signals are for it until they are returned."""

    process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def gets_signals(self) -> Iterator[None]:
        """Pass signals on to the command, and let it alone decide about those of the terminal."""
        before = {number: signal.signal(number, self._pass_on) for number in (*_PASSED_ON, *_OF_THE_TERMINAL)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        if self.process is not None and number in _PASSED_ON:
            self.process.send_signal(number)


def _run(command: Sequence[str], environment: Mapping[str, str], screen: Screen, running: _Command) -> int:
    """Run the command, and return its exit code; 128 plus the number of the signal that ended it, as shells do."""
    try:
        running.process = subprocess.Popen(command, env=environment)
    except FileNotFoundError:
        screen.say(f"{command[0]}: there is no such command")
        return NOT_FOUND
    except OSError as error:
        screen.say(f"{command[0]}: {error.strerror}")
        return CANNOT_RUN
    code = running.process.wait()
    return 128 - code if code < 0 else code


def _reserved(farm: Farm, wanted: Wanted, screen: Screen) -> Sequence[ReservationRecord]:
    """Reserve boards that stay the same: the command knows them by their serials, and need not be signed in."""
    terms = {"seconds": LEASE, "grace": GRACE, "keep": False}
    return reserved(farm, wanted.steady, screen, **terms).reservations


def in_context(work: Callable[[], None]) -> Callable[[], None]:
    """Return a function that does the same in another thread, where click's context is not known by itself."""
    context = click.get_current_context()

    def run() -> None:
        with context.scope(cleanup=False):
            work()

    return run


def _hold(access: SignIn, wanted: Wanted, command: Sequence[str]) -> int:
    """Hold boards while a command runs, and return its exit code."""
    with opened_screen() as screen:
        with farm_of(access) as farm:
            records = _reserved(farm, wanted, screen)
            # From here on the command may have the name.
            farm.close(end=False)
        hold = _Hold(access, records, screen)
        running = _Command()
        with running.gets_signals():
            Thread(target=in_context(hold.keep), daemon=True).start()
            try:
                screen.say(f"reserved {', '.join(hold.serials)} as {access.name}")
                return _run(command, _environment(access, records), screen, running)
            finally:
                hold.end()


def _split(words: tuple[str, ...]) -> tuple[int | None, Sequence[str]]:
    """Return the number of boards, if it is there, and the command."""
    amount = None
    if words and words[0].isascii() and words[0].isdigit():
        amount, words = int(BOARDS.convert(words[0], None, click.get_current_context())), words[1:]
        if words and words[0].startswith("-") and words[0] != "--":
            raise click.UsageError(f"{words[0]} comes before the number of boards, or after -- if it is the command's")
    return amount, words[1:] if words[:1] == ("--",) else words


def _wanted(amount: int | None, asked: Mapping[str, Any]) -> Wanted:
    """Return which boards are wanted; one by default.  Raises `click.UsageError`."""
    if amount is not None and asked["serials"]:
        raise click.UsageError("a number of boards and --serial are mutually exclusive")
    check_timeout(asked)
    options = asked["options"] | ({} if asked["window"] is None else {"window": asked["window"]})
    serials = tuple(dict.fromkeys(asked["serials"])) or None
    check_where(serials, asked["where"])
    return Wanted(
        None if serials else amount or 1,
        serials,
        asked["kind"],
        options,
        asked["wait"],
        asked["timeout"],
        asked["where"],
        given(priority=asked["priority"], shared=asked["shared"] or None),
    )


#: In the order of the help.
_OPTIONS = (
    serial_option,
    reserve_where_option,
    kind_option,
    window_option,
    option_option,
    priority_option,
    shared_option,
    wait_option,
    timeout_option,
    with_access(named=True),
)


def _board_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose the boards, and the farm."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("words", nargs=-1, required=True, metavar="[N] -- COMMAND [ARGUMENTS]...")
@_board_options
def reserve(access: SignIn, words: tuple[str, ...], **asked: Any) -> None:
    """Hold N boards (1 by default) while COMMAND runs, and exit with its exit code.

    Options come before N. COMMAND finds ICEFARM_SERIALS, ICEFARM_RESERVATION, ICEFARM_KIND, ICEFARM_URL and
    ICEFARM_NAME in its environment: "icefarm evaluate" uses these boards, and so does a script by Farm().adopt(),
    which ends with farm.close(end=False). Signals are forwarded. If this command is killed, the boards are free
    within 5 minutes.
    """
    amount, command = _split(words)
    if not command:
        raise click.UsageError(
            "which command? Write it after the number of boards, as in: icefarm reserve 2 -- ./script.sh"
        )
    sys.exit(_hold(access, _wanted(amount, asked), command))


@click.command()
@click.argument("amount", type=BOARDS, required=False, metavar="[N]")
@_board_options
def shell(access: SignIn, amount: int | None, **asked: Any) -> None:
    """Hold N boards (1 by default) while you work in a shell ($SHELL); "exit" returns them.

    The same as "icefarm reserve" with your shell as its command.
    """
    sys.exit(_hold(access, _wanted(amount, asked), [os.environ.get("SHELL") or "/bin/sh"]))
