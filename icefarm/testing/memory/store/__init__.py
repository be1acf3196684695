"""The stand-in for PostgreSQL: what control stores, in memory, by subject.  Look here for a new method of `Store`."""

from icefarm.testing.memory.store.reservations import MemoryStore

__all__ = ["MemoryStore"]
