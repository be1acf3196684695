"""What a notebook shows of results, boards, a farm and an experiment; bars and tables."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from icefarm.bitstream import made_up_bitstream
from icefarm.client import Boards, Farm, Result, results_table
from icefarm.client.api.notebook.plots import picture_of
from icefarm.client.api.notebook.shown import circuit_name, html_table, short_repr, sparkline
from icefarm.errors import InvalidArgument, TimedOut
from icefarm.testing.in_memory import FarmInMemory

CIRCUIT = Path(__file__).parents[2] / "examples" / "circuits" / "square_2khz.bin"
EVIL = "<script>alert(1)</script>&"


@pytest.fixture(scope="module")
def farm() -> Iterator[Farm]:
    with FarmInMemory(boards=2) as running, running.client(name="ada", experiment="ga-<7>") as farm:
        yield farm


@pytest.fixture(scope="module")
def boards(farm: Farm) -> Iterator[Boards]:
    with farm.reserve(2, window=0.01) as boards:
        yield boards


def test_a_result_says_circuit_board_and_value_in_a_line(boards: Boards) -> None:
    (result,) = boards.evaluate([CIRCUIT])
    assert repr(result) == f"Result({CIRCUIT}, serial={result.serial!r}, value={result.value})"


def test_a_result_of_bytes_or_of_many_values_is_short(boards: Boards) -> None:
    data = made_up_bitstream(1).data
    (result,) = boards.evaluate([data], options={"repeats": 100})
    assert len(data) > 100_000
    assert f"<{len(data):,} bytes>" in repr(result)
    assert len(repr(result)) < 250
    assert len(result._repr_html_()) < 1000


def test_a_failed_result_shows_its_error() -> None:
    result = Result("a.bin", "E66", None, TimedOut(EVIL))
    assert "TimedOut" in repr(result)
    assert EVIL not in result._repr_html_()
    assert "timed_out" in result._repr_html_()


def test_names_and_values_are_cut_and_named() -> None:
    assert circuit_name("x" * 500 + "/a.bin").endswith("/a.bin")
    assert len(circuit_name("x" * 500)) == 80
    assert circuit_name("caf\udce9.bin") == "caf\N{REPLACEMENT CHARACTER}.bin"
    assert circuit_name(b"12345") == "<5 bytes>"
    assert circuit_name(object()) == "<object>"
    assert len(short_repr([1.5] * 1_000_000)) == 80


def test_all_text_of_a_table_is_escaped() -> None:
    text = html_table((EVIL,), [(EVIL,), (None,), (1.23456789,), ([EVIL],)], EVIL)
    assert "<script>" not in text
    cells = [cell.text for cell in ElementTree.fromstring(text).iter("td")]
    assert cells == [EVIL, "–", "1.23457", repr([EVIL])]


def test_a_sparkline_is_a_picture_of_its_values() -> None:
    line = ElementTree.fromstring(sparkline([1.0, 3.0, 2.0]))
    points = [tuple(map(float, point.split(","))) for point in line[1].attrib["points"].split()]
    assert [x for x, _ in points] == [1.0, 80.0, 159.0]
    assert points[1][1] < points[2][1] < points[0][1]
    assert sparkline([1.0]) == ""
    assert len(ElementTree.fromstring(sparkline([5.0, 5.0]))) == 2


def test_boards_and_a_farm_are_small_tables(farm: Farm, boards: Boards) -> None:
    cells = [cell.text for cell in ElementTree.fromstring(boards._repr_html_()).iter("td")]
    assert [serial for serial in boards.serials if serial not in cells] == []
    while "flashing" in farm._repr_html_():
        pass  # The farm hears from the second board a moment after the client.
    shown = [cell.text for cell in ElementTree.fromstring(farm._repr_html_()).iter("td")]
    assert shown == [farm.url, "ada", "ga-<7>", ", ".join(boards.serials), "2 reserved"]


def test_a_farm_that_is_closed_says_so() -> None:
    with FarmInMemory(boards=1) as running:
        farm = running.client(name="bob")
        farm.close()
        assert "closed" in farm._repr_html_()


def test_an_experiment_and_its_results_are_small_tables(farm: Farm, boards: Boards) -> None:
    list(boards.evaluate_each([CIRCUIT, CIRCUIT], experiment="shown", labels={"note": EVIL}, total=10))
    experiment = farm.experiment("shown")
    while not farm.experiments() or experiment.info().experiment.done < 4:
        pass
    cells = [cell.text for cell in ElementTree.fromstring(experiment._repr_html_()).iter("td")]
    assert cells[:6] == ["shown", "ada", "4", "10", "0", "2"]
    text = experiment.results()._repr_html_()
    assert len(list(ElementTree.fromstring(text).iter("tr"))) == 5
    assert "<script>" not in text
    first = next(iter(experiment.results()))
    assert repr(first) == f"ArchivedResult(seq={first.seq}, {CIRCUIT}, serial={first.serial!r}, value={first.value})"


def test_an_experiment_that_there_is_not_is_a_table_too(farm: Farm) -> None:
    assert "no experiment" in farm.experiment("none")._repr_html_()
    assert "no experiment" in farm.experiment("none").results()._repr_html_()


def test_results_become_a_table_of_pandas(boards: Boards) -> None:
    frame = results_table(boards.evaluate_each([CIRCUIT, b"no bitstream"]))
    assert len(frame) == 4
    good = frame[frame.error.isna()]
    assert list(good.circuit) == [str(CIRCUIT)] * 2
    assert set(good.serial) == set(boards.serials)
    assert (good.value > 0).all()
    assert list(frame[frame.error.notna()].error) == ["invalid_bitstream"] * 2


def test_progress_is_a_bar(boards: Boards, capsys: pytest.CaptureFixture[str]) -> None:
    results = list(boards.evaluate_each([CIRCUIT] * 3, progress=True))
    assert len(results) == 6
    assert "6/6" in capsys.readouterr().err


def test_without_tqdm_progress_says_what_to_install(boards: Boards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(InvalidArgument, match=r"tqdm is not installed: pip install 'icefarm\[notebook\]'"):
        boards.evaluate([CIRCUIT], progress=True)


def test_an_interrupt_ends_the_evaluation_and_keeps_the_boards(boards: Boards) -> None:
    def endless() -> Iterator[Path]:
        for number in range(10**9):
            if number == 20:
                raise KeyboardInterrupt
            yield CIRCUIT

    held = boards.serials
    with pytest.raises(KeyboardInterrupt):
        results_table(boards.evaluate(endless(), progress=True))
    assert boards.serials == held
    assert [result.ok for result in boards.evaluate_each([CIRCUIT])] == [True, True]


def test_a_plot_is_a_figure_of_matplotlib(farm: Farm, boards: Boards) -> None:
    list(boards.evaluate_each([CIRCUIT], experiment="plotted"))
    experiment = farm.experiment("plotted")
    experiment.log(generation=1)
    while experiment.info().experiment.done < 2:
        pass
    figure = experiment.plot(best="min")
    assert [place.get_ylabel() for place in figure.axes] == ["value", "generation"]


def test_the_best_so_far_goes_by_time_and_either_way() -> None:
    rows = [{"ended_at": 10.0 + at, "serial": "B" if at % 2 else "A", "number": value} for at, value in
            ((2, 5.0), (0, 3.0), (1, 4.0), (3, 1.0))]  # fmt: skip
    rows.append({"ended_at": 11.0, "serial": "A", "number": None})
    figures = [{"time": 300.0, "figures": {"x": 1.0}}]
    picture = picture_of("ga", rows, figures, "max")
    assert (picture.unit, picture.points) == ("minutes", 4)
    assert list(picture.best.values) == [3.0, 4.0, 5.0, 5.0]
    assert list(picture_of("ga", rows, (), "min").best.values) == [3.0, 3.0, 3.0, 1.0]
    assert [(line.name, list(line.values)) for line in picture.boards] == [("A", [3.0, 5.0]), ("B", [4.0, 1.0])]
    assert picture.figures[0].times == [pytest.approx(290 / 60)]
