"""What the client logs while a verb runs: said in a line, not twice, and in full with --debug."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from recording_farm import RecordingFarm
from recording_farm import snapshot as plain_snapshot

from icefarm.client import Snapshot
from icefarm.client.connection.events import Change


class Logging(RecordingFarm):
    """Logs as the client does, in the middle of a verb."""

    def snapshot(self) -> Snapshot:
        logging.getLogger("icefarm.client.connection.link").warning("lost the farm, trying again")
        logging.getLogger("icefarm.client.connection.link").error("refused")
        logging.getLogger("icefarm.client.evaluation.run").critical("broke", exc_info=ValueError("oops"))
        logging.getLogger("icefarm.client.evaluation.run").debug("details")
        return super().snapshot()


def test_warnings_are_said_without_what_the_errors_line_says_and_without_tracebacks() -> None:
    result = Logging().run("devices")
    assert result.stderr.splitlines() == ["icefarm: lost the farm, trying again", "icefarm: broke"]


def test_with_debug_all_is_said() -> None:
    words = Logging().run("devices", "--debug").stderr
    assert "refused" in words
    assert "details" in words
    assert "\nicefarm: ValueError: oops\n" in words


def test_the_logger_is_left_as_it_was() -> None:
    logger = logging.getLogger("icefarm")
    before = (list(logger.handlers), logger.level, logger.propagate)
    Logging().run("devices", "--debug")
    assert (list(logger.handlers), logger.level, logger.propagate) == before


class LosingLink(RecordingFarm):
    """Loses the connection while it is watched."""

    def watch(self, interval: float | None = None) -> Iterator[list[Change]]:
        logging.getLogger("icefarm.client.connection.link").warning("lost the farm, trying again")
        yield [Change("snapshot", plain_snapshot()), Change("stale", "the router went away")]
        raise KeyboardInterrupt(interval)


def test_watch_says_itself_that_the_connection_is_lost() -> None:
    assert LosingLink().run("watch").stderr == "icefarm: not connected, trying again: the router went away\n"
