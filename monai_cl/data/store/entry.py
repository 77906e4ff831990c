"""What the store knows about one volume: ``entry.json``, and voxel coordinates per class drawn once."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from monai_cl.data.store.remedies import damaged_error, prepare_line, repair_line
from monai_cl.errors import UserError
from monai_cl.transforms.label_table import IGNORED

BODY = -1
BODY_HU = -500
MAX_COORDINATES = 10_000
_ENTRY, _COORDINATES = "entry.json", "coordinates.npz"


@dataclass(frozen=True)
class StoreEntry:
    """One prepared volume.

    Attributes:
        key: its name in the store.
        dataset, id, patient: from the data list.
        shape: (X, Y, Z) voxels.
        affine: (4, 4), voxel -> RAS mm.
        spacing: mm.
        classes: foreground ids present, ascending.
        voxels: class id -> number of voxels (-1: the body; `IGNORED`: not annotated, where there are any).
        has_label: whether a label is stored.
        source: path, size, modification time and SHA-256 of image and label, and the label map.
        preparation: the parameters it was made with.
        crc32: file name -> checksum of the file beside this entry.
        folder: where it lies.
        slice_range: (n, 2), lowest and highest HU of each axial slice; None where the layout is another one.
        fingerprint: of the scan by its content; None in an entry of an earlier version, see `VolumeStore.fingerprint`.
    """

    key: str
    dataset: str
    id: str
    patient: str
    shape: tuple[int, int, int]
    affine: np.ndarray = field(compare=False)
    spacing: tuple[float, float, float]
    classes: tuple[int, ...]
    voxels: dict[int, int]
    has_label: bool
    source: dict[str, Any]
    preparation: dict[str, Any]
    crc32: dict[str, int]
    folder: Path
    slice_range: np.ndarray | None = field(default=None, compare=False)
    fingerprint: str | None = None

    def coordinates(self, class_id: int) -> np.ndarray:
        """Up to 10,000 voxels of a class, (n, 3) int32 array indices; class -1 is the body (HU > -500, or see
        `monai_cl.transforms.scan_scale.body_threshold`).

        Raises:
            KeyError: the class is not in this volume.
        """
        if class_id != BODY and class_id not in self.classes:
            raise KeyError(f"class {class_id} is not in {self.key}; present are {self.classes}")
        return _load_coordinates(str(self.folder / _COORDINATES), self.crc32[_COORDINATES], class_id)


# 120 kB per class at most
@lru_cache(maxsize=256)
def _load_coordinates(path: str, checksum: int, class_id: int) -> np.ndarray:
    # the checksum is in the signature so that a re-made entry is not answered from this cache
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            coordinates = archive[str(class_id)].astype(np.int32)
    except Exception as error:  # whatever zipfile and NumPy make of it
        raise damaged_error(
            Path(path),
            expected=f"the coordinates of class {class_id}",
            found=f"a damaged or absent file ({error})",
        ) from error
    coordinates.setflags(write=False)
    return coordinates


def draw_coordinates(
    image: np.ndarray,
    label: np.ndarray | None,
    *,
    seed: int,
    count: int = MAX_COORDINATES,
    body: float = BODY_HU,
) -> tuple[dict[int, np.ndarray], dict[int, int]]:
    """Voxels of each class and of the body, without replacement.

    Args:
        image: (X, Y, Z) HU, or another unit.
        label: (X, Y, Z) integers, or None.
        seed: the draw depends on nothing else.
        count: at most so many per class.
        body: what is above it is body.

    Returns:
        class -> (n, 3) int32 in ascending order of the flat index, class -> number of its voxels in the volume; of
        voxels that were not annotated the number alone.
    """
    places = {BODY: np.flatnonzero(image > body)}
    if label is not None:
        foreground = np.flatnonzero(label > 0)
        values = label.reshape(-1)[foreground]
        order = np.argsort(values, kind="stable")
        present, first = np.unique(values[order], return_index=True)
        places |= {int(value): part for value, part in zip(present, np.split(foreground[order], first[1:]))}
    drawn = {}
    for value, flat in places.items():
        if len(flat) > count:
            rng = np.random.default_rng([seed, value - BODY])
            flat = np.sort(rng.choice(flat, count, replace=False, shuffle=False))
        drawn[value] = np.stack(np.unravel_index(flat, image.shape), axis=1).astype(np.int32)
    counts = {value: len(flat) for value, flat in places.items()}
    if label is not None and (ignored := int(np.count_nonzero(label == IGNORED))):
        counts[IGNORED] = ignored
    return drawn, counts


def save_coordinates(folder: Path, coordinates: dict[int, np.ndarray]) -> None:
    """Write ``coordinates.npz``, one array per class."""
    arrays: dict[str, Any] = {str(value): array for value, array in coordinates.items()}
    np.savez(folder / _COORDINATES, **arrays)


def save_entry(folder: Path, content: dict[str, Any]) -> None:
    """Write ``entry.json`` with a checksum of itself, into a folder that is not in its place yet."""
    # not flushed here: the whole folder is, before it is moved; of single images most of the time goes there
    text = json.dumps(content | {"self": _checksum(content)}, indent=1, sort_keys=True)
    (folder / _ENTRY).write_text(text, encoding="utf-8")


def load_entry(folder: Path) -> StoreEntry:
    """Read ``entry.json``.

    Raises:
        UserError: absent or damaged.
    """
    path = folder / _ENTRY
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("self") != _checksum(content):
            raise ValueError("its checksum does not fit its content")
        return StoreEntry(
            key=folder.name,
            dataset=content["dataset"],
            id=content["id"],
            patient=content["patient"],
            shape=tuple(content["shape"]),
            affine=np.array(content["affine"], dtype=np.float64),
            spacing=tuple(content["spacing"]),
            classes=tuple(content["classes"]),
            voxels={int(value): number for value, number in content["voxels"].items()},
            has_label=content["has_label"],
            source=content["source"],
            preparation=content["preparation"],
            crc32=content["crc32"],
            folder=folder,
            slice_range=np.array(content["slice_range"]) if content.get("slice_range") else None,
            fingerprint=content.get("fingerprint"),
        )
    except FileNotFoundError as error:
        command = prepare_line(path.parents[1])
        raise damaged_error(path, expected="a prepared volume", found="none", command=command) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            path,
            expected="the entry of a prepared volume",
            found=f"a damaged file ({error})",
            remedy=f"run `{repair_line(path.parents[1])}`",
        ) from error


def _checksum(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
