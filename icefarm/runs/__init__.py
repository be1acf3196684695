"""Runs that can be cited: manifests, digests, files.  Look here for what the id of a run stands for.

Theory of operation
===================
A run is one stream of evaluations: one call of `evaluate`, or one ``icefarm evaluate``.  That is the largest unit with
one placement, one set of options and one order of circuits, so measuring it again means one thing.

The client numbers its runs at random, and the id of each evaluation contains the run and the place in it
(`icefarm.runs.numbers`).  So the archive's rows name their run, at no cost for an evaluation::

    rows of the archive --> lines_of --> results.jsonl --SHA-256--> manifest.json --SHA-256--> the run's id

The forms are those of RFC 8785 (`icefarm.runs.canonical`), so anyone with the lines gets the same digests.
"""
