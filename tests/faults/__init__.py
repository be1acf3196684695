"""Faults on purpose: a farm in processes of its own, what can happen to it, and what must hold afterwards."""
