"""Where an item belongs in a store. Its name: readable at the front, and different whenever its content would be."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monai_cl.data.datalist.items import item_id, map_pairs, reading_options

if TYPE_CHECKING:
    from monai_cl.data.store.conversion import Preparation
    from monai_cl.data.store.sources import Source


@dataclass(frozen=True)
class Slot:
    """An item's place in a store, worked out once: to look for its entry, to make it, and to say what it came from.

    Attributes:
        item: of the data list.
        sources: ``image`` and, where the item has one, ``label`` -> what the file contained.
        key: name of the entry.
        image_key: of its image alone, whatever the list and its labels.
    """

    item: Mapping[str, Any]
    sources: Mapping[str, Source]
    key: str
    image_key: str


def slot_of(item: Mapping[str, Any], sources: Mapping[str, Source], preparation: Preparation) -> Slot:
    """The slot of an item with these sources, for this preparation.

    Its key is ``<data set>.<id>.<digest of sources, label map and how DICOM is read>.<digest of the preparation>``:
    paths are not part of it, so a data folder may move; content is, so two lists that use one name cannot collide.
    """
    dataset, name = str(item.get("dataset", "")), item_id(item)
    content: list[Any] = [
        dataset,
        name,
        map_pairs(item.get("label_map")),
        {kind: source.sha256 for kind, source in sources.items()},
    ]
    if options := reading_options(item):
        content.append(options)
    if item.get("ignore") is not None:
        content.append({"ignore": int(item["ignore"])})
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    key = ".".join((_slug(dataset) or "volume", _slug(name) or "unnamed", digest, preparation.digest))
    image = json.dumps([sources["image"].sha256, reading_options(item)], sort_keys=True)
    return Slot(item, sources, key, f"{hashlib.sha256(image.encode()).hexdigest()[:24]}.{preparation.digest}")


def is_key(name: str) -> bool:
    """Whether a folder's name is that of an entry; other folders in a store are left alone."""
    return re.fullmatch(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[0-9a-f]{12}\.[0-9a-f]{8}", name) is not None


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:60]
