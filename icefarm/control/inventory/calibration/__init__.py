"""Calibrates boards while nobody uses them.  Look here for when boards measure, and why one is suspect.

Theory of operation
===================
Every `keeper.LOOK` seconds `keeper.CalibrationKeeper` asks `schedule.due` which free boards are to measure the
reference circuits: every 19 hours, each in its turn; after a change of firmware; and after a new start of their
worker.  A few do at the same time (``at_once``), and none while anybody waits for boards.

The board is not reserved for that.  Its worker borrows it (`icefarm.worker.reservation.references`): for everybody else
it stays available, and a reservation takes it at once.  What it has measured until then counts.

The readings go into the store and, under the farm's own account, into the archive.  With each, the board's calibration
is estimated again (`icefarm.calibration.estimation`), and all boards are compared, to find those that are unlike the
others (`icefarm.calibration.suspects`).  The figures are in each board's record, where requests choose boards by them;
results of the board name the calibration by its id.
"""
