"""Rows fed into the archive for minutes, at a steady rate: does a queue grow?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from bench.accounts import Party, accounts_of, parties
from bench.feeder import Feed, Look, fed_farm

__all__ = ["FeedFigures", "measure_feed"]

#: Seconds in which connections are made, and plans of statements.
WARM_UP = 5.0


@frozen
class FeedFigures:
    """Of one feed."""

    rate: float
    seconds: float
    fed: int
    archived: int
    #: Rows that were lost or dropped.
    lost: int
    looks: Sequence[Look]
    #: Microseconds of CPU per row, by party, with what they do anyway; ``client`` is the worker, in this process.
    cpu_us: Mapping[Party, float]
    #: Megabytes by which control has grown.
    control_mb: float

    @property
    def grows(self) -> float:
        """Bytes that wait more in the second half than in the first, on average."""
        half = len(self.looks) // 2
        first, second = self.looks[:half], self.looks[-half:]
        return (sum(each.waiting for each in second) - sum(each.waiting for each in first)) / max(1, half)


def measure_feed(directory: Path, rate: float, seconds: float, say: Callable[[str], None]) -> FeedFigures:
    """Start a farm, feed its archive, stop it."""
    with fed_farm(directory, say) as farm:
        first = Feed(rate)
        farm.feed(first, WARM_UP)
        farm.arrived(first)
        before = accounts_of(parties(farm.process.pid))
        feed = Feed(rate)
        looks = farm.feed(feed, seconds)
        archived = farm.arrived(feed)
        after = accounts_of(parties(farm.process.pid))
        used = {party: cpu / feed.fed * 1e6 for party, cpu in after.cpu_since(before).items()}
        grown = (after.of["control"].rss - before.of["control"].rss) / 1e6
        return FeedFigures(rate, seconds, feed.fed, archived, farm.lost, looks, used, grown)
