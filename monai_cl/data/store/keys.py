"""The name of an entry: readable at the front, and different whenever its content would be."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_cl.errors import UserError

if TYPE_CHECKING:
    from monai_cl.data.store.conversion import Preparation
    from monai_cl.data.store.sources import Source

_IMAGE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img.gz", ".img", ".dcm")


def entry_key(item: Mapping[str, Any], sources: Mapping[str, Source], preparation: Preparation) -> str:
    """``<data set>.<id>.<digest of sources and label map>.<digest of the preparation>``.

    Paths do not enter, so a data folder may move; content does, so two lists that use one name cannot meet.
    """
    dataset, name = str(item.get("dataset", "")), item_id(item)
    content = [dataset, name, map_pairs(item.get("label_map")), {kind: found.sha256 for kind, found in sources.items()}]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    return ".".join((_slug(dataset) or "volume", _slug(name) or "unnamed", digest, preparation.digest))


def is_key(name: str) -> bool:
    """Whether a folder's name is that of an entry; other folders in a store are let alone."""
    return re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[0-9a-f]{12}\.[0-9a-f]{8}", name) is not None


def item_kinds(item: Mapping[str, Any]) -> tuple[str, ...]:
    """``("image",)`` or ``("image", "label")``; raises UserError without an image."""
    if not item.get("image"):
        raise UserError(f'item {item.get("id", "?")}: expected a path under "image", found none; correct the data list')
    return ("image", "label") if item.get("label") else ("image",)


def strip_ending(name: str) -> str:
    """A file name without the ending of an image format; other dots stay (DICOM folders are named by UIDs)."""
    for ending in _IMAGE_ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def item_id(item: Mapping[str, Any]) -> str:
    """The item's id, or its image's file name without the ending."""
    return str(item.get("id") or strip_ending(Path(item["image"]).name))


def whose(item: Mapping[str, Any]) -> str:
    """The item for a message: its id, and its patient where he has another name."""
    name, patient = item_id(item), item.get("patient")
    return name if patient in (None, name) else f"patient {patient}, {name}"


def map_pairs(label_map: Mapping[int, int] | None) -> list[list[int]] | None:
    """A label map as JSON can keep it: sorted pairs of integers."""
    return None if label_map is None else sorted([int(value), int(new)] for value, new in label_map.items())


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60]
