"""What a store holds for which data list, in bytes, and what no list needs any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.items import item_id
from monai_cl.data.datalist.model import SPLITS, DataList
from monai_cl.data.store.conversion import Preparation
from monai_cl.data.store.shared_images import bytes_alone, bytes_freed
from monai_cl.data.store.volume_store import VolumeStore
from monai_cl.errors import UserError
from monai_cl.files import remove, reported


@dataclass(frozen=True)
class HeldVolume:
    """An entry of a store.

    Attributes:
        key: its name in the store.
        lists: names of the lists that have its scan.
        outdated: whether its lists have the scan with other content, another label or another label map by now.
        preparation: how it was made, in words; ``damaged`` where its description cannot be read.
        bytes: of its files, less an image that an entry before it has too.
    """

    key: str
    lists: tuple[str, ...]
    outdated: bool
    preparation: str
    bytes: int


def held_volumes(store: VolumeStore, lists: Sequence[DataList]) -> list[HeldVolume]:
    """Every entry of a store, with the lists that it is for: those that have a scan of its data set and id.

    The sources of scans that are in the store are hashed, unless the store knows their size and time. An entry counts
    as outdated only where the sources are there to compare with.

    Args:
        store: of prepared volumes.
        lists: data lists.
    """
    items: dict[tuple[str, str], list[tuple[str, Mapping[str, Any]]]] = {}
    for content in lists:
        for split in SPLITS:
            for item in content.items(split):
                items.setdefault((str(item.get("dataset", "")), item_id(item)), []).append((content.name, item))
    sizes = bytes_alone(store.root / key for key in store.all_keys())
    return [_look_at(store, folder.name, size, items) for folder, size in sizes.items()]


def unneeded_volumes(store: VolumeStore, lists: Sequence[DataList]) -> list[HeldVolume]:
    """The entries that none of the lists has, or only with other content; damaged ones are left to a repair.

    Args:
        store: of prepared volumes.
        lists: every data list that the store is for.

    Raises:
        UserError: no list: nothing would be needed.
    """
    if not lists:
        raise UserError(
            "store prune",
            expected="the data lists whose volumes stay",
            found="none",
            remedy="name them behind the store",
        )
    return [
        one for one in held_volumes(store, lists) if one.preparation != _DAMAGED and (not one.lists or one.outdated)
    ]


def remove_volumes(store: VolumeStore, held: Iterable[HeldVolume]) -> int:
    """Delete entries and return the bytes that are free now.

    Args:
        store: that holds them.
        held: the entries.

    Raises:
        UserError: one that cannot be deleted; those before it are.
    """
    freed = 0
    for one in held:
        folder = store.root / one.key
        with reported(folder, "deleted", remedy="make the store writable"):
            size = bytes_freed([folder])
            remove(folder)
        freed += size
    return freed


_DAMAGED = "damaged"


def _look_at(
    store: VolumeStore, key: str, size: int, items: Mapping[tuple[str, str], list[tuple[str, Mapping[str, Any]]]]
) -> HeldVolume:
    try:
        entry = store.entry(key)
    except UserError:
        return HeldVolume(key, (), False, _DAMAGED, size)
    own = items.get((entry.dataset, entry.id), [])
    names = tuple(dict.fromkeys(name for name, _ in own))
    outdated = bool(own) and not any(_may_be(store, key, item, entry.preparation) for _, item in own)
    return HeldVolume(key, names, outdated, _in_words(entry.preparation), size)


def _may_be(store: VolumeStore, key: str, item: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    """Whether an entry is what an item's preparation gives, with its label or, as some bundles do, without it.

    Some leave out the label alone, others what is said of it too, which counts in the key.
    """
    prepared = VolumeStore(Path(store.root), Preparation(**parameters))
    bare = {name: value for name, value in item.items() if name != "label"}
    barest = {name: value for name, value in item.items() if not name.startswith("label")}
    try:
        return any(prepared.key(one) == key for one in (item, bare, barest))
    except UserError:  # the sources are not here: nothing can be said against it
        return True


def _in_words(parameters: Mapping[str, Any]) -> str:
    spacing = parameters.get("spacing")
    size = "own spacing" if spacing is None else " x ".join(f"{step:g}" for step in spacing) + " mm"
    parts = [size, str(parameters.get("layout", "volume"))]
    if box := parameters.get("head_box"):
        parts.append("head box " + " x ".join(map(str, box)))
    parts += [str(parameters["intensity"])] if parameters.get("intensity") else []
    return ", ".join(parts)
