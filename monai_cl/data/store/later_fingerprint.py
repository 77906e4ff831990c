"""The fingerprint of an entry that was prepared before entries had one: computed once, noted beside the entry."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

import numpy as np

from monai_cl.data.datalist.items import reading_options
from monai_cl.data.io.fingerprint import is_fingerprint, scan_fingerprint
from monai_cl.data.io.reading import Volume, read_volume
from monai_cl.data.store.entry import StoreEntry
from monai_cl.data.store.integrity import item_of
from monai_cl.data.store.sources import fingerprint as describe_source
from monai_cl.errors import UserError
from monai_cl.files import write_json

_NOTE = "fingerprint.json"


def later_fingerprint(entry: StoreEntry, read: Callable[[str], np.ndarray]) -> str | None:
    """Of an entry without one, see `VolumeStore.fingerprint`.

    Args:
        entry: of an earlier version.
        read: key -> the stored image (X, Y, Z).
    """
    note = entry.folder / _NOTE
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if is_fingerprint(found := json.loads(note.read_text(encoding="utf-8")).get("fingerprint")):
            return found
    volume = _own_voxels(entry, read)
    if volume is None:
        return None
    found = scan_fingerprint(volume)
    with contextlib.suppress(OSError):  # a read-only store still works
        write_json(note, {"fingerprint": found})
    return found


def _own_voxels(entry: StoreEntry, read: Callable[[str], np.ndarray]) -> Volume | None:
    if entry.preparation["spacing"] is None and "intensity" not in entry.preparation:
        return Volume(read(entry.key), entry.affine)
    item = item_of(entry)
    with contextlib.suppress(UserError, OSError):
        if describe_source(item["image"]).sha256 == entry.source["image"]["sha256"]:
            return read_volume(
                item["image"], **{"uneven_slices": entry.preparation["uneven_slices"]} | reading_options(item)
            )
    return None
