"""An item of a data list: its id, its kinds of files, its label map as JSON can hold it."""

from __future__ import annotations

import posixpath
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from monai_cl.data.io.formats import is_picture, strip_ending
from monai_cl.data.io.modality import CT, modality_name
from monai_cl.errors import UserError

Key = TypeVar("Key", bound=Hashable)


def item_kinds(item: Mapping[str, Any]) -> tuple[str, ...]:
    """``("image",)`` or ``("image", "label")``; raises UserError without an image."""
    if not item.get("image"):
        raise UserError(
            f"item {item.get('id', '?')}", expected='a path under "image"', found="none", remedy="correct the data list"
        )
    return ("image", "label") if item.get("label") else ("image",)


def item_id(item: Mapping[str, Any]) -> str:
    """The item's id, or its image's file name without the ending."""
    return str(item.get("id") or strip_ending(Path(item["image"]).name))


def scan_of(item: Mapping[str, Any]) -> tuple[str, str]:
    """What an item has of its own: the image, and of a series with several acquisitions the one that it takes."""
    return str(item["image"]), str(item.get("series_part") or "")


def item_field(item: Mapping[str, Any], field: str) -> Any:
    """A field of an item, beside its image or in its ``meta``; None where it has neither."""
    return item[field] if item.get(field) is not None else (item.get("meta") or {}).get(field)


def item_modality(item: Mapping[str, Any]) -> str:
    """The item's modality in capitals, such as ``"MR"``; CT where its list names none."""
    return str(item.get("modality") or CT)


def holds_hounsfield(item: Mapping[str, Any]) -> bool:
    """Whether the voxels of an item should be in HU: those of CT, but for PNG and JPEG, which hold grey values."""
    return is_ct(item_modality(item)) and not is_picture(str(item["image"]))


def is_ct(modality: str) -> bool:
    """Whether a word stands for CT, as "CTA" does."""
    return modality_name(modality) == CT


def modality_word(stated: object) -> str:
    """A ``modality`` of a list as one word in capitals.

    Args:
        stated: the word; or channel -> word, of which one that is not CT comes before CT; None: CT.
    """
    words = list(stated.values()) if isinstance(stated, Mapping) else [stated]
    named = [str(word).strip().upper() for word in words if word is not None]
    return next((word for word in named if not is_ct(word)), named[0] if named else CT)


def describe_item(item: Mapping[str, Any]) -> str:
    """How a message names the item: its id, and its patient where that is another name."""
    name, patient = item_id(item), item.get("patient")
    return name if patient in (None, name) else f"patient {patient}, {name}"


def reading_options(item: Mapping[str, Any]) -> dict[str, str]:
    """What the item says of reading its image, for :func:`read_volume`: ``series_part``, ``uneven_slices``."""
    return {key: str(item[key]) for key in ("series_part", "uneven_slices") if item.get(key)}


def map_pairs(label_map: Mapping[int, int] | None) -> list[list[int]] | None:
    """A label map as JSON can hold it: sorted pairs of integers."""
    return None if label_map is None else sorted([int(value), int(new)] for value, new in label_map.items())


def default_ids(items: Mapping[Key, Mapping[str, Any]]) -> dict[Key, str]:
    """Ids as given, else the image's file name; where names repeat with the acquisition, or with its folders (KiTS).

    Args:
        items: those of a data set as its list writes them, under any keys.
    """
    given = {key: raw["id"] for key, raw in items.items() if "id" in raw}
    files = {key: posixpath.normpath(raw["image"]) for key, raw in items.items() if key not in given}
    parts = {key: f"_{items[key]['series_part']}" if items[key].get("series_part") else "" for key in files}
    short = {key: strip_ending(posixpath.basename(file)) for key, file in files.items()}
    long = {key: strip_ending(file).replace("/", "_") for key, file in files.items()}
    for names in (short, {key: name + parts[key] for key, name in short.items()}):
        if len(set(names.values())) == len(names):
            return given | names
    repeated = len(set(long.values())) < len(long)
    return given | {key: name + parts[key] * repeated for key, name in long.items()}
