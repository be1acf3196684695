"""The faces over the engine: threads, generators, endings."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from memory_faces import Faces
from recording_farm import calibration
from twisted.internet.defer import Deferred

from icefarm.bitstream import made_up_bitstream
from icefarm.calibration.records import Reading
from icefarm.client import aio, blocking, deferred
from icefarm.client.api.process_engine import engine
from icefarm.client.device import Device
from icefarm.client.placement import EachBoard
from icefarm.client.session import ClientSession
from icefarm.errors import (
    DeviceFailed,
    InvalidArgument,
    InvalidBitstream,
    LinkLost,
    NameInUse,
    ReservationEnded,
    TimedOut,
    Unavailable,
)

CIRCUIT = made_up_bitstream(1).data
OTHER = made_up_bitstream(2).data


@pytest.fixture
def faces() -> Faces:
    return Faces()


# -------------------------------------------------------------------------------------------------- blocking


def test_leaving_the_blocks_ends_the_reservations(faces: Faces) -> None:
    with faces.Farm(name="exp") as farm:
        with farm.reserve(2, window=0.5) as boards:
            assert boards.serials == ["A", "B"]
            assert set(faces.farm.reservations) == {"A", "B"}
        assert faces.farm.reservations == {}
        farm.reserve(1)
    assert faces.farm.reservations == {}


def test_an_exception_in_the_block_ends_the_reservations_and_goes_on(faces: Faces) -> None:
    with pytest.raises(KeyboardInterrupt), faces.Farm(name="exp") as farm, farm.reserve(2):
        raise KeyboardInterrupt
    assert faces.farm.reservations == {}


def test_results_come_with_the_very_object_that_was_given(faces: Faces) -> None:
    given = [CIRCUIT, OTHER]
    with faces.Farm(name="exp") as farm, farm.reserve(1) as boards:
        results = list(boards.evaluate(given))
    assert {id(result.source) for result in results} == {id(each) for each in given}
    assert {result.value for result in results} == {1000}


def test_each_bitstream_is_evaluated_on_each_board(faces: Faces) -> None:
    with faces.Farm(name="exp") as farm, farm.reserve(2) as boards:
        results = list(boards.evaluate_each([CIRCUIT] * 5))
        on_one = list(boards.evaluate_each([CIRCUIT] * 3, serials=["B"]))
    assert sorted(result.serial or "" for result in results) == ["A"] * 5 + ["B"] * 5
    assert [result.serial for result in on_one] == ["B"] * 3


def test_bitstreams_are_pulled_in_the_callers_thread_as_boards_need_them(faces: Faces) -> None:
    pulled: list[threading.Thread] = []

    def endless() -> Iterator[bytes]:
        while True:
            pulled.append(threading.current_thread())
            yield CIRCUIT

    with faces.Farm(name="exp") as farm, farm.reserve(2) as boards:
        results = boards.evaluate(endless(), depth=2)
        first = [next(results) for _ in range(100)]
        results.close()  # type: ignore[attr-defined]
    assert len(first) == 100
    assert set(pulled) == {threading.current_thread()}
    assert len(pulled) < 150


def test_what_the_callers_iterable_raises_reaches_the_caller(faces: Faces) -> None:
    def broken() -> Iterator[bytes]:
        yield CIRCUIT
        raise ZeroDivisionError

    with faces.Farm(name="exp") as farm, farm.reserve(1) as boards, pytest.raises(ZeroDivisionError):
        list(boards.evaluate(broken()))


def test_a_run_that_is_interrupted_as_it_is_handed_over_is_stopped(
    faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faces.Farm(name="exp") as farm, farm.reserve(1) as boards:
        begin, handed_over = farm._engine.begin, list[str]()

        def interrupted(function: Any, *args: Any, **kwargs: Any) -> Any:
            following = begin(function, *args, **kwargs)
            if function.__qualname__ == "PlannedRun.begin":
                handed_over.append("run")
                raise KeyboardInterrupt
            return following

        with monkeypatch.context() as patch:
            patch.setattr(farm._engine, "begin", interrupted)
            with pytest.raises(KeyboardInterrupt):
                next(boards.evaluate([CIRCUIT] * 99))
        assert handed_over == ["run"]
        assert faces.there(lambda: len(farm._subject.boards._users)) == 0


def test_a_bad_bitstream_is_one_result_and_the_others_go_on(faces: Faces) -> None:
    with faces.Farm(name="exp") as farm, farm.reserve(1) as boards:
        results = {result.source: result for result in boards.evaluate([b"rubbish", CIRCUIT])}
    assert results[CIRCUIT].value == 1000
    assert not results[b"rubbish"].ok
    with pytest.raises(InvalidBitstream):
        _ = results[b"rubbish"].value


def test_errors_of_a_reservation_are_raised(faces: Faces) -> None:
    with faces.Farm(name="exp") as farm:
        with pytest.raises(Unavailable):
            farm.reserve(9)
        boards = farm.reserve(1)
        boards.end()
        with pytest.raises(ReservationEnded):
            list(boards.evaluate([CIRCUIT] * 99))


def test_a_refused_name_is_raised_where_the_farm_is_opened(faces: Faces) -> None:
    faces.farm.refusal = NameInUse("exp is taken")
    with pytest.raises(NameInUse, match="taken"):
        faces.Farm(name="exp")


def test_a_closed_farm_says_so(faces: Faces) -> None:
    farm = faces.Farm(name="exp")
    farm.close()
    farm.close()
    with pytest.raises(LinkLost, match="closed"):
        farm.available()


def test_a_listener_that_calls_the_farm_is_told_off_instead_of_waiting_for_ever(faces: Faces) -> None:
    caught: list[Exception] = []

    def listen(_: Any) -> None:
        try:
            farm.available()
        except RuntimeError as error:
            caught.append(error)

    with faces.Farm(name="exp", on_event=listen) as farm:
        farm.reserve(1)
        faces.there(faces.farm.tell, "exp", "failure", "A")
    assert "event listener" in str(caught[0])


def test_what_fails_before_it_can_be_awaited_reaches_the_caller(faces: Faces) -> None:
    def broken() -> Any:
        raise ValueError("no sum")

    with pytest.raises(ValueError, match="no sum"):
        faces.engine.run(broken)
    with pytest.raises(ValueError, match="no sum"):
        faces.engine.submit(broken).result(20)


def test_a_forked_child_leaves_its_parents_reservations_alone(faces: Faces) -> None:
    with faces.Farm(name="exp") as farm, farm.reserve(1) as boards:
        child = os.fork()
        if child == 0:
            refused = False
            try:
                farm.available()
            except RuntimeError:
                refused = True
            boards.__exit__(None, None, None)
            farm.close()
            os._exit(0 if refused and engine().pid == os.getpid() else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert list(faces.farm.reservations) == ["A"]
        assert farm.available() == ["B"]


def test_a_forked_child_that_goes_on_with_its_parents_results_is_refused_instead_of_waiting_for_ever(
    faces: Faces,
) -> None:
    with faces.Farm(name="exp") as farm, farm.reserve(1) as boards:
        results = boards.evaluate([CIRCUIT] * 99)
        next(results)
        child = os.fork()
        if child == 0:
            # A child that waits is killed.
            signal.alarm(20)
            refused = False
            try:
                list(results)
            except RuntimeError:
                refused = True
            os._exit(0 if refused else 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert len(list(results)) == 98


# --------------------------------------------------------------------------------------------------- asyncio


def test_the_asyncio_face_evaluates(faces: Faces) -> None:
    async def script() -> list[Any]:
        async with faces.AsyncFarm(name="exp") as farm, await farm.reserve(2) as boards:
            return [result.value async for result in boards.evaluate([CIRCUIT] * 20)]

    assert asyncio.run(script()) == [1000] * 20
    assert faces.farm.reservations == {}


def test_the_asyncio_face_takes_asynchronous_iterables(faces: Faces) -> None:
    async def source() -> AsyncIterator[bytes]:
        for _ in range(5):
            await asyncio.sleep(0)
            yield CIRCUIT

    async def script() -> list[str | None]:
        async with faces.AsyncFarm(name="exp") as farm, await farm.reserve(2) as boards:
            return [result.serial async for result in boards.evaluate_each(source())]

    assert sorted(str(serial) for serial in asyncio.run(script())) == ["A"] * 5 + ["B"] * 5


def test_cancelling_an_asyncio_task_stops_its_evaluations(faces: Faces) -> None:
    faces.farm.holding = True

    async def script(begun: asyncio.Event) -> None:
        async def source() -> AsyncIterator[bytes]:
            while True:
                yield CIRCUIT
                begun.set()

        async with faces.AsyncFarm(name="exp") as farm, await farm.reserve(2) as boards:
            async for _ in boards.evaluate(source()):
                raise AssertionError

    async def cancel() -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(script(begun))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert faces.farm.reservations == {}


def test_an_asyncio_farm_that_was_not_opened_says_so_at_once(faces: Faces) -> None:
    async def script() -> None:
        farm = faces.AsyncFarm(name="exp")
        assert farm.closed
        with pytest.raises(LinkLost, match="open it first"):
            await farm.available()
        await farm.open()
        assert await farm.available() == ["A", "B"]
        await farm.close()
        with pytest.raises(LinkLost, match="closed"):
            await farm.available()

    asyncio.run(script())


def test_an_asyncio_farm_tells_events_in_its_event_loop(faces: Faces) -> None:
    async def script() -> list[tuple[str, threading.Thread]]:
        heard: asyncio.Queue[tuple[str, threading.Thread]] = asyncio.Queue()

        def listen(event: Any) -> None:
            heard.put_nowait((event.name, threading.current_thread()))

        async with faces.AsyncFarm(name="exp", on_event=listen) as farm:
            farm.listen(listen)
            await farm.reserve(1)
            await asyncio.to_thread(faces.there, faces.farm.tell, "exp", "failure", "A")
            return [await heard.get() for _ in range(2)]

    assert asyncio.run(script()) == [("failure", threading.current_thread())] * 2


# --------------------------------------------------------------------------------------------------- Deferreds


def test_the_deferred_face_runs_on_the_applications_reactor(faces: Faces) -> None:
    class Farm(deferred.Farm):
        _connect = staticmethod(faces.process.connect)

    async def script() -> tuple[list[Any], list[str]]:
        farm = Farm(faces.engine.reactor, name="exp")
        freed: Deferred[list[str]] = Deferred()
        async with farm:
            async with await farm.reserve(2) as boards:
                values = [result.value async for result in boards.evaluate([CIRCUIT] * 20)]
                values += [result.serial async for result in boards.evaluate_each([CIRCUIT])]
            farm.available().addBoth(freed.callback)
            return values, await freed

    values, freed = faces.there(script)
    assert values[:20] == [1000] * 20
    assert sorted(values[20:]) == ["A", "B"]
    assert freed == ["A", "B"]


# --------------------------------------------------------------------------------------------------- all of them


def test_each_face_has_each_verb_of_the_engine() -> None:
    verbs = {name for name, each in vars(ClientSession).items() if inspect.iscoroutinefunction(each) and name[0] != "_"}
    verbs -= {"start", "stop", "leave", "begin"}
    for face in (blocking.Farm, aio.Farm, deferred.Farm):
        own = {name: inspect.unwrap(getattr(face, name, len)) for name in verbs}
        assert {name for name in verbs if own[name] is inspect.unwrap(vars(ClientSession)[name])} == verbs


def test_a_verb_looks_like_a_method(faces: Faces) -> None:
    with faces.Farm(name="exp") as farm:
        assert list(inspect.signature(farm.extend).parameters) == ["serials", "seconds"]
        assert "NotYours" in (farm.extend.__doc__ or "")


def test_one_bitstream_in_the_place_of_many_is_refused(faces: Faces) -> None:
    with faces.Farm(name="exp") as farm, farm.reserve(1) as boards:
        for one in ("circuit.bin", CIRCUIT, Path("circuit.bin"), made_up_bitstream(1)):
            with pytest.raises(InvalidArgument, match=r"give \[bitstream\]"):
                boards.evaluate(one)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"placement": "any"}, "EachBoard()"),
        ({"placement": EachBoard}, "EachBoard()"),
        ({"options": 3}, "dictionary"),
        ({"limit": 0}, "above 0"),
    ],
)
def test_a_wrong_argument_of_an_evaluation_is_named(faces: Faces, wrong: Any, words: str) -> None:
    with faces.Farm(name="exp") as farm, farm.reserve(1) as boards, pytest.raises(InvalidArgument) as caught:
        boards.evaluate([CIRCUIT], **wrong)
    assert words in str(caught.value)


def test_one_serial_in_the_place_of_many_is_refused(faces: Faces) -> None:
    with faces.Farm(name="exp") as farm, farm.reserve(1) as boards:
        for call in (farm.end, farm.extend, farm.reboot, lambda one: farm.reserve(serials=one)):
            with pytest.raises(InvalidArgument, match=r"give \['A'\]"):
                call("A")
        with pytest.raises(InvalidArgument, match=r"give \['A'\]"):
            boards.evaluate_each([CIRCUIT], serials="A")


# --------------------------------------------------------------------------------------- boards with their kind


class Counter(Device, kind="pulsecount"):
    """A typed client, blocking."""

    def count(self) -> Any:
        return self.ask("evaluate", evaluation_id="e1", bitstream=self.packed(CIRCUIT), options={}, attempt=1)["value"]


class AsyncCounter(aio.Device, kind="pulsecount"):
    """The same for asyncio."""

    async def count(self) -> Any:
        bitstream = self.packed(CIRCUIT)
        return (await self.ask("evaluate", evaluation_id="e1", bitstream=bitstream, options={}, attempt=1))["value"]


class DeferredCounter(deferred.Device, kind="pulsecount"):
    """The same on a reactor."""

    async def count(self) -> Any:
        bitstream = self.packed(CIRCUIT)
        return (await self.ask("evaluate", evaluation_id="e1", bitstream=bitstream, options={}, attempt=1))["value"]


def test_a_typed_device_calls_its_kind_and_hears_its_events(faces: Faces) -> None:
    with faces.Farm(name="exp") as farm:
        with Counter.reserve(farm, 2) as counters:
            one, other = counters
            assert one.count() == 1000
            faces.there(faces.farm.tell, "exp", "failure", other.serial, "it fell")
            assert other.next_event(5.0).reason == "it fell"
            with pytest.raises(TimedOut, match="no event within"):
                one.next_event(0.01)
        assert faces.farm.reservations == {}


def test_a_typed_device_for_asyncio_does_the_same(faces: Faces) -> None:
    async def script() -> None:
        async with faces.AsyncFarm(name="exp") as farm:
            async with await AsyncCounter.reserve(farm, 2) as counters:
                one, other = counters
                assert await one.count() == 1000
                await asyncio.to_thread(faces.there, faces.farm.tell, "exp", "failure", other.serial, "it fell")
                assert (await other.next_event(5.0)).reason == "it fell"
                with pytest.raises(TimedOut, match="no event within"):
                    await one.next_event(0.01)
            assert faces.farm.reservations == {}

    asyncio.run(script())


def test_a_typed_device_on_a_reactor_does_the_same(faces: Faces) -> None:
    class Farm(deferred.Farm):
        _connect = staticmethod(faces.process.connect)

    async def script() -> None:
        async with Farm(faces.engine.reactor, name="exp") as farm:
            async with await DeferredCounter.reserve(farm, 2) as counters:
                one, other = counters
                assert await one.count() == 1000
                await faces.farm.tell("exp", "failure", other.serial, "it fell")
                assert (await other.next_event(5.0)).reason == "it fell"
                with pytest.raises(TimedOut, match="no event within"):
                    await one.next_event(0.01)
            assert faces.farm.reservations == {}

    faces.there(script)


# ---------------------------------------------------------------------------- the names of existing scripts


class Log:
    """Stands for a logger of any make."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def _note(self, message: str, *args: Any) -> None:
        self.lines.append(message % args)

    debug = info = warning = error = _note


@pytest.fixture
def log() -> Log:
    return Log()


def test_an_existing_script_counts_pulses(faces: Faces, log: Log) -> None:
    with faces.OldClient("http://127.0.0.1:8080", "exp", log) as client:  # type: ignore[arg-type]
        assert client.reserve("2") == ["A", "B"]
        rows = sorted((serial, pulses) for serial, path, pulses in client.evaluateBitstreams([CIRCUIT]))
        assert rows == [("A", 1000), ("B", 1000)]
    assert faces.farm.reservations == {}


def test_results_of_evaluations_carry_the_evaluation_and_its_path(faces: Faces, log: Log) -> None:
    from icefarm.client.lib.pulsecount import PulseCountEvaluation

    with faces.OldClient("http://127.0.0.1:8080", "exp", log) as client:  # type: ignore[arg-type]
        client.reserve(2)
        given = [PulseCountEvaluation("A", CIRCUIT), PulseCountEvaluation({"A", "B"}, OTHER)]
        results = list(client.evaluateEvaluations(given, result_timeout="30", batch_size=5, target_batches=2))
    assert len(results) == 3
    for result in results:
        serial, evaluation, value = result
        assert (serial, evaluation, value) == (result.serial, result.evaluation, result.value)
        assert evaluation in given
        assert evaluation.filepath is CIRCUIT or evaluation.filepath is OTHER


def test_the_path_that_comes_back_is_the_object_that_was_given(faces: Faces, log: Log) -> None:
    with faces.OldClient("http://127.0.0.1:8080", "exp", log) as client:  # type: ignore[arg-type]
        client.reserve(1)
        (result,) = client.evaluateBitstreams([CIRCUIT])
    assert result[1] is CIRCUIT
    assert result.evaluation.filepath is CIRCUIT


def test_a_failure_is_the_class_evaluation_failed_and_a_line_in_the_log(faces: Faces, log: Log) -> None:
    from icefarm.client.lib.BatchClient import EvaluationFailed

    faces.farm.failing["A"] = DeviceFailed("silent")
    with faces.OldClient("http://127.0.0.1:8080", "exp", log) as client:  # type: ignore[arg-type]
        client.reserve(1)
        values = [result.value for result in client.evaluateBitstreams([CIRCUIT, b"rubbish"])]
    assert values == [EvaluationFailed, EvaluationFailed]
    assert any("silent" in line for line in log.lines)


def test_every_pair_is_answered_when_all_boards_are_lost(faces: Faces, log: Log) -> None:
    from icefarm.client.lib.BatchClient import EvaluationFailed

    with faces.OldClient("http://127.0.0.1:8080", "exp", log) as client:  # type: ignore[arg-type]
        client.reserve(2)
        results = client.evaluateBitstreams([CIRCUIT] * 60)
        first = next(results)
        for serial in ("A", "B"):
            faces.there(faces.farm.tell, "exp", "ended", serial)
        rest = list(results)
        assert client.getSerials() == []
    assert first.value == 1000
    assert len(rest) == 119
    assert EvaluationFailed in {result.value for result in rest}


def test_ending_twice_and_after_the_stop_is_harmless(faces: Faces, log: Log) -> None:
    client = faces.OldClient("http://127.0.0.1:8080", "exp", log)  # type: ignore[arg-type]
    client.reserve(2)
    assert client.endAll() == ["A", "B"]
    client.stop()
    client.stop()
    assert client.endAll() == []


def test_both_modules_offer_the_same_client() -> None:
    from icefarm.client import drivers
    from icefarm.client.lib import drivers as lib_drivers

    assert drivers.PulseCountClient is lib_drivers.PulseCountClient


def test_each_face_tells_how_boards_deviate_and_results_are_corrected_by_that(faces: Faces) -> None:
    known = calibration("A", reference_time=1.0, offset_ppm=1000.0, ppm_per_kelvin=0.0)
    faces.farm.calibrations.append(known)
    faces.farm.readings.append(Reading("A", "oscillator", 3e6, 3_003_000.0, 1_000_000, 1.0))
    with faces.Farm(name="alice") as farm:
        assert farm.boards.calibration("oscillator") == [known]
        assert [round(reading.ppm) for reading in farm.boards.readings("A")] == [1000]
        with farm.reserve(2) as boards:
            results = {result.serial: result for result in boards.evaluate_each([CIRCUIT])}
    assert results["A"].value == 1000
    assert results["A"].corrected is not None
    assert results["A"].corrected.value == pytest.approx(999.0, abs=0.01)
    assert results["B"].corrected is None

    async def asynchronously() -> Any:
        async with faces.AsyncFarm(name="bob") as farm:
            return await farm.boards.calibration(serials=["A"])

    assert asyncio.run(asynchronously()) == [known]

    class DeferredFarm(deferred.Farm):
        _connect = staticmethod(faces.process.connect)

    async def in_the_reactor() -> Any:
        async with DeferredFarm(faces.engine.reactor, name="cem") as farm:
            return await farm.boards.calibration()

    assert faces.there(in_the_reactor) == [known]
