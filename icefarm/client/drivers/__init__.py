"""The clients that existing scripts import; `icefarm.client.lib.drivers` has them too.  Look here for their names."""

from icefarm.client.drivers.MultiPulseCountClient import MultiPulseCountClient
from icefarm.client.drivers.PulseCountClient import PulseCountClient
from icefarm.client.drivers.VarMaxClient import VarMaxClient
from icefarm.client.lib.BatchClient import EvaluationFailed
from icefarm.client.lib.pulsecount import PulseCountEvaluation
from icefarm.client.lib.varmax import VarMaxEvaluation

__all__ = [
    "EvaluationFailed",
    "MultiPulseCountClient",
    "PulseCountClient",
    "PulseCountEvaluation",
    "VarMaxClient",
    "VarMaxEvaluation",
]
