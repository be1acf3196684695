"""The clients that existing scripts import; `icefarm.client.lib.drivers` has the same."""

from icefarm.client.lib.drivers import EvaluationFailed, PulseCountClient, PulseCountEvaluation

__all__ = ["EvaluationFailed", "PulseCountClient", "PulseCountEvaluation"]
