"""The list of metrics and the example for Grafana speak of metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytest_twisted import ensureDeferred

from icefarm.testing.memory.control_harness import MemoryControl

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy" / "prometheus" / "icefarm.rules.yml"


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


async def served() -> set[str]:
    """Return the names of all metrics as a scrape shows them, whether or not they have values yet."""
    farm = MemoryControl()
    text, _ = await farm.control.metrics_page()
    return set(re.findall(r"^# TYPE (\S+) (?!unknown)", text.decode(), re.MULTILINE))


def plain(names: set[str]) -> set[str]:
    return {re.sub(r"_(total|sum|count|bucket)$", "", name) for name in names}


@ensureDeferred
async def test_the_documented_metrics_are_those_that_are_served() -> None:
    documented = set(re.findall(r"^\| `(icefarm_\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    assert plain(documented) == {name for name in plain(await served()) if not name.endswith("_created")}


@ensureDeferred
async def test_the_grafana_dashboard_asks_for_metrics_that_are_served() -> None:
    panels = json.loads((ROOT / "deploy" / "grafana" / "icefarm.json").read_text())["panels"]
    asked = {name for panel in panels for each in panel["targets"] for name in re.findall(r"icefarm_\w+", each["expr"])}
    assert asked
    assert plain(asked) <= plain(await served())


@ensureDeferred
async def test_the_alerts_ask_for_metrics_that_are_served() -> None:
    asked = {name for alert in alerts() for name in re.findall(r"icefarm_\w+", alert["expr"])}
    assert asked
    assert plain(asked) <= plain(await served())


def test_the_runbook_has_a_section_for_each_alert_and_no_other() -> None:
    sections = re.findall(r"^## (Icefarm\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    assert sections == [alert["alert"] for alert in alerts()]
    linked = [alert["annotations"]["runbook"] for alert in alerts()]
    assert linked == [f"docs/runbook.md#{name.lower()}" for name in sections]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of Prometheus")
def test_prometheus_accepts_the_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", RULES], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
