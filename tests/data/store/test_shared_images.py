"""A scan under another list name, label or label map: its image is one file, and its values are what they are alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from monai_cl.data import Preparation, VolumeStore
from monai_cl.data.store import conversion
from monai_cl.data.store.inventory import held_volumes, remove_volumes
from monai_cl.data.store.shared_images import bytes_freed
from tests.data.volume_files import affine_of, ct_array, label_array, write_nifti

PREPARATIONS = {
    "resampled": Preparation(spacing=(3.0, 3.0, 3.0)),
    "slices": Preparation(spacing=None, layout="slices"),
    "MR": Preparation(spacing=(3.0, 3.0, 3.0), intensity="percentiles"),
    "box": Preparation(spacing=None, head_box=(8, 8, 8), find_head=False),
}


@pytest.fixture
def item(tmp_path) -> dict[str, object]:
    image = write_nifti(tmp_path / "a.nii.gz", ct_array(), affine_of("LPS"))
    label = write_nifti(tmp_path / "a_label.nii.gz", label_array(), affine_of("LPS"))
    return {"image": str(image), "label": str(label), "dataset": "first", "id": "a"}


def others(item: dict[str, object]) -> list[dict[str, object]]:
    """The same scan as other lists have it."""
    bare = {name: value for name, value in item.items() if name != "label"}
    mapped = {"label_map": {"1": 2, "2": 1}}
    return [{**item, "dataset": "second"}, {**item, **mapped}, bare, {**item, "ignore": 2}, {**item, "id": "b"}]


def inode(store: VolumeStore, key: str) -> int:
    return (store.root / key / "image.b2nd").stat().st_ino


@pytest.mark.parametrize("name", PREPARATIONS)
def test_the_image_is_one_file_and_every_entry_is_what_it_is_in_a_store_of_its_own(item, tmp_path, name, monkeypatch):
    store = VolumeStore.create(tmp_path / "store", PREPARATIONS[name])
    first = store.add(item)
    alone = [VolumeStore.create(tmp_path / f"alone{n}", PREPARATIONS[name]) for n in range(5)]
    expected = [other.add(one) for other, one in zip(alone, others(item))]
    made = []
    monkeypatch.setattr(conversion, "_image", lambda *args: made.append(args))
    for other, key, one in zip(alone, expected, others(item)):
        assert store.add(one) == key
        assert inode(store, key) == inode(store, first)
        mine, its = store.entry(key), other.entry(key)
        for attribute in ("voxels", "classes", "fingerprint", "source", "crc32", "shape", "spacing"):
            assert getattr(mine, attribute) == getattr(its, attribute), attribute
        assert np.array_equal(mine.affine, its.affine)
        for kind in ("image", "label") if mine.has_label else ("image",):
            assert np.array_equal(store.read(key, kind=kind), other.read(key, kind=kind))
        for value in (-1, *mine.classes):
            assert np.array_equal(mine.coordinates(value), its.coordinates(value))
    assert made == []
    assert store.verify() == []


def test_another_scan_or_preparation_shares_nothing(item, tmp_path):
    store = VolumeStore.create(tmp_path / "store", PREPARATIONS["resampled"])
    write_nifti(tmp_path / "b.nii.gz", ct_array(seed=1), affine_of("LPS"))
    keys = [store.add(item), store.add({**item, "image": str(tmp_path / "b.nii.gz")})]
    keys.append(VolumeStore(store.root, PREPARATIONS["MR"]).add({**item, "dataset": "other"}))
    assert len({inode(store, key) for key in keys}) == 3


def test_a_damaged_image_is_not_shared_and_a_repair_makes_both_again(item, tmp_path):
    store = VolumeStore.create(tmp_path / "store", PREPARATIONS["resampled"])
    first, second = store.add(item), store.add({**item, "dataset": "second"})
    voxels = store.read(first)
    path = store.root / first / "image.b2nd"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    third = VolumeStore(store.root, store.preparation).add({**item, "dataset": "third"})
    assert inode(store, third) != inode(store, first)
    assert np.array_equal(VolumeStore(store.root, store.preparation).read(third), voxels)
    assert len(store.verify()) == 2
    assert all("made again" in line for line in store.repair())
    assert store.verify() == []
    assert all(np.array_equal(store.read(key), voxels) for key in (first, second, third))


@pytest.mark.parametrize("fault", ["no links", "holder gone"])
def test_where_it_cannot_be_linked_the_image_is_written(item, tmp_path, fault, monkeypatch):
    store = VolumeStore.create(tmp_path / "store", PREPARATIONS["resampled"])
    first = store.add(item)
    voxels = store.read(first)
    if fault == "no links":

        def refuse(*paths: Path) -> None:
            raise OSError("not supported")

        monkeypatch.setattr(os, "link", refuse)
    else:
        remove_volumes(store, held_volumes(store, []))
    key = store.add({**item, "dataset": "second"})
    assert (store.root / key / "image.b2nd").stat().st_nlink == 1
    assert np.array_equal(store.read(key), voxels)


def test_bytes_are_counted_once_and_freed_with_the_last_entry_that_has_them(item, tmp_path):
    store = VolumeStore.create(tmp_path / "store", PREPARATIONS["resampled"])
    keys = sorted([store.add(item), store.add({**item, "dataset": "second"})])
    folders = [store.root / key for key in keys]
    image = (folders[0] / "image.b2nd").stat().st_size
    sizes = [sum(file.stat().st_size for file in folder.iterdir()) for folder in folders]
    held = held_volumes(store, [])
    assert [one.bytes for one in held] == [sizes[0], sizes[1] - image]
    assert [bytes_freed([folder]) for folder in folders] == [size - image for size in sizes]
    assert bytes_freed(folders) == sum(sizes) - image
    assert remove_volumes(store, held[:1]) == sizes[0] - image
    assert remove_volumes(store, held[1:]) == sizes[1]
