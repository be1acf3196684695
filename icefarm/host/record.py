"""The record of an installation on a host: what was written, and who may use the boards."""

from __future__ import annotations

import json
from collections.abc import Mapping

from attrs import field, frozen

from icefarm.doctor.udev_rules import DEFAULT_GROUP
from icefarm.text.outside_json import parse_json

__all__ = ["BoardAccess", "DamagedRecord", "Record"]


class DamagedRecord(Exception):
    """The text is not that of a record."""


@frozen
class BoardAccess:
    """Who may use the boards of a host."""

    group: str = DEFAULT_GROUP
    #: The group may also switch the power of hub ports.
    hubs: bool = False

    def changed(self, group: str | None, hubs: bool | None) -> BoardAccess:
        """Return it with what is given; None keeps what it is."""
        return BoardAccess(self.group if group is None else group, self.hubs if hubs is None else hubs)


@frozen
class Record:
    """What the last installation did."""

    #: The digest of each file as it was written, by its path below the root.
    files: Mapping[str, str] = field(factory=dict)
    access: BoardAccess = BoardAccess()

    @classmethod
    def parse(cls, text: bytes) -> Record:
        """Return the record in a text.  Raises `DamagedRecord`."""
        try:
            found = parse_json(text)
            access = BoardAccess(str(found["group"]), bool(found["hubs"])) if "group" in found else BoardAccess()
            return cls(dict(found["files"]), access)
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedRecord from error

    def text(self, version: str) -> bytes:
        """Return it as text, with the version of icefarm that installed."""
        found = {
            "version": version,
            "group": self.access.group,
            "hubs": self.access.hubs,
            "files": dict(sorted(self.files.items())),
        }
        return (json.dumps(found, indent=1) + "\n").encode()
