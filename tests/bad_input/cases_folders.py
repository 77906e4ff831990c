"""Folders of data sets whose layout or labels cannot be taken as they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from monai_cl.data import load_data_list
from tests.bad_input.case import Case
from tests.bad_input.world import AFFINE, Maker, World
from tests.data.volume_files import ct_array, label_array, write_nifti

_row = partial(Case, "lists")

CREATE, MERGE = ("datalist create",), ("datalist merge_masks",)


def _masks(**cases: Mapping[str, Sequence[int]]) -> Maker:
    """Case -> organ -> flat indices of its mask."""

    def make(world: World) -> None:
        world.folder = world.root / "masks"
        for number, (case, organs) in enumerate(cases.items()):
            (world.folder / case / "segmentations").mkdir(parents=True)
            array = ct_array(seed=number)
            write_nifti(world.folder / case / "ct.nii.gz", array, AFFINE)
            for organ, indices in organs.items():
                mask = np.zeros(array.shape, np.uint8)
                mask.flat[list(indices)] = 1
                write_nifti(world.folder / case / "segmentations" / f"{organ}.nii.gz", mask, AFFINE)

    return make


def _nnunet(labels: Any, channels: Sequence[str] = ("CT",)) -> Maker:
    """A folder of nnU-Net with one scan, whose label holds 1, 2 and 5."""

    def make(world: World) -> None:
        world.folder = world.root / "nnunet"
        for name in ("imagesTr", "labelsTr"):
            (world.folder / name).mkdir(parents=True)
        for number in range(len(channels)):
            write_nifti(world.folder / f"imagesTr/c_{number:04d}.nii.gz", ct_array(seed=number), AFFINE)
        write_nifti(world.folder / "labelsTr/c.nii.gz", label_array(), AFFINE)
        content = {"channel_names": dict(enumerate(channels)), "labels": labels, "file_ending": ".nii.gz"}
        (world.folder / "dataset.json").write_text(json.dumps(content))

    return make


def _check_regions(world: World) -> None:
    dataset = load_data_list(world.out / "list.json", data_root=world.folder).only_dataset
    assert dataset.labels == {0: "background", 1: "kidney", 2: "lesion"}
    assert dataset.label_map == {1: 1, 2: 2, 5: 2}


def _check_ignored(world: World) -> None:
    dataset = load_data_list(world.out / "list.json", data_root=world.folder).only_dataset
    assert (dataset.labels, dataset.ignore) == ({0: "background", 1: "liver", 2: "spleen"}, 5)


FOLDERS = [
    _row(
        "a folder with one mask file per organ",
        CREATE,
        _masks(s0={"liver": (1,), "spleen": (2,)}),
        ("masks", "one mask file per organ", "datalist merge_masks"),
    ),
    _row(
        "masks of two organs that claim the same voxels",
        MERGE,
        _masks(s0={"liver": (1, 2), "spleen": (2, 3)}),
        ("masks", "liver and spleen: 1 voxels in 1 scans", "--priority liver,spleen"),
    ),
    _row(
        "a scan without the mask file of an organ that others have",
        MERGE,
        _masks(s0={"liver": (1,), "spleen": (2,)}, s1={"liver": (1,)}),
        ("masks", "none of spleen in 1 (s1/ct.nii.gz)", "--missing empty", "--missing leave_out"),
    ),
    _row(
        "regions of nnU-Net that overlap",
        CREATE,
        _nnunet({"background": 0, "whole tumor": [1, 2, 5], "core": [2, 5]}),
        ("dataset.json", "'whole tumor' and 'core', two names for 2", "--organs"),
    ),
    _row(
        "regions of nnU-Net that do not overlap",
        CREATE,
        _nnunet({"background": 0, "kidney": [1], "lesion": [2, 5]}),
        repair="every region is an organ, its values are those of `label_map`",
        check=_check_regions,
    ),
    _row(
        "a folder of nnU-Net whose labels have the reserved word ignore",
        CREATE,
        _nnunet({"background": 0, "liver": 1, "spleen": 2, "ignore": 5}),
        repair="its value is under `ignore`: such voxels are in no loss, no sample of voxels and no Dice",
        check=_check_ignored,
    ),
    _row(
        "a folder of nnU-Net with scans of two channels",
        CREATE,
        _nnunet({"background": 0, "a": 1, "b": 2, "c": 5}, channels=("CT", "PET")),
        ("dataset.json", "2 (0 CT, 1 PET)", "choose one by its files: --images"),
    ),
    _row(
        "a label file with a value that dataset.json does not name",
        CREATE,
        _nnunet({"background": 0, "liver": 1, "spleen": 2}),
        ("labelsTr/c.nii.gz", "values that dataset.json names (1, 2)", "found 5", "--organs"),
    ),
]
