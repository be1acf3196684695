"""Modules that Crossbar.io imports and a farm's router does not use, as empty as can be; a node has them on PYTHONPATH.

Crossbar.io imports libraries of blockchains at its start, in each of its two processes, which is more than half of what
it imports at all.  These modules take their place.  What they lack is taken from the real ones, which are imported
then.

The node may run in an environment without icefarm, so they import nothing of it.
"""
