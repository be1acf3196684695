"""How tests are shared out among processes (pytest-xdist): what shares a farm stays together, the longest begins first.

A file shares its farms, so it goes to one process.  Tests of tests/attacks go by the farm that they attack: each of the
farms runs once.  One file of tests/faults is two groups, since its farm is that of other files as well: alone it would
take as long as all others.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

#: About how many seconds those groups take that take long, for the order.
LONG: Mapping[str, float] = {
    "tests/integration/test_docs.py": 200,
    "tests/integration/test_up.py": 130,
    "attacks on issuer": 90,
    "tests/integration/test_site.py": 75,
    "attacks on tls": 70,
    "attacks on tokens": 60,
    "attacks on open": 60,
    "tests/integration/test_standby.py": 55,
    "tests/integration/test_plugins.py": 55,
    "tests/integration/test_store.py": 55,
    "tests/integration/test_control.py": 50,
    "tests/integration/test_bench.py": 50,
    "tests/integration/test_packages.py": 50,
    "tests/integration/test_postgres.py": 45,
    "tests/integration/test_oidc.py": 40,
    "tests/integration/test_client.py": 40,
    "tests/integration/test_runs.py": 40,
    "tests/integration/test_versions.py": 40,
    "tests/integration/test_archive_resume.py": 40,
    "tests/integration/test_virtual_boards.py": 40,
    "tests/integration/test_foreign_clients.py": 35,
    "tests/integration/test_demo.py": 35,
    "tests/integration/test_cli_terminal.py": 35,
    "tests/integration/test_http_api.py": 30,
    "tests/integration/test_upgrade.py": 30,
    "tests/integration/test_doctor.py": 30,
    "tests/integration/test_bad_input.py": 30,
    "tests/browser/test_layout.py": 70,
    "tests/browser/test_experiments.py": 70,
    "tests/browser/test_page.py": 60,
    "tests/browser/test_live.py": 60,
    "tests/browser/test_issuer.py": 50,
    "tests/faults/test_several_routers.py": 90,
    "tests/faults/test_processes.py 0": 70,
    "tests/faults/test_processes.py 1": 70,
    "tests/faults/test_links.py": 60,
    "tests/faults/test_supervised.py": 50,
    "tests/faults/test_waiting.py": 45,
}
_HALVED = "tests/faults/test_processes.py"
_ATTACKED = re.compile(r"tests/attacks/[^\[]*\[(open|tokens|tls|issuer)\b")


def group_of(nodeid: str) -> str:
    """Return what a test stays together with."""
    attacked = _ATTACKED.match(nodeid)
    if attacked:
        return f"attacks on {attacked[1]}"
    file, _, test = nodeid.partition("::")
    return f"{file} {zlib.crc32(test.encode()) % 2}" if file == _HALVED else file


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
