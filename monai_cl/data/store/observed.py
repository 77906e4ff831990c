"""A store that notes what is read from it, and that prepares a volume when it is first asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_cl.data.datalist.items import describe_item
from monai_cl.data.store.entry import StoreEntry
from monai_cl.data.store.preparation import INCOMPLETE, prepare_one
from monai_cl.data.store.volume_store import Preparation, VolumeStore
from monai_cl.errors import UserError
from monai_cl.transforms.label_table import IGNORED


@dataclass(frozen=True)
class Read:
    """What was read of a volume.

    Attributes:
        entry: the volume.
        kind: ``image`` or ``label``.
        array: the voxels (X, Y, Z), as they are stored.
        inside: share of the box that lies inside the volume.
    """

    entry: StoreEntry
    kind: str
    array: np.ndarray
    inside: float


class ObservedStore(VolumeStore):
    """A `VolumeStore` for looking at single samples.

    Args:
        root: the folder.
        preparation: of new entries.
        items: key -> item of a data list: an entry under that name is prepared when it is first asked for.

    Attributes:
        reads: what was read since the list was put here; None: nothing is noted.
        made, seconds: entries that were prepared here, and how long that took.
    """

    def __init__(
        self, root: str | os.PathLike, preparation: Preparation, items: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        super().__init__(root, preparation)
        self.items, self._own = dict(items or {}), dict[str, str]()
        self.reads: list[Read] | None = None
        self.made, self.seconds = 0, 0.0

    def entry(self, key: str) -> StoreEntry:
        """As of a `VolumeStore`; prepared first where it is one of ``items``.

        Raises:
            UserError: it cannot be prepared.
        """
        return super().entry(self._key_of(key))

    def label_ids(self, key: str) -> tuple[int, ...]:
        """As of a `VolumeStore`; of an item what it declares, without preparing it."""
        if key not in self.items:
            return super().label_ids(key)
        item = self.items[key]
        declared = tuple(label for label in item.get("label_ids") or () if label > 0) if item.get("label") else ()
        return declared if item.get("label") and item.get("ignore") is None else (IGNORED, *declared)

    def read(self, key: str, box: Sequence[slice] | None = None, *, kind: str = "image") -> np.ndarray:
        """As of a `VolumeStore`."""
        array = super().read(self._key_of(key), box, kind=kind)
        self._note(key, kind, array, 1.0)
        return array

    def read_patch(
        self, key: str, start: Sequence[int], size: Sequence[int], *, kind: str = "image", fill: int | None = None
    ) -> np.ndarray:
        """As of a `VolumeStore`."""
        array = super().read_patch(self._key_of(key), start, size, kind=kind, fill=fill)
        shape = self.entry(key).shape
        lengths = [max(0, min(s + n, length) - max(s, 0)) for s, n, length in zip(start, size, shape)]
        self._note(key, kind, array, float(np.prod(lengths) / np.prod(size)))
        return array

    def _note(self, key: str, kind: str, array: np.ndarray, inside: float) -> None:
        if self.reads is not None:
            self.reads.append(Read(self.entry(key), kind, array, inside))

    def _key_of(self, key: str) -> str:
        if key not in self.items:
            return key
        if key not in self._own:
            begin = time.perf_counter()
            item = self.items[key]
            _, status, text = prepare_one(self, item, 0, wait=True)
            if status == "skipped":
                one = f"1 of {len(self.items)} items cannot be prepared: {describe_item(item)}: {text}"
                raise UserError(one, remedy=INCOMPLETE)
            self.made += status == "made"
            self._own[key] = text
            self.seconds += time.perf_counter() - begin
        return self._own[key]
