"""Voxels that are not Hounsfield units, and labels that are not label ids."""

from __future__ import annotations

from functools import partial

import numpy as np

from tests.bad_input.case import Case
from tests.bad_input.cases_bytes import LABEL, SCAN
from tests.bad_input.world import AFFINE, World, document, image, in_ras, item, label
from tests.data.volume_files import ct_array, label_array, write_segmentation

_row = partial(Case, "values")


def _with(value: float, dtype=np.float32):
    def change(array: np.ndarray) -> np.ndarray:
        array = array.astype(dtype)
        array[3, 4, 5] = value
        return array

    return change


def _wrapped(array: np.ndarray) -> np.ndarray:
    return array.astype(np.uint16)


def _swapped(world: World) -> None:
    label(ct_array(seed=7))(world)


def _check_clipped(world: World) -> None:
    store, entry = world.prepared()
    assert store.read(entry.key).max() == 32767
    assert store.read(entry.key).dtype == np.int16


def _check_whole(world: World) -> None:
    store, entry = world.prepared()
    assert entry.classes == (1, 2, 5)
    assert store.read(entry.key, kind="label").dtype == np.uint8


def _check_no_classes(world: World) -> None:
    assert world.prepared()[1].classes == ()


_empty = label(np.zeros((20, 16, 12), np.uint8))


def _renamed_segments(world: World) -> None:
    world.bad["label"] = "bad.seg.nrrd"
    names = {1: "spleen", 2: "liver", 5: "pancreas"}
    write_segmentation(world.label, label_array(), AFFINE, names)


VALUES = [
    _row(
        "NaN in a voxel",
        SCAN,
        image(_with(np.nan)),
        ("bad.nii.gz", "finite HU in every voxel", "replace them by air"),
    ),
    _row(
        "infinity in a voxel",
        SCAN,
        image(_with(-np.inf)),
        ("bad.nii.gz", "finite HU in every voxel", "replace them by air"),
    ),
    _row(
        "one value everywhere",
        SCAN,
        image(np.full((20, 16, 12), -7, np.int16)),
        ("bad.nii.gz", "the value -7 in every voxel", "export it again"),
    ),
    _row(
        "nothing but air",
        SCAN,
        image(lambda array: (array // 50 - 990).astype(np.int16)),
        ("bad.nii.gz", "expected tissue", "correct its rescale slope and intercept"),
    ),
    _row(
        "a scan scaled to [0, 1] already",
        SCAN,
        image(lambda array: ((array.clip(-150, 250) + 150) / 400).astype(np.float32)),
        ("bad.nii.gz", "expected Hounsfield units", "give the original scan"),
    ),
    _row(
        "a picture of 8 bits",
        SCAN,
        image(lambda array: ((array.clip(-150, 250) + 150) / 400 * 255).astype(np.uint8)),
        ("bad.nii.gz", "no value of -60 or below", "give a CT with its rescale intercept applied"),
    ),
    _row(
        "a CT without its rescale intercept (air is 0)",
        SCAN,
        image(lambda array: (array - array.min()).astype(np.int16)),
        ("bad.nii.gz", "no value of -60 or below", "give a CT with its rescale intercept applied"),
    ),
    _row(
        "HU below 0 wrapped round to 16 bits without sign",
        SCAN,
        image(_wrapped),
        ("bad.nii.gz", "no value of -60 or below", "give a CT with its rescale intercept applied"),
    ),
    _row(
        "metal beyond 16 bits",
        ("datalist validate", "prepare", "inference"),
        image(_with(70000, np.int32)),
        repair="clipped to -32768..32767, far outside every window",
        check=_check_clipped,
        sound=image(_with(32767, np.int16)),
    ),
    _row(
        "a .seg.nrrd whose segments have other names than the list gives their values",
        LABEL,
        _renamed_segments,
        ("bad.seg.nrrd", "1 liver, 2 spleen", "the names 1 spleen, 2 liver in the file", "rename the segments"),
    ),
    _row(
        "label ids stored as floating point",
        LABEL,
        label(lambda array: array.astype(np.float64)),
        repair="rounded, where all of them are integers",
        check=_check_whole,
        sound=label(lambda array: array),
    ),
    _row(
        "a label with fractions (interpolated, or a probability)",
        LABEL,
        label(lambda array: array.astype(np.float32) * 0.8),
        ("bad_label.nii.gz", "expected integer", "give"),
    ),
    _row(
        "a label with NaN",
        LABEL,
        label(_with(np.nan)),
        ("bad_label.nii.gz", "expected integer", "give"),
    ),
    _row(
        "a label id that the list does not declare",
        LABEL,
        label(_with(9, np.uint8)),
        ("bad_label.nii.gz", "declared ids 0, 1, 2, 5", "declare them under"),
    ),
    _row(
        "a negative label id",
        LABEL,
        label(_with(-1, np.int16)),
        ("bad_label.nii.gz", "-1", "label_map"),
    ),
    _row(
        "a label id beyond 16 bits",
        LABEL,
        label(_with(100_000, np.int32)),
        ("bad_label.nii.gz", "100000", "label_map"),
    ),
    _row(
        "the scan given as its label",
        LABEL,
        _swapped,
        ("bad_label.nii.gz", "expected", "label_map"),
    ),
    _row(
        "one file as scan and label",
        ("datalist validate", "prepare"),
        item({"label": "bad.nii.gz"}),
        ("training[2]", "bad.nii.gz", "the same file twice", "name the label's own file"),
        problems=2,
    ),
    _row(
        "an empty label, looked at",
        ("datalist validate",),
        label(np.zeros((20, 16, 12), np.uint8)),
        ("bad_label.nii.gz", "at least one labelled voxel", 'take "label" out of the item'),
    ),
    _row(
        "an empty label, trained on",
        ("prepare",),
        _empty,
        repair="a scan without organs; its crops are centred in the body",
        check=_check_no_classes,
        sound=in_ras(_empty),
    ),
    _row(
        "a label map that names none of the file's values",
        ("datalist validate",),
        lambda world: (document(label_map={"1": 1})(world), label(label_array() * (label_array() == 2))(world)),
        ("bad_label.nii.gz", "at least one labelled voxel", 'take "label" out of the item'),
    ),
]
