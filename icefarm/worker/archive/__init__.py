"""Measurements on their way to the archive: to a spool first, then to control.  Look here for rows that are missing.

Theory of operation
===================
::

    evaluation ends --> Recorder.gather --> Recorder.flush --> Spool.append --> the client is answered
                                                                  |
                                               Sender: Spool.batch --> control's `archive` --> Spool.acknowledge

What leaves together is written together: `icefarm.worker.control_link.board_calls` flushes before each answer.  A row
is in the kernel (or, without a directory, in memory) before its client has the answer.  Control acknowledges a batch
when PostgreSQL has committed it.  A batch without an acknowledgement is sent again; control stores each row once.

What always holds:

- A row stays in the spool until it is acknowledged, or until the spool is full and the row is among the oldest: then it
  is dropped, counted, and reported.
- At most one batch is on its way.
- No error of the spool reaches an evaluation.

The spool's file is not synced for each row: what write(2) has taken outlives any crash of a process.  Only a crash of
the host can lose rows, those of its last seconds that control has not acknowledged yet.
"""
