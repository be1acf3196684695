"""Runs of experiments that can be cited: what a run was, as text with a digest, and as a file.

Theory of operation
===================
A run is one stream of evaluations: one call of `evaluate`, or one ``icefarm evaluate``.  That is the largest unit with
one placement, one set of options and one order of circuits, so measuring it again means one thing.

The client numbers its runs at random, and the id of each evaluation says where in which run it stands
(`icefarm.runs.numbers`).  So the archive's rows know their run, without anything more on the way of an evaluation::

    rows of the archive --> line_of --> results.jsonl --SHA-256--> manifest.json --SHA-256--> the run's id

The forms are those of RFC 8785 (`icefarm.runs.canonical`): whoever has the lines finds the same digests.
"""
