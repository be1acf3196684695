"""The clients that existing scripts import; `icefarm.client.drivers` has the same."""

from icefarm.client.drivers import (
    EvaluationFailed,
    MultiPulseCountClient,
    PulseCountClient,
    PulseCountEvaluation,
    VarMaxClient,
    VarMaxEvaluation,
)

__all__ = [
    "EvaluationFailed",
    "MultiPulseCountClient",
    "PulseCountClient",
    "PulseCountEvaluation",
    "VarMaxClient",
    "VarMaxEvaluation",
]
