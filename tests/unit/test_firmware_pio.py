"""The PIO programs of the real boards' firmware, stepped cycle by cycle in an emulator."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pio_machine import Machine, programs

PORT = Path(__file__).parents[2] / "firmware" / "ports" / "pico2_ice"
ONES = 0xFFFF_FFFF
FLAG = 4
#: Cycles of the system clock in a tick of the window's machine; the firmware has 75, for half a microsecond.
DIVIDER = 3


def as_fpga_sees_it(sent: bytes) -> tuple[list[int], list[int], Machine]:
    """Return the bits at rising edges of the clock, the cycles at which these were, and the machine afterwards."""
    machine = Machine(programs(PORT / "cram.pio")["cram"], autopull=8, side=1)
    # A byte that DMA writes is in every byte of the word.
    machine.tx = [byte * 0x0101_0101 for byte in sent]
    bits, edges = [], []
    for cycle in range(len(sent) * 48 + 50):
        before = machine.side
        machine.step()
        if (before, machine.side) == (0, 1):
            bits.append(machine.out_pin)
            edges.append(cycle)
    return bits, edges, machine


@settings(max_examples=20, deadline=None)
@given(st.binary(min_size=1, max_size=20))
def test_the_fpga_gets_every_bit_most_significant_first(sent: bytes) -> None:
    bits, _, _ = as_fpga_sees_it(sent)
    assert bits == [byte >> at & 1 for byte in sent for at in range(7, -1, -1)]


def test_a_bit_takes_six_cycles_also_from_byte_to_byte() -> None:
    _, edges, _ = as_fpga_sees_it(b"\xa5\x3c\x00")
    assert {later - earlier for earlier, later in pairwise(edges)} == {6}


def test_the_configuration_clock_rests_high() -> None:
    _, edges, machine = as_fpga_sees_it(b"\x55")
    assert len(edges) == 8
    assert machine.side == 1


def test_one_clock_can_be_sent_at_a_time() -> None:
    machine = Machine(programs(PORT / "cram.pio")["cram"], autopull=1, side=1)
    for clocks in range(1, 4):
        machine.tx.append(0)
        sides = []
        for _ in range(30):
            machine.step()
            sides.append(machine.side)
        assert list(pairwise(sides)).count((0, 1)) == 1, clocks


def test_the_load_ends_with_49_periods_and_lets_go_of_the_clock_at_the_last_edge() -> None:
    machine = Machine(programs(PORT / "cram.pio")["cram_finish"], side=1)
    machine.tx = [49]
    edges, released = [], None
    for cycle in range(400):
        before, drove = machine.side, machine.drives
        machine.step()
        if (before, machine.side) == (0, 1):
            assert machine.drives
            edges.append(cycle)
        if drove and not machine.drives:
            released = cycle
    assert {later - earlier for earlier, later in pairwise(edges)} == {6}
    assert len(edges) == 50
    assert released == edges[-1] + 3
    assert len(machine.rx) == 1


def count(level: Callable[[int], int], ticks: int, before: int = 40) -> tuple[int, int, int]:
    """Count during a window; ``level`` is that of the pin by cycle from when the counting machine starts.

    The window's machine gets its word ``before`` cycles later.  Returns the pulses, and the cycles at which the
    window was opened and closed.
    """
    flags: set[int] = set()
    now = 0
    found = programs(PORT / "counter.pio")
    counter = Machine(found["counter"], flags, pin=lambda: level(now), x=ONES)
    window = Machine(found["window"], flags, divider=DIVIDER)
    opened = closed = 0
    while not window.rx:
        if now == before:
            window.tx.append(ticks)
        was = FLAG in flags
        counter.step()
        window.step()
        window.settle()
        opened = now if not was and FLAG in flags else opened
        closed = now if was and FLAG not in flags else closed
        now += 1
    for _ in range(20):
        counter.step()
        now += 1
    return ONES - counter.x, opened, closed


@pytest.mark.parametrize("ticks", [0, 1, 2, 100, 1998])
def test_the_window_is_open_for_two_ticks_more_than_it_was_given(ticks: int) -> None:
    _, opened, closed = count(lambda _: 0, ticks)
    assert closed - opened == (ticks + 2) * DIVIDER


@pytest.mark.parametrize("period", [6, 7, 10, 75, 150])
def test_all_pulses_within_the_window_are_counted(period: int) -> None:
    pulses, opened, closed = count(lambda now: now % period < period // 2, 1998)
    assert abs(pulses - (closed - opened) / period) <= 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(3, 40), st.integers(3, 40)), min_size=1, max_size=60), st.integers(0, 200))
def test_edges_count_where_the_gate_is_open_and_nowhere_else(pulses: list[tuple[int, int]], ticks: int) -> None:
    levels = [level for low, high in pulses for level in [0] * low + [1] * high]
    counted, opened, closed = count(lambda now: levels[now] if now < len(levels) else 0, ticks)
    edges = [at for at in range(1, len(levels)) if levels[at] and not levels[at - 1]]
    # An edge is judged one cycle after it was seen, at the latest two cycles after it came.
    surely = sum(opened <= at < closed - 3 for at in edges)
    perhaps = sum(opened - 3 <= at <= closed for at in edges)
    assert surely <= counted <= perhaps


def test_the_pull_up_has_ten_microseconds_before_the_window_opens() -> None:
    rises = 40 + 19 * DIVIDER  # in the tick before it opens; the word comes after 40 cycles
    counted, opened, _ = count(lambda now: now >= rises - 3, 500)
    assert opened >= rises
    assert counted == 0


def test_a_pin_that_is_high_all_the_time_has_no_edge() -> None:
    assert count(lambda _: 1, 500)[0] == 0


def test_the_fastest_pulses_that_are_all_counted_last_five_cycles() -> None:
    counted, opened, closed = count(lambda now: now % 5 < 2, 1998)
    assert abs(counted - (closed - opened) / 5) <= 1


@pytest.mark.parametrize("cycles", [1500, 3401, 5])
def test_conversions_start_at_even_intervals(cycles: int) -> None:
    machine = Machine(programs(PORT / "sampler.pio")["sampler"])
    delay, word = 1000, 0x1007
    machine.tx = [delay, cycles - 4, word]
    starts = []
    for now in range(delay + 6 * cycles + 20):
        machine.step()
        if machine.rx:  # DMA takes it at once
            assert machine.rx.pop() == word
            starts.append(now)
    assert delay <= starts[0] <= delay + 10
    assert {later - earlier for earlier, later in pairwise(starts)} == {cycles}


def test_nothing_is_started_that_nobody_takes() -> None:
    machine = Machine(programs(PORT / "sampler.pio")["sampler"])
    machine.tx = [0, 10, 1]
    for _ in range(1000):
        machine.step()
    assert len(machine.rx) == machine.rx_room


@pytest.mark.parametrize(
    ("names", "size"),
    [(("cram", "cram_finish", "counter", "sampler"), 24), (("counter", "window"), 12), (("counter",), 5)],
)
def test_the_programs_of_each_pio_fit_into_it(names: tuple[str, ...], size: int) -> None:
    found = {name: each for path in PORT.glob("*.pio") for name, each in programs(path).items()}
    assert sum(len(found[name].code) for name in names) == size <= 32  # firmware/ports/pico2_ice/machines.h
