"""The clients that existing scripts import; `icefarm.client.lib.drivers` has the same."""

from icefarm.client.lib.drivers import (
    EvaluationFailed,
    PulseCountClient,
    PulseCountEvaluation,
    VarMaxClient,
    VarMaxEvaluation,
)

__all__ = ["EvaluationFailed", "PulseCountClient", "PulseCountEvaluation", "VarMaxClient", "VarMaxEvaluation"]
