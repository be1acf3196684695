"""The benchmark's own reckoning: which circuits it takes, what it makes of processes' accounts, goals."""

from __future__ import annotations

import os
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from bench.accounts import Account, Accounts, accounts_of, parties
from bench.archiving import ArchiveFigures, Turn
from bench.bare_router import RouterLimit
from bench.circuits import SHARES, Form, Mix, circuit, forms
from bench.files import COUNT, write_circuits
from bench.goals import GOALS, compare
from bench.instant import InstantFigures, Stretch
from bench.many_boards import ManyFigures, Step, many_lines, ratio_lines, router_of
from bench.real import RealFigures
from bench.report import Figures, archive_lines, comparison_lines, instant_lines, simulated_lines
from bench.simulated import SimulatedFigures
from bench.variants import banks_of, variant
from icefarm.bitstream import check, compress, from_file
from icefarm.client.evaluation.payload import CACHED_FILES
from icefarm.client.evaluation.sent import ASSUMED_CACHE_BYTES
from icefarm.farm.paths import DataDirectory
from icefarm.testing.processes.farm_process import command_of

KNOWN = Path(__file__).parents[2] / "examples" / "circuits" / "square_2khz.bin"


def stretch(rate: float, worker: float = 0.5) -> Stretch:
    return Stretch(
        2.0, int(rate * 2), {"worker": worker, "client": 0.25, "boards": 9.0}, 15_000, 500, 15_000, 0.0, 12.0
    )


def figures(boards: int, *rates: float) -> InstantFigures:
    accounts = {"worker": Account(cpu=1.0, threads=2, processes=1)}
    latency = [float(each) for each in range(1, 101)]
    router = [RouterLimit(1, 2000.0), RouterLimit(16, 1000.0)]
    stretches, calls = [stretch(rate) for rate in rates], [10.0, 17.0, 30.0]
    return InstantFigures(boards, [0.3, 0.1, 0.2], latency, stretches, accounts, router=router, lone_calls=calls)


def test_a_router_is_found_by_the_directory_of_either_of_its_nodes() -> None:
    places = {number: DataDirectory(Path("farm")).router_place(number).nodes for number in range(1, 13)}
    assert {number: [router_of(node.name) for node in nodes] for number, nodes in places.items()} == {
        number: [number, number] for number in places
    }


@pytest.mark.parametrize("form", list(Form))
def test_a_circuit_of_each_form_is_a_valid_bitstream(form: Form) -> None:
    check(circuit(1, form).data)


def test_circuits_of_a_form_differ_from_each_other() -> None:
    assert len({circuit(seed, Form.EVOLVED).sha256 for seed in range(20)}) == 20


def test_a_circuit_is_the_same_every_time() -> None:
    assert circuit(7, Form.SPARSE) == circuit(7, Form.SPARSE)


def test_sparse_evolved_and_dense_circuits_differ_in_what_is_sent() -> None:
    sparse, evolved, dense = (len(compress(circuit(1, form).data)) for form in (Form.SPARSE, Form.EVOLVED, Form.DENSE))
    assert sparse < 4_000 < evolved < 20_000
    assert dense > 104_090


def test_related_circuits_are_dense_and_differ_in_a_few_bits() -> None:
    one, other = circuit(1, Form.RELATED), circuit(2, Form.RELATED)
    bits = (int.from_bytes(one.data) ^ int.from_bytes(other.data)).bit_count()
    # Their own bits, and the two CRCs.
    assert 10 < bits <= 2 * 20 + 16
    assert len(compress(one.data)) > 104_090


def test_a_mix_has_its_shares_of_each_form() -> None:
    counted = Counter(islice(forms(Mix.MIXED), 20 * 3))
    assert counted == {form: 3 * share for form, share in SHARES.items()}


def test_the_dense_circuits_of_a_mix_are_spread() -> None:
    places = [place for place, form in enumerate(islice(forms(Mix.MIXED), 20)) if form is Form.DENSE]
    assert places[1] - places[0] > 5


@pytest.mark.parametrize("mix", [Mix.MIXED, Mix.EVOLVED])
def test_there_are_more_circuits_than_client_and_worker_remember(mix: Mix) -> None:
    some = [circuit(number, form) for number, form in enumerate(islice(forms(mix), 20))]
    packed = sum(len(compress(each.data)) for each in some) / len(some)
    assert CACHED_FILES < COUNT
    assert packed * COUNT > ASSUMED_CACHE_BYTES


def test_the_files_hold_the_circuits(tmp_path: Path) -> None:
    written = write_circuits(tmp_path / "circuits", Mix.SPARSE, 3)
    assert [path.read_bytes() for path in written.paths] == [circuit(seed, Form.SPARSE).data for seed in range(3)]


def test_this_process_is_the_client_and_has_used_some_time() -> None:
    account = accounts_of({"client": [os.getpid()]}).of["client"]
    assert account.cpu > 0
    assert account.rss > 1_000_000
    assert account.threads >= 1


def test_the_processes_of_a_farm_are_told_apart_by_their_commands() -> None:
    members = parties(os.getpid())
    assert os.getpid() in members["client"]
    assert all(command_of(pid) for pids in members.values() for pid in pids)


def test_a_party_that_came_later_has_used_what_it_has() -> None:
    earlier = Accounts({"worker": Account(cpu=1.0)})
    later = Accounts({"worker": Account(cpu=3.0), "router": Account(cpu=0.5)})
    assert later.cpu_since(earlier) == {"worker": 2.0, "router": 0.5}


def test_a_process_that_has_ended_counts_nothing() -> None:
    assert accounts_of({"worker": [2**22 + 1]}).of["worker"] == Account()


def test_the_stretch_with_the_median_rate_counts() -> None:
    assert figures(64, 900, 1200, 1000).stretch.rate == 1000


def test_the_simulation_of_boards_is_not_among_what_an_evaluation_costs() -> None:
    assert stretch(1000).cpu_without_boards == 0.75


def test_half_of_the_evaluations_were_not_slower_than_the_median() -> None:
    assert figures(1, 100).latency_at(0.5) == 51


def test_a_rate_meets_its_goal_from_above_and_a_cost_from_below() -> None:
    found = compare({"evaluations a second, 64 boards": 1001, "one evaluation, submit to result, p50": 5.1})
    assert [each.met for each in found] == [True, False]


def test_the_factor_says_how_many_times_better_it_is() -> None:
    found = compare({"evaluations a second, 64 boards": 1090, "one evaluation, submit to result, p50": 4})
    assert [each.ratio for each in found] == [5, 8]


def test_a_figure_without_anything_to_compare_it_with_has_no_factor() -> None:
    (found,) = compare({"reserve to ready, 200 boards": 1.0})
    assert found.ratio is None


def many(boards: int) -> ManyFigures:
    steps, taken = [Step(2.0, {}, 0.0)], stretch(900)
    return ManyFigures(boards, 10, 0.0, 0.0, steps, steps, steps, [1.0], real=taken, idle={"control": 2.0})


def test_boards_that_take_their_time_are_compared_with_what_they_could_do() -> None:
    found = {each.goal.name: each for each in Figures({}, many=[many(1000)]).compared()}
    # A thousand boards do 966 evaluations of 1.0348 s a second.
    assert found["part of real boards' rate, one client, 1000 boards"].measured == pytest.approx(0.931, abs=0.001)
    assert found["part of real boards' rate, one client, 1000 boards"].met is False
    assert found["reserve all, 1000 boards"].met is True


def test_a_farm_of_several_routers_does_not_stand_beside_the_goals_of_one() -> None:
    several = many(1000)
    several.routers, several.whole = 2, 1000.0
    both = {each.goal.name: each.measured for each in Figures({}, many=[many(1000), several]).compared()}
    assert both["router killed, until each board has evaluated, 1000 boards"] == 0.0


def test_all_that_is_measured_of_the_standard_farms_has_its_place_in_the_table() -> None:
    whole = Figures({}, instant=[figures(boards, 1000) for boards in (1, 4, 64, 200)])
    whole.simulated = [SimulatedFigures(64, [stretch(600)], [stretch(700)])]
    whole.rows = [ArchiveFigures("rows", [Turn(100, {"control": 0.1})], [Turn(100, {})])]
    whole.real = [RealFigures(16, window, 100, 35.0, 36.0, 34.5, 0.9, 120.0) for window in (0.1, 1.0)]
    whole.many = [many(boards) for boards in (1000, 2000, 4000)]
    placed = {each.goal.name for each in whole.compared()}
    for mix in (Mix.SPARSE, Mix.DENSE, Mix.RELATED):
        placed |= {each.goal.name for each in Figures({}, mix, [figures(64, 1000)]).compared()}
    assert placed == set(GOALS)


def test_the_rate_is_shown_beside_what_the_router_alone_passes_on() -> None:
    found = {each.goal.name: each.measured for each in Figures({}, instant=[figures(64, 1000)]).compared()}
    assert found["part of the bare router's rate, 1 in a message, 64 boards"] == 0.5
    assert found["part of the bare router's rate, 16 in a message, 64 boards"] == 1 / 16
    assert "16000 circuits/s in 1000 calls/s" in "\n".join(instant_lines(figures(64, 1000)))


def test_an_evaluation_that_is_alone_is_compared_with_a_call_that_is() -> None:
    found = {each.goal.name: each.measured for each in Figures({}, instant=[figures(1, 1000)]).compared()}
    assert found["the same, in calls that are alone over the bare router, p50"] == 3.0
    assert "p50 17.00 ms; an evaluation takes 3.0 of them" in "\n".join(instant_lines(figures(1, 1000)))


def test_a_goal_that_is_missed_is_pointed_out() -> None:
    (_, line) = comparison_lines(compare({"evaluations a second, 64 boards": 999}))
    assert "NOT" in line


def test_the_cost_of_the_archive_is_the_mean_difference_of_neighbouring_turns() -> None:
    archived = [Turn(100, {"worker": 0.5 + extra, "control": 0.1, "boards": 9.0}) for extra in (0.02, 0.06, 0.04)]
    plain = [Turn(100, {"worker": 0.5, "control": 0.05, "boards": 3.0}) for _ in range(3)]
    found = ArchiveFigures("evaluations", archived, plain)
    assert found.cost == pytest.approx(0.09)
    # Student's t of 4.30 for three pairs, and a standard deviation of 0.02.
    assert found.margin == pytest.approx(4.30 * 0.02 / 3**0.5)
    assert found.parties == ["control", "worker"]
    assert found.cost_of("worker") == pytest.approx(0.04)
    assert "0.0900 +- 0.0497" in "\n".join(archive_lines(found))


def test_one_pair_of_turns_says_nothing_of_the_others() -> None:
    found = ArchiveFigures("evaluations", [Turn(100, {"worker": 0.5})], [Turn(100, {"worker": 0.4})])
    assert found.margin == float("inf")
    (told,) = Figures({}, rows=[found]).as_json()["rows"]
    assert told["margin"] is None


def test_the_text_names_every_party_and_its_cost() -> None:
    text = "\n".join(instant_lines(figures(64, 1000)))
    assert all(word in text for word in ("worker", "PostgreSQL", "0.50", "0.75", "p99 100.0 ms"))


def test_a_variant_of_a_circuit_differs_from_it_in_a_few_look_up_tables() -> None:
    known = from_file(KNOWN)
    changed = variant(known, 1)
    check(changed.data)
    before, after = (b"".join(banks_of(each.data)) for each in (known, changed))
    assert 0 < (int.from_bytes(before) ^ int.from_bytes(after)).bit_count() <= 3


def test_variants_of_a_circuit_are_many_and_the_same_every_time() -> None:
    known = from_file(KNOWN)
    assert variant(known, 1) == variant(known, 1)
    assert len({variant(known, seed).sha256 for seed in range(50)}) == 50


def test_new_and_known_circuits_have_goals_of_their_own() -> None:
    whole = Figures({}, simulated=[SimulatedFigures(64, [stretch(400)], [stretch(600)])])
    assert [each.met for each in whole.compared()] == [False, True]
    assert "new      400 evaluations/s" in "\n".join(simulated_lines(whole.simulated[0]))


def test_many_boards_are_told_of_by_the_step_that_took_the_median_time_with_all_that_went_wrong() -> None:
    steps = [Step(seconds, {"control": seconds / 10}, 0.5) for seconds in (3.0, 1.0, 2.0)]
    figures = ManyFigures(1000, 10, 20.0, 4.0, steps, steps, steps, [1.0, 9.0, 2.0], [0.5, 0.7], ["TimedOut: late"])
    text = "\n".join(many_lines(figures))
    assert "2.00 s (3.00, 1.00, 2.00; 0.5 cores busy with other work)" in text
    assert "control 0.20" in text
    assert "p50, p99       2.0 ms     9.0 ms" in text
    assert text.endswith("ERROR TimedOut: late")


def test_several_routers_are_compared_with_one_by_ratios() -> None:
    def figures(routers: int, evaluations: int, cpu_ms: dict[str, float], whole: float) -> ManyFigures:
        steps, stretch = [Step(2.0, {}, 0.0)], Stretch(10.0, evaluations, cpu_ms, 0.0, 0.0, 0.0, 0.0, 20.0)
        return ManyFigures(100, 2, reserve=steps, back=steps, evaluating=stretch, whole=whole, routers=routers)

    one = figures(1, 1000, {"router": 0.4, "control": 0.1}, 4.0)
    two = figures(2, 1500, {"router": 0.2, "router 2": 0.3, "control": 0.1}, 2.0)
    first, *lines = ratio_lines(one, two)
    assert first.startswith("2 routers / 1 router, 100 boards")
    ratios = {line[:54].strip(): line[54:].strip() for line in lines}
    assert ratios["evaluations a second"] == "1.50  (100, 150)"
    assert ratios["ms of CPU an evaluation, the busiest router"] == "0.75  (0.4, 0.3)"
    assert ratios["ms of CPU an evaluation, all processes"] == "1.20  (0.5, 0.6)"
    assert ratios["s from a router's end until every board is called"].startswith("0.50")
