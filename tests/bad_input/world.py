"""A sound little data set in a folder, to be spoilt in one place."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from monai_cl.data import Preparation, StoreEntry, VolumeStore
from monai_cl.data.store.keys import is_key
from tests.data.volume_files import affine_of, ct_array, label_array, write_nifti

AFFINE = affine_of("LPS", spacing=(1.5, 1.5, 3.0))
LABELS = {"0": "background", "1": "liver", "2": "spleen", "5": "pancreas"}


class World:
    """Three labelled scans and their list; ``bad.nii.gz`` and ``bad_label.nii.gz`` are those to spoil.

    Attributes:
        root: the folder of the files.
        folder: a data set without a list.
        document: the list, written by `list_file`.
        store: where prepared volumes go.
        out: where results go; it must not be there after an error.
        real: folder of the real files, for the cases that need it.
    """

    def __init__(self, root: Path, real: Path | None = None) -> None:
        self.root, self.store, self.out, self.real = root / "data", root / "store", root / "out", real
        self.root.mkdir()
        self.folder = self.root
        self.list_name = "list.json"
        self.raw_list: bytes | None = None
        self.folds = 2  # that a command is to make
        self.keep_out = False  # the folder of results is there before
        items = []
        for number, name in enumerate(("good", "fine", "bad")):
            write_nifti(self.root / f"{name}.nii.gz", ct_array(seed=number), AFFINE)
            # each map another one: repeated content is another problem
            label = label_array()
            label[1, 4, 3 : 5 + number] = 0
            write_nifti(self.root / f"{name}_label.nii.gz", label, AFFINE)
            items.append(
                {"image": f"{name}.nii.gz", "label": f"{name}_label.nii.gz", "patient": name, "target": number % 2}
            )
        self.document: dict[str, Any] = {"name": "small", "labels": dict(LABELS), "training": items}

    @property
    def bad(self) -> dict[str, Any]:
        """The item of the list that is to be spoilt."""
        return self.document["training"][2]

    @property
    def image(self) -> Path:
        """The scan to spoil."""
        return self.root / self.bad["image"]

    @property
    def label(self) -> Path:
        """Its label."""
        return self.root / self.bad["label"]

    def list_file(self) -> Path:
        """The list as it is on disk."""
        path = self.root / self.list_name
        if self.raw_list is not None:
            path.write_bytes(self.raw_list)
        elif self.list_name == "list.json" and not path.exists():
            path.write_text(json.dumps(self.document), encoding="utf-8")
        return path

    def prepared(self, **preparation: Any) -> tuple[VolumeStore, StoreEntry]:
        """The store, and the entry of the bad scan in it."""
        store = VolumeStore.open(self.store, Preparation(spacing=None, **preparation))
        (key,) = [key for key in store.all_keys() if store.entry(key).patient in ("bad", "bad_series")]
        return store, store.entry(key)

    def stored(self) -> set[str]:
        """Ids of the scans with a prepared volume."""
        names = [folder.name for folder in self.store.iterdir()] if self.store.is_dir() else []
        return {name.split(".")[1] for name in names if is_key(name)}


Maker = Callable[[World], None]


def unspoilt(world: World) -> None:
    """All as it is."""


def in_ras(*makers: Maker) -> Maker:
    """What the makers make, with scan and label stored as right, anterior, superior."""

    def make(world: World) -> None:
        for maker in makers:
            maker(world)
        for path in (world.image, world.label):
            turned = nib.as_closest_canonical(nib.load(path))
            nib.save(nib.Nifti1Image(np.asarray(turned.dataobj).copy(), turned.affine), path)

    return make


def image(array: Any, affine: np.ndarray = AFFINE, name: str = "bad.nii.gz") -> Maker:
    """The bad scan holds ``array``, or what ``array`` makes of a sound one."""

    def make(world: World) -> None:
        world.image.unlink()
        world.bad["image"] = name
        write_nifti(world.image, array(ct_array(seed=2)) if callable(array) else array, affine)

    return make


def label(array: Any, affine: np.ndarray = AFFINE) -> Maker:
    """The bad scan's label holds ``array``, or what ``array`` makes of a sound one."""
    return lambda world: write_nifti(world.label, array(label_array()) if callable(array) else array, affine) and None


def content(change: Callable[[bytes], bytes], file: str = "image") -> Maker:
    """The bytes of the bad scan (or of its label) changed."""

    def make(world: World) -> None:
        path: Path = getattr(world, file)
        path.write_bytes(change(path.read_bytes()))

    return make


def cut(part: float) -> Callable[[bytes], bytes]:
    """The front ``part`` of a file."""
    return lambda raw: raw[: int(len(raw) * part)]


def flip(part: float) -> Callable[[bytes], bytes]:
    """One bit changed, at that part of a file (from the end, if negative: a number of bytes)."""

    def change(raw: bytes) -> bytes:
        place = int(len(raw) * part) if part >= 0 else len(raw) + int(part)
        return raw[:place] + bytes([raw[place] ^ 0x10]) + raw[place + 1 :]

    return change


def document(**changes: Any) -> Maker:
    """Other entries in the list; None takes one out."""

    def make(world: World) -> None:
        world.document.update(changes)
        for key in [key for key, value in changes.items() if value is None]:
            del world.document[key]

    return make


def item(changes: Mapping[str, Any]) -> Maker:
    """Other entries in the bad item; None takes one out."""

    def make(world: World) -> None:
        world.bad.update(changes)
        for key in [key for key, value in changes.items() if value is None]:
            del world.bad[key]

    return make


def text(change: Callable[[str], str | bytes]) -> Maker:
    """The text of the list changed."""

    def make(world: World) -> None:
        changed = change(json.dumps(world.document, indent=1))
        world.raw_list = changed.encode() if isinstance(changed, str) else changed

    return make
