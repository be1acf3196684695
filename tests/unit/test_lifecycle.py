"""The life of a board, as decided: each test drives the pure machine with events."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from icefarm.contract import DeviceStatus
from icefarm.usb.usb_events import DriveAdded, DriveRemoved, TtyAdded, TtyRemoved
from icefarm.worker.board import events as e
from icefarm.worker.board import states as s
from icefarm.worker.board.state_machine import TRIES, Impossible, Life, status_of, step, time_limit

SERIAL = "0123456789ABCDEF"
TTY, DRIVE = "/dev/ttyACM0", "/dev/sda"
DEFAULT = s.Firmware("default", "1.0")
COUNTER = s.Firmware("pulse_count", "1.0")
WANT = s.DesiredState("r1", "pulsecount", COUNTER)

PLUG = TtyAdded(SERIAL, TTY, "00", "1-1")
UNPLUG = TtyRemoved(SERIAL, TTY)
LOADER = DriveAdded(SERIAL, DRIVE, "1-1")
LOADER_GONE = DriveRemoved(SERIAL, DRIVE)

FLASH = [UNPLUG, LOADER, e.Written(), LOADER_GONE, PLUG]


def run(life: Life, *events: e.Event) -> tuple[Life, list[e.Effect]]:
    """Return the life after all events, and the effects of the last one."""
    effects: list[e.Effect] = []
    for event in events:
        life, effects = step(life, event)
    return life, effects


def fresh() -> Life:
    return Life(DEFAULT)


def ready() -> Life:
    return run(fresh(), PLUG, e.Greeted(DEFAULT), e.TestsPassed())[0]


def reserved() -> Life:
    return run(ready(), e.Assign(WANT), *FLASH, e.Greeted(COUNTER), e.KindStarted())[0]


def broken() -> Life:
    life = run(fresh(), PLUG)[0]
    return run(life, e.Failed("is silent"), e.Failed("is silent"), e.Failed("is silent"))[0]


def test_a_board_that_is_plugged_in_is_asked_who_it_is() -> None:
    life, effects = run(fresh(), PLUG)
    assert life.state == s.Seen()
    assert effects == [e.OpenPort(TTY)]


def test_a_board_with_the_right_firmware_is_tested_without_flashing() -> None:
    life, effects = run(fresh(), PLUG, e.Greeted(DEFAULT))
    assert life.state == s.Testing()
    assert effects == [e.RunTest()]


@pytest.mark.parametrize("firmware", [COUNTER, s.Firmware("default", "0.9")])
def test_a_board_with_another_firmware_or_version_is_flashed(firmware: s.Firmware) -> None:
    life, effects = run(fresh(), PLUG, e.Greeted(firmware))
    assert life.state == s.Touching()
    assert effects == [e.ClosePort(), e.Touch1200(TTY)]


def test_a_board_that_comes_as_a_boot_drive_is_flashed() -> None:
    life, effects = run(fresh(), LOADER)
    assert life.state == s.Flashing(DEFAULT)
    assert effects == [e.WriteImage(DRIVE, DEFAULT)]


def test_a_tested_board_is_available() -> None:
    assert status_of(ready()) == (DeviceStatus.AVAILABLE, None)


def test_a_reserved_board_gets_the_firmware_of_its_kind() -> None:
    life, effects = run(ready(), e.Assign(WANT), UNPLUG, LOADER)
    assert life.state == s.Flashing(COUNTER)
    assert effects == [e.WriteImage(DRIVE, COUNTER)]


def test_a_board_is_usable_once_its_kind_has_prepared() -> None:
    life, effects = run(ready(), e.Assign(WANT), *FLASH, e.Greeted(COUNTER))
    assert effects == [e.StartKind()]
    assert isinstance(run(life, e.KindStarted())[0].state, s.Reserved)


def test_a_released_board_goes_back_to_the_default_firmware() -> None:
    life, effects = run(reserved(), e.Release())
    assert isinstance(effects[0], e.SuspendKind)
    assert effects[1:] == [e.ClosePort(), e.Touch1200(TTY)]
    assert isinstance(run(life, *FLASH, e.Greeted(DEFAULT), e.TestsPassed())[0].state, s.Ready)


def test_a_reservation_that_ends_while_its_firmware_is_written_leads_to_the_default_one() -> None:
    life, _ = run(ready(), e.Assign(WANT), UNPLUG, LOADER, e.Release())
    life, effects = run(life, e.Written(), LOADER_GONE, PLUG, e.Greeted(COUNTER))
    assert life.tries == 0
    assert effects == [e.ClosePort(), e.Touch1200(TTY)]


def test_a_board_assigned_while_it_returns_to_default_is_not_tested_first() -> None:
    life, effects = run(reserved(), e.Release(), *FLASH, e.Assign(WANT), e.Greeted(DEFAULT))
    assert isinstance(life.state, s.Touching)
    assert effects == [e.ClosePort(), e.Touch1200(TTY)]


def test_the_next_reservation_of_the_same_kind_needs_no_flashing() -> None:
    life, effects = run(reserved(), e.Assign(evolve(WANT, reservation="r2")))
    assert effects[-1] == e.OpenPort(TTY)
    assert run(life, e.Greeted(COUNTER))[1] == [e.StartKind()]


def test_a_reservation_survives_a_board_that_is_plugged_in_again() -> None:
    life, effects = run(reserved(), UNPLUG)
    assert isinstance(effects[0], e.SuspendKind)
    life, effects = run(life, PLUG, e.Greeted(COUNTER))
    assert effects == [e.StartKind()]
    assert life.want == WANT


def test_those_who_wait_are_told_when_an_unplugged_board_does_not_come_back() -> None:
    life, effects = run(reserved(), UNPLUG, e.TimedOutWaiting())
    assert effects == [e.FailWaiting("the board is unplugged")]
    assert time_limit(life) is None


def test_a_lost_connection_waits_for_word_from_usb() -> None:
    life, effects = run(reserved(), e.PortLost("hung up"))
    assert life.state == s.Gone(waiting=True, why="lost: hung up")
    assert not any(isinstance(effect, e.OpenPort) for effect in effects)


def test_a_lost_connection_whose_port_is_still_there_is_opened_again() -> None:
    assert run(reserved(), e.PortLost("hung up"), e.TimedOutWaiting())[1] == [e.OpenPort(TTY)]


def test_a_silent_board_is_asked_again_then_flashed_then_set_aside() -> None:
    life, effects = run(fresh(), PLUG, e.Failed("is silent"))
    assert effects == [e.OpenPort(TTY)]
    life, effects = run(life, e.TimedOutWaiting())
    assert effects == [e.ClosePort(), e.Touch1200(TTY)]
    life, effects = run(life, *FLASH, e.Failed("is silent"))
    assert life.state == s.Broken("is silent")
    assert effects == [e.ClosePort(), e.FailWaiting("the board is silent")]


def test_a_board_that_does_not_come_back_from_flashing_is_broken() -> None:
    life, _ = run(ready(), e.Assign(WANT), UNPLUG, LOADER, e.Written(), LOADER_GONE, e.TimedOutWaiting())
    assert status_of(life) == (DeviceStatus.BROKEN, "did not come back after pulse_count 1.0 was flashed")


def test_a_board_unplugged_on_its_way_to_the_boot_loader_is_offline_and_its_reservation_waits_for_it() -> None:
    life, effects = run(ready(), e.Assign(WANT), UNPLUG, e.TimedOutWaiting())
    assert status_of(life) == (DeviceStatus.OFFLINE, "gone since it left for its boot loader")
    assert effects == [e.FailWaiting("the board is gone since it left for its boot loader")]
    life, _ = run(life, PLUG, e.Greeted(DEFAULT), *FLASH, e.Greeted(COUNTER), e.KindStarted())
    assert isinstance(life.state, s.Reserved)


def test_a_board_unplugged_while_it_is_flashed_is_offline() -> None:
    life, _ = run(ready(), e.Assign(WANT), UNPLUG, LOADER, LOADER_GONE, e.Failed("left"), e.TimedOutWaiting())
    assert status_of(life)[0] is DeviceStatus.OFFLINE


def test_a_board_whose_image_does_not_start_is_flashed_again_then_set_aside() -> None:
    life, effects = run(fresh(), LOADER, e.Written(), LOADER_GONE, LOADER)
    assert effects == [e.WriteImage(DRIVE, DEFAULT)]
    for _ in range(TRIES - 1):
        life, _ = run(life, e.Written(), LOADER_GONE, LOADER)
    assert life.state == s.Broken("its boot loader did not start default 1.0")


def test_a_broken_board_is_tested_again_after_a_while_and_taken_back() -> None:
    life, effects = run(broken(), e.TimedOutWaiting())
    assert effects == [e.OpenPort(TTY)]
    life, _ = run(life, e.Greeted(DEFAULT), e.TestsPassed())
    assert isinstance(life.state, s.Ready)


def test_a_board_that_breaks_again_and_again_is_tested_ever_less_often() -> None:
    life = broken()
    first = time_limit(life)
    life, _ = run(life, e.TimedOutWaiting(), e.Failed("still"), *FLASH, e.Failed("still"))
    assert first is not None
    assert time_limit(life) == 2 * first
    for relapses in (100, 10_000, 10**400):
        assert time_limit(evolve(life, relapses=relapses)) == s.RETEST_LONGEST


def test_a_result_forgives_failures_and_only_many_of_them_what_a_board_was_set_aside_for() -> None:
    life, _ = run(evolve(reserved(), tries=2, relapses=3), e.Proven())
    assert (life.tries, life.relapses) == (0, 3)
    life, _ = run(life, e.Mended())
    assert (life.tries, life.relapses) == (0, 0)


def test_a_broken_board_can_be_retested_by_hand() -> None:
    assert run(broken(), e.Retest())[1] == [e.OpenPort(TTY)]


def test_a_broken_board_that_is_unplugged_is_offline() -> None:
    assert status_of(run(broken(), UNPLUG)[0])[0] is DeviceStatus.OFFLINE


def test_a_reboot_keeps_the_reservation_and_flashes_its_firmware() -> None:
    life, effects = run(reserved(), e.Reboot())
    assert effects[-1] == e.Touch1200(TTY)
    life, effects = run(life, UNPLUG, LOADER)
    assert effects == [e.WriteImage(DRIVE, COUNTER)]


def test_a_deleted_board_keeps_nothing() -> None:
    life, effects = run(reserved(), e.Delete())
    assert life == Life(DEFAULT, s.Gone(why="deleted"))
    assert effects[-1] == e.ClosePort()


def test_a_removal_of_another_port_means_nothing() -> None:
    life = reserved()
    assert run(life, TtyRemoved(SERIAL, "/dev/ttyACM7")) == (life, [])


@pytest.mark.parametrize("event", [e.Greeted(DEFAULT), e.TestsPassed(), e.Written(), e.KindStarted(), e.Failed("x")])
def test_a_procedure_that_cannot_be_running_is_a_fault(event: e.Event) -> None:
    with pytest.raises(Impossible):
        step(fresh(), event)


@pytest.mark.parametrize(
    ("life", "event", "words"),
    [
        (ready(), e.TimedOutWaiting(), "a time-out in Ready"),
        (ready(), e.Written(), "Written.* in Ready"),
        (fresh(), e.Failed("is silent"), r"a failure \(is silent\) in Gone"),
        (fresh(), e.PortLost("hung up"), r"a lost port \(hung up\) in Gone"),
    ],
)
def test_what_is_impossible_says_what_came_in_which_state(life: Life, event: e.Event, words: str) -> None:
    with pytest.raises(Impossible, match=words):
        step(life, event)


def test_those_who_use_a_board_are_told_why_it_went() -> None:
    assert run(reserved(), UNPLUG)[1] == [e.SuspendKind("unplugged"), e.ClosePort()]
    assert run(reserved(), e.PortLost("hung up"))[1] == [e.SuspendKind("lost: hung up"), e.ClosePort()]
    assert run(reserved(), e.Release())[1][0] == e.SuspendKind("the board is being restarted")


def test_a_board_that_runs_another_firmware_than_was_written_has_failed_once() -> None:
    life, effects = run(ready(), e.Assign(WANT), *FLASH, e.Greeted(DEFAULT))
    assert (life.state, life.tries, effects) == (s.Seen(), 1, [e.OpenPort(TTY)])


def test_a_broken_board_is_gone_when_neither_its_port_nor_its_boot_drive_is_left() -> None:
    with_both = evolve(broken(), drive=DRIVE)
    assert run(with_both, LOADER_GONE) == (broken(), [])
    assert run(with_both, UNPLUG) == (evolve(with_both, port=None), [])
    for events in ([LOADER_GONE, UNPLUG], [UNPLUG, LOADER_GONE]):
        life, effects = run(with_both, *events)
        assert (life.state, effects) == (s.Gone(why="unplugged"), [e.FailWaiting("the board is unplugged")])


# ------------------------------------------------------------------------------------------------------- power

PLACE = "1-1"


def failing(power: bool = True) -> tuple[Life, list[e.Effect]]:
    """A board that has failed, was asked again, was flashed, and has failed again; and what is done then."""
    life = Life(DEFAULT, power=power)
    return run(life, PLUG, e.Failed("is silent"), e.Failed("is silent"), *FLASH, e.Failed("is silent"))


def test_a_board_that_flashing_did_not_help_has_its_power_cycled() -> None:
    life, effects = failing()
    assert effects == [e.ClosePort(), e.CyclePower(PLACE)]
    assert status_of(life) == (DeviceStatus.TESTING, "is silent; its power is cycled")


def test_without_a_way_to_switch_power_it_is_set_aside_at_once() -> None:
    assert failing(power=False)[0].state == s.Broken("is silent")


def test_a_board_that_is_on_no_hub_is_set_aside_at_once() -> None:
    virtual = evolve(PLUG, usb_path="virtual-1")
    life, _ = run(Life(DEFAULT, power=True), virtual, e.Failed("x"), e.Failed("x"), UNPLUG)
    life, _ = run(life, evolve(LOADER, usb_path="virtual-1"), e.Written(), LOADER_GONE, virtual, e.Failed("x"))
    assert life.state == s.Broken("x")


@pytest.mark.parametrize("ended_before", [True, False])
def test_a_board_that_comes_back_with_its_power_is_asked_who_it_is(ended_before: bool) -> None:
    life, effects = run(failing()[0], UNPLUG, *([e.Cycled()] if ended_before else []), PLUG)
    assert (life.state, effects) == (s.Seen(), [e.OpenPort(TTY)])
    life, _ = run(life, e.Greeted(DEFAULT), e.TestsPassed())
    assert (life.state, life.tries, life.cycled) == (s.Ready(), 0, False)


def test_a_board_that_fails_again_after_its_power_was_cycled_is_set_aside() -> None:
    life, _ = run(failing()[0], UNPLUG, e.Cycled(), PLUG, e.Failed("is silent still"))
    assert life.state == s.Broken("is silent still")


def test_a_board_that_does_not_come_back_with_its_power_is_set_aside_and_says_so() -> None:
    life, effects = run(failing()[0], UNPLUG, e.Cycled(), e.TimedOutWaiting())
    assert life.state == s.Broken("is silent, and did not come back after its power was cycled")
    assert effects == [e.FailWaiting(f"the board {life.state.why}")]


@pytest.mark.parametrize(
    ("event", "words"),
    [(e.Failed("its hub can't"), "its power could not be cycled: its hub can't"), (e.TimedOutWaiting(), "in time")],
)
def test_a_board_whose_power_cannot_be_cycled_is_set_aside_with_both_reasons(event: e.Event, words: str) -> None:
    life, _ = run(failing()[0], event)
    assert isinstance(life.state, s.Broken)
    assert life.state.why.startswith("is silent; ")
    assert words in life.state.why
    # It is still there, and tested again later on.
    assert run(life, e.TimedOutWaiting())[1] == [e.OpenPort(TTY)]


def test_a_board_that_does_not_come_back_from_flashing_has_its_power_cycled() -> None:
    life, effects = run(Life(DEFAULT, power=True), LOADER, e.Written(), LOADER_GONE, e.TimedOutWaiting())
    assert effects == [e.CyclePower(PLACE)]
    assert run(life, e.Cycled(), PLUG)[1] == [e.OpenPort(TTY)]


def test_a_board_that_is_gone_has_its_power_cycled_at_each_test() -> None:
    life, _ = run(failing()[0], UNPLUG, e.Cycled(), e.TimedOutWaiting())
    assert run(life, e.TimedOutWaiting())[1] == [e.CyclePower(PLACE)]


def test_an_unreliable_board_never_loses_its_power() -> None:
    life, effects = run(evolve(reserved(), power=True), e.Unreliable("is unreliable", again=True))
    assert isinstance(life.state, s.Broken)
    assert not any(isinstance(effect, e.CyclePower) for effect in effects)


def test_an_unreliable_board_is_flashed_once_before_it_is_set_aside() -> None:
    life, effects = run(reserved(), e.Unreliable("is unreliable"))
    assert life.state == s.Touching()
    assert effects == [e.SuspendKind("the board is being restarted"), e.ClosePort(), e.Touch1200(TTY)]
    life, effects = run(reserved(), e.Unreliable("is unreliable", again=True))
    assert life.state == s.Broken("is unreliable")
    assert effects == [e.SuspendKind("is unreliable"), e.ClosePort(), e.FailWaiting("the board is unreliable")]
    # Its reservation may have ended before.
    assert run(ready(), e.Unreliable("is unreliable", again=True)) == (ready(), [])


def test_a_board_that_does_not_come_to_its_boot_loader_has_its_power_cycled() -> None:
    life, effects = run(Life(DEFAULT, power=True), PLUG, e.Greeted(COUNTER), UNPLUG, e.TimedOutWaiting())
    assert life.state == s.Cycling("left for its boot loader, and no boot drive appeared")
    assert effects == [e.CyclePower(PLACE)]


def test_a_board_has_time_for_its_power_to_be_cycled_and_then_to_start() -> None:
    life, _ = failing()
    assert time_limit(life) == s.CYCLE_LIMIT
    assert time_limit(run(life, UNPLUG, e.Cycled())[0]) == s.RESTART_LIMIT


def test_a_reserved_board_keeps_its_reservation_while_its_power_is_cycled() -> None:
    life = evolve(reserved(), power=True, tries=TRIES - 1)
    life, effects = run(life, e.Failed("is silent"))
    assert [type(effect) for effect in effects] == [e.SuspendKind, e.ClosePort, e.CyclePower]
    assert run(life, UNPLUG, e.Cycled(), PLUG, e.Greeted(COUNTER))[1] == [e.StartKind()]


class Lives(RuleBasedStateMachine):
    """Any event that can happen, in any state: never an error, and a good board always finds its way back."""

    def __init__(self) -> None:
        super().__init__()
        self.life = fresh()

    @initialize(power=st.booleans())
    def switches(self, power: bool) -> None:
        self.life = Life(DEFAULT, power=power)

    def _step(self, event: e.Event) -> None:
        before = self.life
        self.life, self.effects = step(before, event)
        begun = e.OpenPort | e.Touch1200 | e.WriteImage | e.CyclePower
        opened = [effect for effect in self.effects if isinstance(effect, begun)]
        assert len(opened) <= 1
        # Between two cycles of its power a board was in order, or set aside.
        assert not (before.cycled and opened and isinstance(opened[0], e.CyclePower)) or isinstance(
            before.state, s.Broken
        )
        # What leaves the kind's states says so; what closes is open.
        was_held = isinstance(before.state, s.Preparing | s.Reserved)
        is_held = isinstance(self.life.state, s.Preparing | s.Reserved)
        assert any(isinstance(effect, e.SuspendKind) for effect in self.effects) == (was_held and not is_held)

    @rule(event=st.sampled_from([PLUG, UNPLUG, LOADER, LOADER_GONE]))
    def usb(self, event: e.Event) -> None:
        self._step(event)

    @rule(
        event=st.sampled_from(
            [
                e.Assign(WANT),
                e.Assign(s.DesiredState("r2", "other", s.Firmware("other", "2"))),
                e.Assign(s.DesiredState("r3", "plain", DEFAULT)),
                e.Release(),
                e.Reboot(),
                e.Retest(),
                e.Delete(),
                e.Proven(),
                e.Mended(),
                e.Unreliable("is unreliable"),
                e.Unreliable("is unreliable", again=True),
            ]
        )
    )
    def command(self, event: e.Event) -> None:
        self._step(event)

    @precondition(lambda self: time_limit(self.life) is not None)
    @rule()
    def time_passes(self) -> None:
        self._step(e.TimedOutWaiting())

    @precondition(lambda self: isinstance(self.life.state, s.Seen | s.Testing | s.Ready | s.Preparing | s.Reserved))
    @rule(lost=st.booleans())
    def the_board_fails(self, lost: bool) -> None:
        self._step(e.PortLost("x") if lost else e.Failed("x"))

    @precondition(lambda self: isinstance(self.life.state, s.Touching | s.Flashing) or _cycling(self.life))
    @rule()
    def flashing_fails(self) -> None:
        self._step(e.Failed("x"))

    @precondition(lambda self: isinstance(self.life.state, s.Seen))
    @rule(firmware=st.sampled_from([DEFAULT, COUNTER, s.Firmware("default", "0")]))
    def hello(self, firmware: s.Firmware) -> None:
        self._step(e.Greeted(firmware))

    @precondition(lambda self: type(self.life.state) in _ENDS or _cycling(self.life))
    @rule()
    def a_procedure_ends(self) -> None:
        self._step(e.Cycled() if _cycling(self.life) else _ENDS[type(self.life.state)])

    @invariant()
    def states_on_the_way_have_a_limit(self) -> None:
        settled = isinstance(self.life.state, s.Ready | s.Reserved) or self.life.state == evolve_gone(self.life)
        assert (time_limit(self.life) is None) == settled

    @invariant()
    def a_held_state_has_a_reservation(self) -> None:
        if isinstance(self.life.state, s.Preparing | s.Reserved):
            assert self.life.want is not None
        if isinstance(self.life.state, s.Testing | s.Ready):
            assert self.life.want is None

    @invariant()
    def a_good_board_gets_there(self) -> None:
        life = _perfect_board(self.life)
        assert isinstance(life.state, s.Ready if self.life.want is None else s.Reserved)
        assert life.want == self.life.want


_ENDS: dict[type, e.Event] = {s.Testing: e.TestsPassed(), s.Flashing: e.Written(), s.Preparing: e.KindStarted()}


def _cycling(life: Life) -> bool:
    """Tell whether power is being cycled just now."""
    return isinstance(life.state, s.Cycling) and not life.state.done


def evolve_gone(life: Life) -> s.State | None:
    """Return the state if it is that of a board that is given up waiting for."""
    return life.state if isinstance(life.state, s.Gone) and not life.state.waiting else None


def _perfect_board(life: Life) -> Life:
    """Let a board that does all it is told, and is plugged in, play with the machine; return how that ends."""
    runs = DEFAULT
    if life.port is None and life.drive is None:
        life, _ = step(life, PLUG)
    for _ in range(60):
        match life.state:
            case s.Ready() | s.Reserved():
                return life
            case s.Seen():
                event: e.Event = e.Greeted(runs)
            case s.Touching():
                event = LOADER if life.port is None else UNPLUG
            case s.Flashing(image):
                runs, event = image, e.Written()
            case s.Restarting():
                event = LOADER_GONE if life.drive is not None else PLUG
            case s.Cycling():
                event = PLUG if life.state.done else e.Cycled()
            case s.Testing() | s.Preparing():
                event = _ENDS[type(life.state)]
            case _:
                event = e.TimedOutWaiting() if time_limit(life) is not None else PLUG
        life, _ = step(life, event)
    raise AssertionError(f"no end in {life}")


TestLives = Lives.TestCase


@given(st.lists(st.sampled_from([PLUG, UNPLUG, LOADER, LOADER_GONE, e.Assign(WANT), e.Release()]), max_size=30))
def test_a_report_can_be_made_of_every_life(events: list[e.Event]) -> None:
    life, _ = run(fresh(), *events)
    status, _ = status_of(life)
    assert status in DeviceStatus
