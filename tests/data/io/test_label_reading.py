"""A label is a pair with its image whatever the order of its axes and its format: one synthetic scan, all 48 orders."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric
from monai.transforms import LoadImaged

from monai_cl.data import CTReader, LoadLabeld, Preparation, read_volume
from monai_cl.data.io.label_reading import read_label
from monai_cl.data.io.reading import to_ras
from monai_cl.data.store.conversion import convert
from monai_cl.engines.segmentation.data import image_preprocessing
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, label_array, rotated, write_dicom_on, write_itk, write_nifti

# a cube: arrays in another order of axes have the same shape, and nothing but the affine tells them apart
SHAPE = (8, 8, 8)
AFFINE = rotated(affine_of("RAS", spacing=(0.75, 1.25, 2.5)), (4, -3, 6))
IMAGE, LABEL = ct_array(SHAPE) // 2 * 2, label_array(SHAPE, (1, 2, 3))  # even HU, as `write_dicom_on` stores them
CODES = ["".join(codes) for axes in itertools.permutations(("LR", "PA", "IS")) for codes in itertools.product(*axes)]
FORMATS = ("nii.gz", "nrrd", "mha")


def write(folder: Path, name: str, array: np.ndarray, codes: str, format: str) -> Path:
    """An array (X, Y, Z) on ``AFFINE`` in a file whose axes point to ``codes``."""
    turn = nib.orientations.axcodes2ornt(codes)
    inverse = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), turn)
    affine = AFFINE @ nib.orientations.inv_ornt_aff(inverse, array.shape)
    turned = np.ascontiguousarray(nib.apply_orientation(array, inverse))
    if format == "dicom":
        return write_dicom_on(folder / name, turned, affine)
    path = folder / f"{name}.{format}"
    return write_nifti(path, turned, affine) if format.startswith("nii") else write_itk(path, turned, affine)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> dict[tuple[str, str], Path]:
    """Format and axis codes -> the scan in such a file."""
    folder = tmp_path_factory.mktemp("images")
    return {
        (format, codes): write(folder, f"{format}_{codes}", IMAGE, codes, format)
        for format in (*FORMATS, "dicom")
        for codes in CODES
    }


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> dict[tuple[str, str], Path]:
    """Format and axis codes -> the label in such a file."""
    folder = tmp_path_factory.mktemp("labels")
    return {(f, codes): write(folder, f"{f}_{codes}", LABEL, codes, f) for f in FORMATS for codes in CODES}


# every order of an image with one other order of its label, so that every order of a label is met in every format too
PAIRS = [
    pytest.param((image, codes), (FORMATS[number % 3], CODES[(7 * number + 5) % 48]), id=f"{image} {codes}")
    for image in (*FORMATS, "dicom")
    for number, codes in enumerate(CODES)
]


def dice(one: torch.Tensor, other: torch.Tensor) -> list[float]:
    metric = DiceMetric(include_background=False, num_classes=4)
    return metric(one[None], other[None])[0].tolist()


def shifted(array: np.ndarray) -> np.ndarray:
    return np.roll(array, 2, axis=1)


def expected_dice(value: int) -> float:
    one, other = (array == value for array in (LABEL, shifted(LABEL)))
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize(("image", "label"), PAIRS)
def test_any_order_of_axes_gives_the_same_voxels_and_the_same_dice(images, labels, image, label):
    item = {"image": str(images[image]), "label": str(labels[label])}
    prepared = convert(item, Preparation(spacing=None))
    np.testing.assert_array_equal(prepared.image, IMAGE)
    np.testing.assert_array_equal(prepared.label, LABEL)
    np.testing.assert_allclose(prepared.affine, AFFINE, atol=1e-4)

    own = read_volume(item["image"])
    truth = image_preprocessing(spacing=own.spacing, label=True)({**item, "id": "a", "patient": "a"})["label"]
    np.testing.assert_allclose(truth.affine, own.affine, atol=1e-9)
    turn = own.grid.orientation
    np.testing.assert_array_equal(nib.apply_orientation(truth[0].numpy(), turn), LABEL)
    assert dice(truth, truth) == [1, 1, 1]
    moved = nib.apply_orientation(truth[0].numpy(), turn)
    back = nib.orientations.ornt_transform(nib.io_orientation(np.eye(4)), turn)
    prediction = torch.from_numpy(nib.apply_orientation(shifted(moved), back).copy())[None]
    assert dice(prediction, truth) == pytest.approx([expected_dice(value) for value in (1, 2, 3)])


@pytest.mark.parametrize("image", [("nii.gz", "PLI"), ("dicom", "RAS")], ids=" ".join)
@pytest.mark.parametrize("format", FORMATS)
def test_any_order_of_a_labels_axes_is_turned_to_those_of_its_image(images, labels, format, image):
    volume = read_volume(images[image])
    for codes in CODES:
        label = read_label(labels[format, codes], image=images[image], grid=volume.grid)
        np.testing.assert_array_equal(label.affine, volume.affine)
        np.testing.assert_array_equal(to_ras(label).array, LABEL)


def test_a_label_map_and_whole_numbers_in_floating_point_count_in_every_order(images, tmp_path):
    file = write(tmp_path, "float", LABEL.astype(np.float32) * 10 - 0.0004, "SLA", "nii.gz")
    item = {"image": str(images["nrrd", "RAS"]), "label": str(file), "label_map": {10: 2, 30: 1}}
    expected = np.select([LABEL == 1, LABEL == 3], [2, 1])
    np.testing.assert_array_equal(convert(item, Preparation(spacing=None)).label, expected)
    item = LoadImaged("image", reader=CTReader, ensure_channel_first=True)(item)
    np.testing.assert_array_equal(LoadLabeld("label")(item)["label"][0], expected)


def test_another_grid_is_refused_in_the_words_of_preparation(images, tmp_path):
    label = write_nifti(tmp_path / "moved.nii.gz", LABEL, AFFINE + 3 * np.eye(4, k=3))
    item = {"image": str(images["mha", "LPS"]), "label": str(label), "id": "a", "patient": "a"}
    match = r"moved\.nii\.gz: expected the grid of .*mha_LPS\.mha to within 0\.075 mm, found corners .* mm apart"
    with pytest.raises(UserError, match=match):
        convert(item, Preparation(spacing=None))
    with pytest.raises(RuntimeError) as found:
        image_preprocessing(label=True)(item)
    causes = [found.value, found.value.__cause__]
    assert any(isinstance(cause, UserError) and "moved.nii.gz: expected the grid of" in str(cause) for cause in causes)
