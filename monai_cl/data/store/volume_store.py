"""The store of prepared volumes: one folder per volume, written whole or not at all, read by boxes in a millisecond.

Layout on disk: ``store.json``; ``<key>/image.b2nd``, ``label.b2nd``, ``coordinates.npz``, ``entry.json``. A key holds a
digest of the sources' content and of the preparation, so an entry never changes once it is there; an entry of an
earlier version may get ``fingerprint.json`` beside it. Entries that differ by their list or labels have one image file.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl.data.datalist.items import item_id, item_kinds, map_pairs, reading_options
from monai_cl.data.io.label_values import check_label_ids
from monai_cl.data.io.segment_names import check_segment_names
from monai_cl.data.store import integrity
from monai_cl.data.store.arrays import StoredArray, write_array
from monai_cl.data.store.conversion import Converted, Preparation, convert
from monai_cl.data.store.entry import BODY_HU, StoreEntry, draw_coordinates, load_entry, save_coordinates, save_entry
from monai_cl.data.store.keys import Slot, is_key, slot_of
from monai_cl.data.store.later_fingerprint import later_fingerprint
from monai_cl.data.store.locks import Busy, entry_lock
from monai_cl.data.store.remedies import prepare_line
from monai_cl.data.store.shared_images import image_holder, link_image, note_holder
from monai_cl.data.store.sources import Source, cached_fingerprint, fingerprint
from monai_cl.errors import UserError
from monai_cl.files import new_directory, write_json
from monai_cl.transforms.label_table import IGNORED
from monai_cl.transforms.scan_scale import body_threshold

__all__ = ["Busy", "Preparation", "StoreEntry", "VolumeStore"]

FORMAT = 1
_STORE = "store.json"
# what a process keeps of a store, however many volumes it has: open files, and entries of some 3 kB each
_OPEN_ARRAYS = 128
_KNOWN_ENTRIES = 4096
_FILL = {"image": -1024, "label": 0}


class VolumeStore:
    """Prepared volumes under one folder, for any number of readers and writers.

    The object pickles (workers reopen the files) and holds no open file across a fork. Use :meth:`create` or
    :meth:`open`. What a process keeps is bounded, however many volumes there are: 128 open files with one chunk in use
    each (under 2 MiB), 4,096 entries (some 12 MiB), coordinates of 256 classes (30 MiB at most).

    Args:
        root: the folder.
        preparation: how :meth:`add` makes new entries, and which entries :meth:`keys` lists.
    """

    def __init__(self, root: str | os.PathLike, preparation: Preparation) -> None:
        self.root = Path(root)
        self.preparation = preparation
        self._notes = self.root / ".sources"
        self._forget()

    @classmethod
    def create(cls, root: str | os.PathLike, preparation: Preparation | None = None) -> VolumeStore:
        """Create the folder, or use an existing one (its other entries stay, whatever their preparation).

        Raises:
            UserError: the folder holds other things, or a store of another format.
        """
        store = cls(root, preparation if preparation is not None else Preparation())
        path = store.root / _STORE
        if store.root.exists() and not path.exists():
            _check_empty(store.root)
        if path.exists():
            _read_description(path)
        else:
            write_json(path, {"format": FORMAT, "preparation": store.preparation.parameters})
        return store

    @classmethod
    def open(cls, root: str | os.PathLike, preparation: Preparation | None = None) -> VolumeStore:
        """Open an existing store; without ``preparation``, with the one it was created with.

        Raises:
            UserError: no store there, or one of another format.
        """
        recorded = _read_description(Path(root) / _STORE)
        return cls(root, preparation if preparation is not None else recorded)

    def key(self, item: Mapping[str, Any]) -> str:
        """The name of an item's entry: data set, id, digest of sources and label map, digest of the preparation.

        Reads the sources once to hash them; later calls only look at their size and time.
        """
        return self.slot(item).key

    def slot(self, item: Mapping[str, Any], *, again: bool = False) -> Slot:
        """Where an item belongs; see :meth:`key`.

        Args:
            item: see :meth:`add`.
            again: hash the sources again: neither size nor time reveals damage on the disk.

        Raises:
            UserError: a source is not there.
        """
        sources = {kind: fingerprint(item[kind], self._notes, again=again) for kind in item_kinds(item)}
        return slot_of(item, sources, self.preparation.of(item))

    def filled_slot(self, item: Mapping[str, Any]) -> Slot | None:
        """The slot of an item that is already prepared and whose sources have not been touched since; else None.

        Nothing is hashed.
        """
        known = {kind: cached_fingerprint(item[kind], self._notes) for kind in item_kinds(item)}
        sources = {kind: source for kind, source in known.items() if source is not None}
        if len(sources) < len(known):
            return None
        slot = slot_of(item, sources, self.preparation.of(item))
        return slot if slot.key in self else None

    def find(self, item: Mapping[str, Any]) -> str | None:
        """The key of an item that is already prepared and whose sources have not been touched since; else None."""
        slot = self.filled_slot(item)
        return None if slot is None else slot.key

    def add(self, item: Mapping[str, Any], *, wait: bool = True) -> str:
        """Prepare an item unless its entry is there, and return the key.

        Args:
            item: ``image`` path; optional ``label``, ``label_map``, ``label_ids``, ``label_names``, ``ignore``,
                ``dataset``, ``id``, ``patient``, ``modality``, ``series_part``, ``uneven_slices``.
            wait: wait for another process that prepares the same item, or raise :class:`Busy`.

        Raises:
            UserError: the item cannot be read or does not fit together (nothing is written then), or its label holds
                ids that the item does not declare, or says other names of them.
        """
        return self.fill(self.slot(item), wait=wait)

    def fill(self, slot: Slot, *, wait: bool = True) -> str:
        """As :meth:`add`, for an item whose slot is known."""
        check_segment_names(slot.item)
        if slot.key not in self:
            with entry_lock(self.root, slot.key, wait=wait):
                if slot.key not in self:
                    holder = image_holder(self.root, slot.image_key)
                    stored = None if holder is None else self._image(holder)
                    converted = convert(slot.item, self.preparation, stored=stored)
                    _check_untouched(slot.sources)
                    self._write(slot, converted, holder)
                    return slot.key
        # made for this list or for another one, which declares other labels
        check_label_ids(slot.item, self.entry(slot.key).classes)
        return slot.key

    def keys(self) -> list[str]:
        """Entries made with this preparation, sorted."""
        return [key for key in self.all_keys() if key.endswith(self.preparation.digests)]

    def all_keys(self) -> list[str]:
        """Every entry, of whatever preparation, sorted."""
        return sorted(folder.name for folder in self.root.iterdir() if is_key(folder.name) and folder.is_dir())

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and (self.root / key / "entry.json").is_file()

    def __len__(self) -> int:
        return len(self.keys())

    def entry(self, key: str) -> StoreEntry:
        """What is known of a volume; raises UserError where the entry is absent or damaged."""
        if key not in self._entries:
            entry = load_entry(self.root / key)
            if len(self._entries) >= _KNOWN_ENTRIES:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = entry
        return self._entries[key]

    def label_ids(self, key: str) -> tuple[int, ...]:
        """The ids of a volume's foreground, ascending; before them `IGNORED` where voxels are not annotated."""
        entry = self.entry(key)
        whole = entry.has_label and IGNORED not in entry.voxels
        return entry.classes if whole else (IGNORED, *entry.classes)

    def fingerprint(self, key: str) -> str | None:
        """The entry's scan by its content, see :func:`scan_fingerprint`.

        An entry of an earlier version has none: it is computed from the stored voxels where they are the scan's own,
        otherwise from the source, and noted beside the entry.

        Returns:
            None where the source of such an entry has changed or is gone.
        """
        entry = self.entry(key)
        return entry.fingerprint or later_fingerprint(entry, self.read)

    def read(self, key: str, box: Sequence[slice] | None = None, *, kind: str = "image") -> np.ndarray:
        """Read a box of array indices, or the whole volume.

        Args:
            key: entry.
            box: three slices along X, Y, Z (step 1).
            kind: ``"image"`` (int16 HU) or ``"label"`` (uint8 or int16, ids of the list).

        Raises:
            UserError: no such entry or no label.
        """
        return self._array(key, kind)[(slice(None),) * 3 if box is None else tuple(box)]

    def read_patch(
        self, key: str, start: Sequence[int], size: Sequence[int], *, kind: str = "image", fill: int | None = None
    ) -> np.ndarray:
        """Read exactly ``size`` voxels from ``start`` on; what lies outside the volume is ``fill``.

        Args:
            start: first voxel along X, Y, Z; may be negative.
            size: voxels along X, Y, Z.
            fill: by default air (-1024 HU) for the image, 0 for the label.
        """
        array = self._array(key, kind)
        start, size = [int(first) for first in start], [int(length) for length in size]
        low = [min(max(first, 0), limit) for first, limit in zip(start, array.shape)]
        high = [max(min(first + length, limit), 0) for first, length, limit in zip(start, size, array.shape)]
        inside = array[tuple(slice(begin, max(begin, end)) for begin, end in zip(low, high))]
        if inside.shape == tuple(size):
            return inside
        patch = np.full(size, _FILL[kind] if fill is None else fill, dtype=inside.dtype)
        if inside.size:
            patch[tuple(slice(begin - first, end - first) for begin, end, first in zip(low, high, start))] = inside
        return patch

    def verify(self, *, sources: bool = True) -> list[str]:
        """Problems of the store, one line each: damaged, unfinished and stale entries (see :mod:`.integrity`)."""
        return [str(problem) for problem in integrity.find_problems(self, sources=sources)]

    def repair(self, *, sources: bool = True) -> list[str]:
        """Repair what :meth:`verify` finds, from the sources; returns what was done, one line each."""
        self._forget()
        return integrity.repair(self, sources=sources)

    def _image(self, holder: StoreEntry) -> Converted:
        return Converted(self.read(holder.key), None, holder.affine, str(holder.fingerprint))

    def _write(self, slot: Slot, converted: Converted, holder: StoreEntry | None) -> None:
        item = slot.item
        arrays = {"image": converted.image, "label": converted.label}
        made = json.loads(json.dumps(self.preparation.of(item).parameters))
        seed, body = zlib.crc32(slot.key.encode()), body_threshold(converted.image) if "intensity" in made else BODY_HU
        coordinates, voxels = draw_coordinates(converted.image, converted.label, seed=seed, body=body)
        check_label_ids(item, voxels)
        with new_directory(self.root / slot.key, keep_existing=True) as folder:
            for kind, array in arrays.items():
                if kind == "image" and holder is not None and link_image(holder, folder):
                    continue
                if array is not None:
                    write_array(folder / f"{kind}.b2nd", array, self.preparation.layout)
            save_coordinates(folder, coordinates)
            content = {
                "dataset": str(item.get("dataset", "")),
                "id": item_id(item),
                "patient": str(item.get("patient") or item_id(item)),
                "shape": list(converted.image.shape),
                "affine": converted.affine.tolist(),
                "spacing": np.linalg.norm(converted.affine[:3, :3], axis=0).tolist(),
                "classes": sorted(value for value in coordinates if value > 0),
                "voxels": {str(value): number for value, number in voxels.items()},
                "has_label": converted.label is not None,
                "source": {kind: asdict(source) for kind, source in slot.sources.items()}
                | {"label_map": map_pairs(item.get("label_map"))}
                | ({} if item.get("ignore") is None else {"ignore": int(item["ignore"])})
                | ({"reading": reading} if (reading := reading_options(item)) else {}),
                "preparation": made,
                "fingerprint": converted.fingerprint,
                "crc32": {file.name: integrity.crc32(file) for file in sorted(folder.iterdir())},
            }
            if self.preparation.layout == "slices":
                ends = (converted.image.min((0, 1)), converted.image.max((0, 1)))
                content["slice_range"] = np.stack(ends, axis=1).tolist()
            save_entry(folder, content)
        note_holder(self.root, slot.image_key, slot.key)

    def _array(self, key: str, kind: str) -> StoredArray:
        if self._process != os.getpid():
            self._forget()
        array = self._arrays.pop((key, kind), None)
        if array is None:
            array = self._open_array(key, kind)
            if len(self._arrays) >= _OPEN_ARRAYS:
                del self._arrays[next(iter(self._arrays))]
        self._arrays[key, kind] = array  # at the end: the least recently used one comes first
        return array

    def _open_array(self, key: str, kind: str) -> StoredArray:
        if kind not in _FILL:
            raise ValueError(f'kind must be "image" or "label", got {kind!r}')
        entry = self.entry(key)
        if kind == "label" and not entry.has_label:
            raise UserError(self.root / key, expected=f"a label beside the image of {entry.id}", found="none")
        return StoredArray(self.root / key / f"{kind}.b2nd", entry.preparation["layout"], entry.shape)

    def _forget(self) -> None:
        self._process = os.getpid()
        self._arrays: dict[tuple[str, str], StoredArray] = {}
        self._entries: dict[str, StoreEntry] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "preparation": self.preparation}

    def __setstate__(self, state: dict[str, Any]) -> None:
        VolumeStore.__init__(self, **state)

    def __repr__(self) -> str:
        return f"VolumeStore({str(self.root)!r}, {self.preparation})"


def _check_empty(root: Path) -> None:
    # a temporary file may be that of a process making the same store at this moment
    strangers = (
        [entry.name for entry in root.iterdir() if not entry.name.startswith(".")] if root.is_dir() else [root.name]
    )
    if strangers and not (root / _STORE).exists():
        raise UserError(
            root, expected="an empty folder or a store", found=f"{strangers[0]} in it", remedy="name another folder"
        )


def _check_untouched(sources: Mapping[str, Source]) -> None:
    """A file that was written to while it was read may not go under the name of its former content."""
    for source in sources.values():
        if not source.is_current():
            raise UserError(
                source.path, expected="a file at rest", found="it changing while it was read", remedy="run again"
            )


def _read_description(path: Path) -> Preparation:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version, recorded = content["format"], content["preparation"]
        if version == FORMAT:
            return Preparation(**recorded)
    except FileNotFoundError as error:
        raise UserError(
            path.parent, expected="a store", found="none", remedy=f"run `{prepare_line(path.parent)}` first"
        ) from error
    except (ValueError, KeyError, TypeError, NotADirectoryError) as error:
        raise UserError(
            path, expected="the description of a store", found=error, remedy="name another folder"
        ) from error
    raise UserError(path, expected=f"store format {FORMAT}", found=f"{version}", remedy="prepare into a new folder")
