"""Pure: no I/O, no clock.  The life of a board: ``step(life, event) -> (life, effects)``.

Theory of operation
===================
A board runs a firmware: the default one while it is free, that of its kind while it is reserved (`Life.goal`).  The
machine brings the board to its goal, and recovers it when something fails::

                       HELLO: another firmware
      port appears  +----------> Touching --- drive appears ---> Flashing --- written ---> Restarting
    Gone ------> Seen                                                                          |
                  ^ | HELLO: the goal, and nobody wants it ---> Testing --- passed --> Ready   |
                  | | HELLO: the goal, and a reservation -----> Preparing -- done ---> Reserved|
                  | +-- the port appears again <-----------------------------------------------+
                  |
     any state:   +-- failed once: the port is opened again
                      failed twice: Touching, so that it is flashed
                      failed three times: Cycling (the power of its hub port), once, and else Broken
                      unplugged: Gone(waiting) for a moment, then Gone

States are in `icefarm.worker.board.states`, events and effects in `icefarm.worker.board.events`; docs/lifecycle.md has
the table of all pairs.  Three sources give events: USB (ports and drives appear and vanish), commands (`Assign`,
`Release`, `Reboot`, `Retest`, `Delete`), and the procedure of the present state (`Greeted`, `Written`, `Failed`, ...).

What always holds:

- The port is open in `Seen`, `Testing`, `Ready`, `Preparing` and `Reserved`, and in no other state.
- The kind has the board in `Preparing` and `Reserved`.  When the board leaves them, evaluations wait (`SuspendKind`).
- A board is `Ready` only after its test, and `Reserved` only while a reservation wants it.
- Failures are counted in `Life.tries`.  A passed test or an evaluation with a result resets the count, so a board that
  never works is `Broken` after three failures, and after a fourth where its power was cycled.
- A `Broken` board is tested again after a time limit that doubles.  No state but `Gone`, `Ready` and `Reserved` lasts
  forever (`time_limit`).
- A command changes the goal at once; a transient state checks `Life.goal` when it finishes.
- The end of a procedure or of a time limit, in a state that has none, raises `Impossible`.  Every other event may come
  in every state.

The caller (`icefarm.worker.board.runner.Runner`) cancels the procedure and the timer of a state when ``life.state`` is
another object than before, and then carries out the effects in order.
"""

from __future__ import annotations

from attrs import evolve, frozen

from icefarm.concurrency.retry import doubled
from icefarm.contract import DeviceStatus
from icefarm.usb.usb_events import DriveAdded, DriveRemoved, TtyAdded, TtyRemoved
from icefarm.worker.board import events as e
from icefarm.worker.board import states as s
from icefarm.worker.board.events import Effect, Event
from icefarm.worker.board.states import DesiredState, Firmware, State
from icefarm.worker.flash.hub_ports import hub_port

__all__ = ["Impossible", "Life", "status_of", "step", "time_limit"]

#: Consecutive failures after which a board's power is cycled, or it is set aside; one less makes the worker flash it.
TRIES = 3

#: States in which the port is open.
_OPEN = (s.Seen, s.Testing, s.Ready, s.Preparing, s.Reserved)
#: States in which the kind has the board.
_KIND = (s.Preparing, s.Reserved)

#: The state that a life begins in.
_GONE = s.Gone()


@frozen
class Life:
    """A board's state and what it keeps between states."""

    default: Firmware
    state: State = _GONE
    want: DesiredState | None = None
    #: What it offers on USB now.
    port: str | None = None
    drive: str | None = None
    #: Consecutive failures, and how often it was set aside since it last worked well for a while.
    tries: int = 0
    relapses: int = 0
    #: Where it was last plugged in, such as "1-2.3".
    place: str | None = None
    #: Whether this host can cycle power at all, and whether that was tried since the board last worked.
    power: bool = False
    cycled: bool = False

    @property
    def can_cycle(self) -> bool:
        """Whether to cycle the power of its port next."""
        return self.power and not self.cycled and hub_port(self.place) is not None

    @property
    def goal(self) -> Firmware:
        """The firmware that it must run."""
        return self.default if self.want is None else self.want.firmware


Step = tuple[Life, list[Effect]]


class Impossible(Exception):
    """An event is impossible in the state: a bug of the caller."""


def step(life: Life, event: Event) -> Step:
    """Decide what happens to a board.  Raises `Impossible` if a procedure ends that was not running."""
    match event:
        case TtyAdded() | TtyRemoved() | DriveAdded() | DriveRemoved():
            return _usb(life, event)
        case e.Assign() | e.Release() | e.Reboot() | e.Retest() | e.Delete():
            return _command(life, event)
        case e.Proven():
            return _forgiven(life), []
        case e.Mended():
            return evolve(life, relapses=0), []
        case e.Unreliable(why, again):
            return _unreliable(life, why, again=again)
        case e.TimedOutWaiting():
            return _timed_out(life)
        case e.Failed(why):
            return _failed_procedure(life, why)
        case e.PortLost(why):
            return _port_lost(life, why)
    return _done(life, event)


def time_limit(life: Life) -> float | None:
    """Return how many seconds the state may last, or None if it may last forever."""
    match life.state:
        case s.Gone(waiting=True):
            return s.REPLUG_LIMIT
        case s.Broken():
            return doubled(s.RETEST_FIRST, life.relapses - 1, s.RETEST_LONGEST)
        case s.Cycling(done=done):
            return s.RESTART_LIMIT if done else s.CYCLE_LIMIT
        case s.Gone() | s.Ready() | s.Reserved():
            return None
    return life.state.limit


def status_of(life: Life) -> tuple[DeviceStatus, str | None]:
    """Return the state in one word, and its reason or purpose, for users."""
    match life.state:
        case s.Gone(why=why):
            return DeviceStatus.OFFLINE, why
        case s.Broken(why):
            return DeviceStatus.BROKEN, why
        case s.Ready():
            return DeviceStatus.AVAILABLE, None
        case s.Reserved():
            return DeviceStatus.RESERVED, None
        case s.Cycling(why):
            return DeviceStatus.TESTING, f"{why}; its power is cycled"
        case s.Testing() | s.Seen(written=None):
            return DeviceStatus.TESTING, None
    # One text for all steps, so that displays show a switch of firmware as one change.
    return DeviceStatus.FLASHING, f"switching to {life.goal.name} {life.goal.version}"


# ------------------------------------------------------------------------------------------------------- USB


def _usb(life: Life, event: TtyAdded | TtyRemoved | DriveAdded | DriveRemoved) -> Step:
    """Update what is present, then decide what follows."""
    match event:
        case TtyAdded(path=path, usb_path=place):
            return _tty_added(evolve(life, port=path, place=place or life.place), path)
        case DriveAdded(path=path, usb_path=place):
            return _drive_added(evolve(life, drive=path, place=place or life.place))
        case TtyRemoved(path=path) if path == life.port:
            return _tty_removed(evolve(life, port=None))
        case DriveRemoved(path=path) if path == life.drive:
            # While writing an image, the writer itself finds out whether the board left too early.
            life = evolve(life, drive=None)
            return _gone(life) if isinstance(life.state, s.Broken) and life.port is None else (life, [])
    return life, []


def _tty_added(life: Life, path: str) -> Step:
    match life.state:
        case s.Restarting(image) | s.Flashing(image):
            return _enter(life, s.Seen(image), e.OpenPort(path))
        case s.Broken():
            life = _forgiven(life)
    return _enter(life, s.Seen(), e.OpenPort(path))


def _tty_removed(life: Life) -> Step:
    match life.state:
        case s.Touching() | s.Flashing() | s.Restarting() | s.Cycling() | s.Gone(waiting=False):
            return life, []
        case s.Broken() if life.drive is not None:
            return life, []
        case s.Broken():
            return _gone(life)
    return _enter(life, s.Gone(waiting=True, why="unplugged"))


def _drive_added(life: Life) -> Step:
    match life.state:
        case s.Restarting(image):
            return _failed(life, f"its boot loader did not start {image}")
        case s.Broken():
            life = _forgiven(life)
    return _flash(life)


def _gone(life: Life, why: str = "unplugged") -> Step:
    return _enter(_forgiven(life), s.Gone(why=why), e.FailWaiting(f"the board is {why}"))


# ------------------------------------------------------------------------------------------------- procedures


def _done(life: Life, event: Event) -> Step:
    match life.state, event:
        case s.Seen(written), e.Greeted(firmware):
            return _greeted(life, written, firmware)
        case s.Testing(), e.TestsPassed():
            return _enter(_forgiven(life), s.Ready())
        case s.Flashing(image), e.Written():
            return _enter(life, s.Restarting(image))
        case s.Preparing(), e.KindStarted():
            return _enter(life, s.Reserved())
        case s.Cycling(why, done=False), e.Cycled():
            return _enter(life, s.Cycling(why, done=True))
    raise Impossible(f"{event} in {life.state}")


def _greeted(life: Life, written: Firmware | None, firmware: Firmware) -> Step:
    if firmware != life.goal:
        # The goal may have changed since the image was written; then the board is not to blame.
        if written is not None and written == life.goal:
            return _failed(life, f"runs {firmware} although {written} was flashed")
        return _touch(life)
    if life.want is None:
        return _enter(life, s.Testing(), e.RunTest())
    return _enter(life, s.Preparing(), e.StartKind())


def _failed_procedure(life: Life, why: str) -> Step:
    match life.state:
        case s.Gone() | s.Restarting() | s.Broken() | s.Cycling(done=True):
            raise Impossible(f"a failure ({why}) in {life.state}")
        case s.Cycling(before):
            return _set_aside(life, f"{before}; its power could not be cycled: {why}")
    return _failed(life, why)


def _port_lost(life: Life, why: str) -> Step:
    """Wait for USB to report that the port is gone, rather than try a vanishing port."""
    if not isinstance(life.state, _OPEN):
        raise Impossible(f"a lost port ({why}) in {life.state}")
    return _enter(life, s.Gone(waiting=True, why=f"lost: {why}"))


def _timed_out(life: Life) -> Step:
    match life.state:
        case s.Gone(waiting=True, why=why):
            if life.port is None and life.drive is None:
                return _enter(life, s.Gone(why=why), e.FailWaiting(f"the board is {why}"))
            return _failed(life, why)
        case s.Broken(why):
            return _retest(life, why)
        case s.Restarting(image) if life.port is None and life.drive is None:
            return _last_resort(life, f"did not come back after {image} was flashed")
        case s.Touching() if life.port is None and life.drive is None:
            if life.can_cycle:
                return _last_resort(life, "left for its boot loader, and no boot drive appeared")
            # Nothing was written to it: it was unplugged, or is dead; only its return can show which.
            return _gone(life, "gone since it left for its boot loader")
        case s.Cycling(why, done=True):
            return _set_aside(life, f"{why}, and did not come back after its power was cycled")
        case s.Cycling(why):
            return _set_aside(life, f"{why}; its power could not be cycled in time")
        case s.Gone() | s.Ready() | s.Reserved():
            raise Impossible(f"a time-out in {life.state}")
    return _failed(life, life.state.overdue)


# --------------------------------------------------------------------------------------------------- commands


def _command(life: Life, event: Event) -> Step:
    match event:
        case e.Assign(want) if want != life.want:
            return _redirect(evolve(life, want=want), life.goal)
        case e.Release() if life.want is not None:
            return _redirect(evolve(life, want=None), life.goal)
        case e.Reboot():
            return _reboot(life)
        case e.Retest() if isinstance(life.state, s.Broken):
            return _retest(life, life.state.why)
        case e.Delete():
            return _enter(Life(life.default, power=life.power), s.Gone(why="deleted"), leaving=life)
    return life, []


def _redirect(life: Life, before: Firmware) -> Step:
    """Apply a changed goal; transient states check it when they finish."""
    match life.state:
        case s.Testing() | s.Ready() | s.Preparing() | s.Reserved():
            return _reopen(life) if life.goal == before else _touch(life)
    return life, []


def _reboot(life: Life) -> Step:
    match life.state:
        case s.Touching() | s.Flashing() | s.Restarting() | s.Cycling():
            return life, []
    return _again(_forgiven(life), flash=True)


def _retest(life: Life, why: str) -> Step:
    """Give it another chance: after one failure it is flashed, after two its power is cycled or it is set aside."""
    life = evolve(life, tries=1, cycled=False)
    if life.port is None and life.drive is None:
        return _last_resort(life, why)
    return _again(life, flash=False)


# -------------------------------------------------------------------------------------------------- transitions


def _failed(life: Life, why: str) -> Step:
    life = evolve(life, tries=life.tries + 1)
    if life.port is None and life.drive is None:
        return _enter(life, s.Gone(waiting=True, why=f"gone: {why}"))
    if life.tries >= TRIES:
        return _last_resort(life, why)
    return _again(life, flash=life.tries == TRIES - 1)


def _unreliable(life: Life, why: str, *, again: bool) -> Step:
    """Flash an unreliable board, or set it aside the second time: its failures are not consecutive."""
    if not isinstance(life.state, s.Reserved):
        return life, []
    return _set_aside(life, why) if again else _again(life, flash=True)


def _again(life: Life, *, flash: bool) -> Step:
    if life.drive is not None:
        return _flash(life)
    if life.port is None:
        return life, []
    return _touch(life) if flash else _reopen(life)


def _last_resort(life: Life, why: str) -> Step:
    """Cycle its power, once; else set it aside."""
    if not life.can_cycle:
        return _set_aside(life, why)
    assert life.place is not None
    # Any failure after this sets it aside.
    return _enter(evolve(life, tries=TRIES, cycled=True), s.Cycling(why), e.CyclePower(life.place))


def _forgiven(life: Life) -> Life:
    return evolve(life, tries=0, cycled=False)


def _set_aside(life: Life, why: str) -> Step:
    life = evolve(life, relapses=life.relapses + 1)
    return _enter(life, s.Broken(why), e.FailWaiting(f"the board {why}"))


def _reopen(life: Life) -> Step:
    assert life.port is not None
    return _enter(life, s.Seen(), e.OpenPort(life.port))


def _touch(life: Life) -> Step:
    assert life.port is not None
    return _enter(life, s.Touching(), e.Touch1200(life.port))


def _flash(life: Life) -> Step:
    assert life.drive is not None
    return _enter(life, s.Flashing(life.goal), e.WriteImage(life.drive, life.goal))


def _enter(life: Life, state: State, *effects: Effect, leaving: Life | None = None) -> Step:
    """Enter a state (also the same one again), with the effects of leaving the old one."""
    old = (leaving or life).state
    leave: list[Effect] = []
    if isinstance(old, _KIND) and not isinstance(state, _KIND):
        leave.append(e.SuspendKind(getattr(state, "why", "the board is being restarted")))
    if isinstance(old, _OPEN) and not isinstance(state, _OPEN):
        leave.append(e.ClosePort())
    return evolve(life, state=state), [*leave, *effects]
