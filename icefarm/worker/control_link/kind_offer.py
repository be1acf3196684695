"""The kinds that a worker offers: those whose firmware it has an image of."""

from __future__ import annotations

from attrs import Factory, define

from icefarm.contract import KindRecord
from icefarm.kinds.registry import Kinds
from icefarm.worker.flash.images import Images

__all__ = ["KindOffer"]


@define(eq=False)
class KindOffer:
    """Kinds, and the known images of the worker's boards."""

    _kinds: Kinds
    _images: list[Images] = Factory(list)

    def add(self, images: Images) -> None:
        """Add the images of some boards."""
        self._images.append(images)

    def records(self) -> list[KindRecord]:
        """Return the kinds as reported to control."""
        records = []
        for kind in self._kinds.by_name.values():
            image = next(
                (found for some in self._images if (found := some.by_name.get(kind.firmware)) is not None), None
            )
            if image is not None:
                version, methods = image.firmware.version, sorted(kind.methods)
                record = KindRecord(
                    kind.name, kind.summary, kind.firmware, version, methods, kind.version, kind.shareable
                )
                records.append(record)
        return records
