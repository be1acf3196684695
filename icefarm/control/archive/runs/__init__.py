"""Runs of experiments, from clients' reports and the archive's rows to manifests.  Look here when a run does not close.

Theory of operation
===================
::

    client --run_report(begun)--> run                      rows arrive by themselves; their ids name the run
    client --run_report(ended)--> run, ended
                                   |
                    Closer: have all rows arrived? --> manifest, closed

The client's end of a run says how many results it got, and which evaluations took several attempts; control waits for
those rows.  A client that was lost says nothing: its run ends with its reservations, and control waits until the
workers, which are connected, have delivered what is in their spools (`closing`, pure).  A row that is later than that
is in the archive, and not in the run.

Everything that is needed is in the database, so a control that was restarted goes on where the last one stopped.  To
save reading a run back, control sums it up while its rows arrive (`arrivals`, pure).
"""
