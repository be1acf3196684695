"""Benchmarks of a whole farm: ``python -m bench --help``; docs/performance.md says what its figures mean."""
