"""The kinds that a worker offers: those for whose firmware there is an image."""

from __future__ import annotations

from attrs import Factory, define

from icefarm.contract import KindRecord
from icefarm.kinds.registry import Kinds
from icefarm.worker.flash.images import Images

__all__ = ["KindOffer"]


@define(eq=False)
class KindOffer:
    """Kinds, and the images of the worker's boards as far as they are known."""

    _kinds: Kinds
    _images: list[Images] = Factory(list)

    def add(self, images: Images) -> None:
        """There are boards that run these images."""
        self._images.append(images)

    def records(self) -> list[KindRecord]:
        """Return what control is told of the kinds."""
        records = []
        for kind in self._kinds.by_name.values():
            image = next(
                (found for some in self._images if (found := some.by_name.get(kind.firmware)) is not None), None
            )
            if image is not None:
                version, methods = image.firmware.version, sorted(kind.methods)
                records.append(KindRecord(kind.name, kind.summary, kind.firmware, version, methods, kind.version))
        return records
