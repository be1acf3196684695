"""The archive: every measurement with its provenance, by experiment.  Look here for how results are kept and read.

Theory of operation
===================
::

    worker --archive(rows)--> Intake --> Archive.store --> PostgreSQL, one partition a day
                                 |
                                 +--> Arrivals: the lines of runs
                                 +--> MeasurementsArchived --> metrics, rates of experiments

    Retention (hourly): partitions ahead; the oldest are exported, if asked, and dropped

A batch is columns on all of its way: `parsing` makes them, `rows` has their form.

A row is keyed by the reservation and the evaluation id within it; so rows that a worker sends again are stored once.
An evaluation that several boards were asked for, because a worker was lost, has one value: that of the highest attempt,
which is the one that its client was answered.  Failures of earlier attempts stay.

Account and client come from the reservation, not from the worker; a worker adds rows to reservations that it serves, or
served.  An experiment is made by its first row, and forgotten with its last.
"""
