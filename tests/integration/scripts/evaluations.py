"""Evaluates as an evolution does: a generation of evaluations, paths as keys, failures as values."""

import logging
import sys
from pathlib import Path

from icefarm.client.drivers.PulseCountClient import PulseCountClient
from icefarm.client.drivers.VarMaxClient import VarMaxClient
from icefarm.client.lib.BatchClient import Evaluation, EvaluationFailed
from icefarm.client.lib.pulsecount import PulseCountEvaluation
from icefarm.utils import batch


class Prefixed(logging.LoggerAdapter):
    def process(self, msg, kwargs):
        return f"[evolution] {msg}", kwargs


def fitness_of(client: PulseCountClient | VarMaxClient, population: list[Path]) -> dict[Path, list[float]]:
    evaluations = []
    boards = client.getSerials()
    for serials, members in zip(([boards[0]], set(boards)), batch(population, 2), strict=True):
        evaluations += [PulseCountEvaluation(serials, member) for member in members]
    assert all(isinstance(each, Evaluation) for each in evaluations)
    assert len(set(evaluations)) == len(population)

    fitness = {member: [] for member in population}
    for result in client.evaluateEvaluations(evaluations, result_timeout=60, batch_size=5, target_batches=2):
        assert result.evaluation in evaluations
        if result.value is EvaluationFailed:
            continue
        fitness[result.evaluation.filepath].append(float(result.value))
    return fitness


url, directory, *paths = sys.argv[1:]
bad = Path(directory) / "short.bin"
bad.write_bytes(Path(paths[0]).read_bytes()[:5000])
population = [*map(Path, paths), bad]

with PulseCountClient(url, "evolution", Prefixed(logging.getLogger("evolution"), {})) as client:
    assert isinstance(client, PulseCountClient)
    assert not isinstance(client, VarMaxClient)
    assert len(client.reserve("2", wait_for_available=True, available_timeout="30")) == 2
    for _ in range(2):
        fitness = fitness_of(client, population)
        assert fitness[bad] == []
        assert all(fitness[member] for member in population if member is not bad)
    # Nothing of a bad file reaches a board, so both are there still.
    assert len(client.getSerials()) == 2
print("done")
