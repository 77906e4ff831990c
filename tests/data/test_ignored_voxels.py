"""Voxels that a list ignores, from the list to the sampled patch: known as such, never a class, never drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from monai_cl.data import (
    LoadLabeld,
    LoadScand,
    MixCLPatches,
    Preparation,
    SegmentationPatches,
    VolumeStore,
    load_data_list,
    validate_data_list,
)
from monai_cl.data.datalist.edit import with_folds
from monai_cl.data.datalist.json_files import write_json
from monai_cl.engines import foreground_names
from monai_cl.engines.mixcl.data import class_counts
from monai_cl.transforms.label_table import IGNORED
from tests.data.volume_files import affine_of, ct_array, label_array, write_nifti

SHAPE = (20, 16, 12)
AFFINE = affine_of("LPS", spacing=(2, 2, 2))


def files(folder: Path, *, label_map: dict[str, int] | None = None) -> Path:
    """Two scans with organs 1 and 2; half of each organ, and as much background, was not annotated (value 7)."""
    items = []
    for number in range(2):
        write_nifti(folder / f"ct{number}.nii.gz", ct_array(SHAPE, seed=number), AFFINE)
        label = label_array(SHAPE, (1, 2))
        label[:, :, 6 + number :] = 7
        write_nifti(folder / f"label{number}.nii.gz", label, AFFINE)
        items.append({"image": f"ct{number}.nii.gz", "label": f"label{number}.nii.gz"})
    labels = {"0": "background", "1": "liver", "2": "spleen"}
    document = {"name": "a", "labels": labels, "ignore": 7, "training": items}
    return write_json(folder / "list.json", document | ({"label_map": label_map} if label_map else {}))


@pytest.fixture(params=[None, {"1": 1, "2": 2}], ids=["ids", "label_map"])
def prepared(request, tmp_path) -> tuple[Path, VolumeStore, list[str]]:
    path = files(tmp_path, label_map=request.param)
    store = VolumeStore.create(tmp_path / "store", Preparation(spacing=(2.0, 2.0, 2.0)))
    return path, store, [store.add(item) for item in load_data_list(path).items()]


def test_a_list_may_ignore_a_value_and_has_no_organ_for_it(tmp_path):
    path = files(tmp_path)
    assert validate_data_list(path) == []
    data_list = load_data_list(path)
    assert (foreground_names(data_list), class_counts(data_list)) == (["liver", "spleen"], [3])
    assert all(item["ignore"] == 7 for item in data_list.items())
    assert {item["fold"] for item in with_folds(data_list, folds=2, stratify="classes")["training"]} == {0, 1}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            {"labels": {"0": "background", "1": "liver", "2": "spleen", "7": "Ignore"}},
            "labels.7: expected the name of an",
        ),
        ({"labels": {"0": "background", "1": "liver", "2": "spleen", "7": "rest"}}, "ignore: expected a value that"),
        ({"ignore": 2}, "ignore: expected a value that means no organ, found 2"),
        ({"ignore": 0}, "ignore: expected"),
        ({"ignore": "7"}, "ignore: expected"),
        ({"ignore": 8}, "values among the declared ids 0, 1, 2, found 7"),
        ({"label_map": {"1": 1, "7": 2}}, "ignore: expected a value that means no organ, found 7"),
        ({"label_map": {"3": 1}}, "expected at least one labelled voxel"),
    ],
)
def test_a_list_that_contradicts_itself_is_refused(tmp_path, change, complaint):
    document = load_data_list(files(tmp_path)).only_dataset.document | change
    found = [str(problem) for problem in validate_data_list(write_json(tmp_path / "other.json", document))]
    assert any(complaint in problem for problem in found), found


def test_prepared_labels_know_the_voxels_and_count_them_in_no_class(prepared):
    _, store, keys = prepared
    for number, key in enumerate(keys):
        label, entry = store.read(key, kind="label"), store.entry(key)
        ignored = np.zeros(SHAPE, bool)
        ignored[:, :, 6 + number :] = True
        np.testing.assert_array_equal(label == IGNORED, ignored[::-1, ::-1])  # LPS -> RAS
        assert entry.classes == (1, 2)
        assert entry.voxels[IGNORED] == ignored.sum()
        for value in entry.classes:
            assert (label[tuple(entry.coordinates(value).T)] == value).all()
    assert set(np.unique(store.read(keys[0], kind="label"))) == {IGNORED, 0, 1, 2}


def test_a_list_that_does_not_ignore_has_an_entry_of_its_own(prepared):
    path, store, keys = prepared
    item = {key: value for key, value in load_data_list(path).items()[0].items() if key not in ("ignore", "label_ids")}
    assert store.add(item) != keys[0]


def test_a_repaired_entry_ignores_the_same_voxels(prepared):
    _, store, keys = prepared
    before = store.read(keys[0], kind="label")
    (store.root / keys[0] / "label.b2nd").unlink()
    assert [line.endswith("made again") for line in store.repair()] == [True]
    np.testing.assert_array_equal(store.read(keys[0], kind="label"), before)


def test_validation_reads_the_same_label_as_training(prepared):
    path, store, keys = prepared
    item = load_data_list(path).items()[0]
    loaded = LoadScand(["image"])({"image": item["image"]})["image"]
    label = LoadLabeld(["label"])(item | {"image": loaded[None]})["label"][0].numpy()
    np.testing.assert_array_equal(label[::-1, ::-1], store.read(keys[0], kind="label"))


def test_no_ignored_voxel_is_drawn_for_the_label_term(prepared):
    _, store, keys = prepared
    patches = MixCLPatches(store, {"a": keys}, patch_size=8, levels_stride=1, voxels_per_class=50, seed=1)
    seen = 0
    for position in range(12):
        pair = patches[position]
        for side in (1, 2):
            label, voxels = pair[f"label{side}"][0].reshape(-1), pair[f"voxels{side}"]
            drawn = voxels[voxels >= 0]
            assert label.dtype == torch.int64
            assert (label[drawn] == pair[f"voxel_labels{side}"][voxels >= 0]).all()
            assert (label[drawn] >= 0).all()
            seen += int((label == IGNORED).sum())
    assert seen > 0


def test_crops_keep_the_voxels_as_ignored(prepared):
    _, store, keys = prepared
    patches = SegmentationPatches(store, keys, patch_size=(20, 16, 12), seed=0)
    (label,) = patches[0]["label"]
    number = keys.index(next(key for key in keys if store.entry(key).id == patches[0]["id"]))
    np.testing.assert_array_equal(label.numpy(), store.read(keys[number], kind="label"))
