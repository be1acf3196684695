"""The twistd and twist plugins: ``icefarm-control`` and ``icefarm-worker``.  The service makers, nothing else."""

from twisted.application.service import ServiceMaker

control = ServiceMaker(
    "icefarm-control",
    "icefarm.control.tap",
    "icefarm control: reservations, queue, inventory and sign-in of a farm of FPGA boards",
    "icefarm-control",
)

worker = ServiceMaker(
    "icefarm-worker",
    "icefarm.worker.tap",
    "icefarm worker: drives the boards of this host, real or virtual",
    "icefarm-worker",
)
