"""How tests are shared out among processes (pytest-xdist): what shares a farm stays together, the longest begins first.

A file shares its farms, so it goes to one process.  Tests of tests/attacks go by the farm that they attack: each of the
farms runs once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

#: CPU seconds of what takes long, as `make test` prints them, for the order; all else takes less.
LONG: Mapping[str, float] = {}
_ATTACKED = re.compile(r"tests/attacks/[^\[]*\[(open|tokens|tls|issuer)\b")


def group_of(nodeid: str) -> str:
    """Return what a test stays together with."""
    attacked = _ATTACKED.match(nodeid)
    return f"attacks on {attacked[1]}" if attacked else nodeid.partition("::")[0]


class GroupScheduling(LoadScopeScheduling):
    """Hands out the longest group that is left."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)

    def _assign_work_unit(self, node: Any) -> None:
        longest = max(self.workqueue, key=lambda group: LONG.get(group, 0.0))
        self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    return GroupScheduling(config, log)
