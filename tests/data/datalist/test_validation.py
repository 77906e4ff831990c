"""Validating the files behind a data list: each fault planted in a file is reported as one problem that names it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_cl.data.datalist.validation import Problem, validate_data_list
from monai_cl.errors import UserError
from tests.laps import ratio

AFFINE = np.diag([-0.8, -0.8, 2.5, 1.0])
SHAPE = (6, 7, 8)


def ct(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1000, SHAPE).astype(np.int16)


def organ(seed: int = 0, values=(0, 1, 2)) -> np.ndarray:
    return np.random.default_rng(100 + seed).choice(values, SHAPE).astype(np.uint8)


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


class Folder:
    """A sound data set of three scans, to be spoilt."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.document = {
            "name": "small",
            "labels": {"0": "background", "1": "liver", "2": "spleen"},
            "training": [
                {"image": f"ct/{i}.nii.gz", "label": f"seg/{i}.nii.gz", "fold": i, "patient": f"P{i}"} for i in range(3)
            ],
        }
        for i in range(3):
            self.ct(i, ct(i))
            self.seg(i, organ(i))

    def ct(self, i: int, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
        save(self.root / f"ct/{i}.nii.gz", array, affine)

    def seg(self, i: int, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
        save(self.root / f"seg/{i}.nii.gz", array, affine)

    def check(self, **options) -> list[Problem]:
        path = self.root / "list.json"
        path.write_text(json.dumps(self.document), encoding="utf-8")
        return validate_data_list(path, **options)

    def complaint(self, **options) -> str:
        (problem,) = self.check(**options)
        return str(problem)


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(tmp_path)


both = pytest.mark.parametrize("read_voxels", [True, False])


@both
def test_sound_list_has_no_problems(folder, read_voxels):
    assert folder.check(read_voxels=read_voxels) == []


@both
def test_missing_file(folder, read_voxels):
    (folder.root / "seg/1.nii.gz").unlink()
    text = folder.complaint(read_voxels=read_voxels)
    assert text.startswith("list.json: training[1].label: seg/1.nii.gz: expected a file, found nothing at ")


@both
def test_missing_file_with_a_similar_name(folder, read_voxels):
    (folder.root / "ct/1.nii.gz").rename(folder.root / "ct/1.nii.gzz")
    assert "did you mean 1.nii.gzz?" in folder.complaint(read_voxels=read_voxels)


@both
def test_missing_root_is_one_complaint(folder, read_voxels):
    text = folder.complaint(read_voxels=read_voxels, data_root=folder.root / "nowhere")
    assert "training[0]: ct/0.nii.gz: expected the folder" in text
    assert "none of its 3 items is checked" in text


@both
def test_file_that_is_not_an_image(folder, read_voxels):
    (folder.root / "ct/0.nii.gz").write_bytes(b"<html>not found</html>" * 40)
    text = folder.complaint(read_voxels=read_voxels)
    assert text.startswith("list.json: training[0].image: ct/0.nii.gz: expected a NIfTI header, found")
    assert str(folder.root) not in text


@both
def test_empty_file(folder, read_voxels):
    (folder.root / "ct/0.nii.gz").write_bytes(b"")
    assert "training[0].image: ct/0.nii.gz: expected" in folder.complaint(read_voxels=read_voxels)


@both
def test_unknown_format(folder, read_voxels):
    (folder.root / "ct/0.bmp").write_bytes(b"BM")
    folder.document["training"][0]["image"] = "ct/0.bmp"
    assert "found another kind of file; convert it to .nii.gz" in folder.complaint(read_voxels=read_voxels)


@both
def test_empty_dicom_folder(folder, read_voxels):
    (folder.root / "ct/dicom").mkdir()
    folder.document["training"][0] |= {"image": "ct/dicom"}
    assert "training[0].image: ct/dicom: expected a folder of DICOM slices" in folder.complaint(read_voxels=read_voxels)


@both
def test_four_axes(folder, read_voxels):
    folder.ct(0, np.stack([ct(), ct(1)], axis=-1))
    assert "ct/0.nii.gz: expected a 3D volume, found 4 axes" in folder.complaint(read_voxels=read_voxels)


@both
def test_other_shape(folder, read_voxels):
    folder.seg(2, organ(2)[:, :, :-1])
    text = folder.complaint(read_voxels=read_voxels)
    assert text.startswith("list.json: training[2].label: seg/2.nii.gz: expected the grid of ct/2.nii.gz (shape 6x7x8")
    assert "found shape 6x7x7, 0.8x0.8x2.5 mm" in text


@both
@pytest.mark.parametrize(
    "affine",
    [np.diag([-0.8, -0.8, 2.6, 1]), np.diag([0.8, -0.8, 2.5, 1]), AFFINE + np.eye(4, k=3) * 3, np.eye(4)],
    ids=["spacing", "flipped", "moved", "no header"],
)
def test_other_affine(folder, read_voxels, affine):
    folder.seg(0, organ(), affine)
    assert "training[0].label: seg/0.nii.gz: expected the grid of ct/0.nii.gz" in folder.complaint(
        read_voxels=read_voxels
    )


@both
def test_label_in_another_axis_order_is_on_the_same_grid(folder, read_voxels):
    label = nib.Nifti1Image(organ(), AFFINE)
    turned = label.as_reoriented(nib.io_orientation(np.diag([1.0, 1, -1, 1]) @ np.eye(4)[[2, 0, 1, 3]]))
    assert turned.shape != SHAPE
    nib.save(turned, folder.root / "seg/0.nii.gz")
    assert folder.check(read_voxels=read_voxels) == []


@both
def test_rounding_of_the_header_is_tolerated(folder, read_voxels):
    folder.seg(0, organ(), AFFINE * np.float32(1 + 1e-6) + 1e-4 * np.eye(4, k=3))
    assert folder.check(read_voxels=read_voxels) == []


@both
def test_same_scan_under_two_names(folder, read_voxels):
    (folder.root / "ct/2.nii.gz").write_bytes((folder.root / "ct/0.nii.gz").read_bytes())
    text = folder.complaint(read_voxels=read_voxels)
    assert text == (
        "list.json: training[2].image: ct/2.nii.gz: expected every image once, "
        "found the content of training[0].image (ct/0.nii.gz) again; remove one of the two"
    )


def test_same_label_file_for_two_scans(folder):
    folder.document["training"][1]["label"] = "seg/0.nii.gz"
    assert "training[1].label: seg/0.nii.gz: expected every label once" in folder.complaint()


def test_three_copies_are_two_complaints(folder):
    for i in (1, 2):
        (folder.root / f"seg/{i}.nii.gz").write_bytes((folder.root / "seg/0.nii.gz").read_bytes())
    assert [problem.where for problem in folder.check()] == ["training[1].label", "training[2].label"]


def test_damaged_gzip_is_found_by_its_checksum(folder):
    path = folder.root / "ct/0.nii.gz"
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 0xFF
    path.write_bytes(raw)
    text = folder.complaint()
    assert text.startswith("list.json: training[0].image: ct/0.nii.gz: expected a whole gzip file")


def test_truncated_file(folder):
    path = folder.root / "ct/0.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-100]))
    assert "training[0].image: ct/0.nii.gz: expected" in folder.complaint()


def test_label_values_that_are_not_declared(folder):
    array = np.ones(SHAPE, np.uint8)
    array[0, 0, 0], array[0, 0, 1:3] = 9, 7
    folder.seg(1, array)
    assert folder.complaint() == (
        "list.json: training[1].label: seg/1.nii.gz: expected values among the declared ids 0, 1, 2, "
        'found 7 (2 voxels), 9 (1 voxel); declare them under "labels", or say under "label_map" what each value of the '
        "file is (those it leaves out become background)"
    )


def test_negative_label_values(folder):
    array = organ().astype(np.int16)
    array[0, 0, 0] = -1
    folder.seg(0, array)
    assert "found -1 (1 voxel)" in folder.complaint()


def test_interpolated_labels(folder):
    array = organ().astype(np.float32)
    array[0, 0, :2] = 0.5
    folder.seg(0, array)
    assert (
        "expected integers among the declared ids 0, 1, 2, found 2 voxels with a value that is not an integer"
        in folder.complaint()
    )


def test_whole_numbers_in_floating_point_are_fine(folder):
    folder.seg(0, organ().astype(np.float64))
    assert folder.check() == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_label_that_is_not_a_number(folder, value):
    array = organ().astype(np.float32)
    array[0, 0, 0] = value
    folder.seg(0, array)
    assert "found 1 voxel with a value that is not an integer" in folder.complaint()


def test_nan_in_the_image(folder):
    array = ct().astype(np.float32)
    array[0, 0, 0], array[0, 0, 1:3] = np.nan, np.inf
    folder.ct(0, array)
    assert "ct/0.nii.gz: expected finite HU in every voxel, found 1 voxel NaN and 2 infinite" in folder.complaint()


def test_constant_image(folder):
    folder.ct(0, np.full(SHAPE, -1024, np.int16))
    assert "ct/0.nii.gz: expected a CT, found the value -1024 in every voxel" in folder.complaint()


def test_empty_label(folder):
    folder.seg(0, np.zeros(SHAPE, np.uint8))
    assert "seg/0.nii.gz: expected at least one labelled voxel, found background only" in folder.complaint()


def test_label_map_says_what_values_mean(folder):
    folder.document["label_map"] = {"5": 1, "6": 2}
    for i in range(3):
        folder.seg(i, organ(i, values=(0, 5, 6, 9)))
    assert folder.check() == []
    folder.seg(1, organ(1, values=(0, 9)))
    assert "found background only (the file's values 0, 9 mean no organ)" in folder.complaint()


def test_unlabelled_scan_is_fine(folder):
    del folder.document["training"][0]["label"]
    assert folder.check() == []


def test_everything_is_reported_at_once_the_list_first_then_the_files(folder):
    folder.document["training"][0]["fold"] = "x"
    folder.document["training"].append({"image": "ct/9.nii.gz", "fold": 1, "patient": "P2"})
    folder.document["lables"] = {}
    folder.seg(1, np.zeros(SHAPE, np.uint8))
    (folder.root / "ct/2.nii.gz").unlink()
    kinds = [problem.kind for problem in folder.check()]
    assert kinds == ["wrong type", "unknown key", "patient in two parts", "empty label", "missing file", "missing file"]


def test_list_without_any_data_set_is_reported(folder):
    folder.document = []
    assert folder.complaint() == "list.json: expected an object {...}, found []"


def test_test_and_validation_items_and_data_sets_are_checked(folder):
    del folder.document["training"][2]
    folder.document["test"] = [{"image": "ct/9.nii.gz"}]
    folder.document = {"name": "both", "datasets": [folder.document]}
    assert "list.json: datasets[0].test[0].image: ct/9.nii.gz: expected a file" in folder.complaint()


def test_workers_give_the_same_answer(folder):
    folder.seg(1, organ(1)[1:])
    (folder.root / "ct/2.nii.gz").unlink()
    assert folder.check(workers=2, read_voxels=False) == folder.check(read_voxels=False)
    assert len(folder.check(workers=2, read_voxels=False)) == 2


@pytest.mark.parametrize("workers", [0, 1.5, "two", True])
def test_number_of_workers_is_checked(folder, workers):
    with pytest.raises(UserError, match="workers must be an integer of at least 1"):
        folder.check(workers=workers)


def test_progress_goes_to_stderr(folder, capsys):
    folder.check(progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "validate" in captured.err


def test_nrrd_header_is_compared(folder):
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.GetImageFromArray(organ().transpose(2, 1, 0))
    image.SetSpacing((0.8, 0.8, 2.5))  # direction of AFFINE: ITK's LPS
    sitk.WriteImage(image, str(folder.root / "seg/0.nrrd"))
    folder.document["training"][0]["label"] = "seg/0.nrrd"
    assert folder.check() == folder.check(read_voxels=False) == []
    image.SetOrigin((5, 0, 0))
    sitk.WriteImage(image, str(folder.root / "seg/0.nrrd"))
    assert folder.complaint() == folder.complaint(read_voxels=False)
    assert "expected the grid of ct/0.nii.gz" in folder.complaint()


def test_headers_of_three_hundred_scans_take_little_more_than_to_read_them(tmp_path):
    items = []
    for i in range(300):
        save(tmp_path / f"{i}.nii.gz", ct(i)[:3, :3, :3])
        save(tmp_path / f"{i}_seg.nii.gz", organ(i)[:3, :3, :3])
        items.append({"image": f"{i}.nii.gz", "label": f"{i}_seg.nii.gz"})
    labels = {"0": "background", "1": "a", "2": "b"}
    (tmp_path / "list.json").write_text(json.dumps({"name": "many", "labels": labels, "training": items}))
    files = [tmp_path / item[key] for item in items for key in ("image", "label")]

    def validate():
        assert validate_data_list(tmp_path / "list.json", read_voxels=False) == []

    assert ratio(validate, lambda: [nib.load(file).header for file in files]) < 4, "about 1.4"


@pytest.mark.real_data
def test_real_scans_are_sound(real_data, tmp_path):
    items = [{"image": f"btcv_img00{i}.nii.gz", "label": f"btcv_label00{i}.nii.gz"} for i in (35, 36, 37)]
    labels = {"0": "background"} | {str(i): f"organ {i}" for i in range(1, 14)}
    (tmp_path / "list.json").write_text(json.dumps({"name": "btcv", "labels": labels, "training": items}))
    for read_voxels in (False, True):
        assert (
            validate_data_list(tmp_path / "list.json", data_root=real_data / "ct_organs", read_voxels=read_voxels) == []
        )


@pytest.mark.real_data
def test_real_dicom_series_lies_on_the_grid_of_its_labels(real_data, tmp_path):
    item = {"image": "totalseg_upper_abdomen", "label": "totalseg_upper_abdomen_structures.nii.gz"}
    labels = {"0": "background"} | {str(i): f"organ {i}" for i in range(1, 118)}
    (tmp_path / "list.json").write_text(json.dumps({"name": "dicom", "labels": labels, "training": [item]}))
    for read_voxels in (False, True):
        assert validate_data_list(tmp_path / "list.json", data_root=real_data / "dicom", read_voxels=read_voxels) == []
