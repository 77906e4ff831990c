"""Scans of other modalities than CT: one scale in the store, in crops and in whole volumes, by what they are."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from monai_cl.data import Preparation, ScanIntensityd, load_data_list, prepare, validate_data_list
from monai_cl.data.datalist.create import create_data_list
from monai_cl.data.io.modality import header_modality, known_word, modality_fault, modality_name, scales_of
from monai_cl.data.io.scan_intensity import known_modality, require_known_picture
from monai_cl.data.patches.crops import read_crop
from monai_cl.engines import image_preprocessing, list_modality, read_list
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, as_mr, ct_array, label_array, write_dicom, write_nifti

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
WINDOW, SPACING = (-150.0, 250.0), (0.8, 0.9, 2.0)
LABELS = {"0": "background", "1": "a", "2": "b", "5": "c"}


def write_json(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def mr_array(gain: float = 40.0) -> np.ndarray:
    return as_mr(ct_array(), gain=gain).astype(np.float32)


def mr_series(folder, modality="MR", sop_class=MR_IMAGE):
    """A DICOM series of MR; of another modality where wanted."""
    write_dicom(folder, 2 * (mr_array() // 2), [float(2 * z) for z in range(12)], intercepts=(0,))
    for file in folder.iterdir():
        image = sitk.ReadImage(str(file))
        image.SetMetaData("0008|0016", sop_class)
        image.SetMetaData("0008|0060", modality)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(file))
        writer.Execute(image)
    return folder


@pytest.fixture
def both(tmp_path):
    """A list of a CT, and of an MR and one in other units."""
    files = {"ct": ct_array(), "mr": mr_array(), "mr2": mr_array(gain=7.0) + 3}
    write_nifti(tmp_path / "label.nii.gz", label_array(), affine_of("LPS"))
    items = []
    for name, array in files.items():
        write_nifti(tmp_path / f"{name}.nii.gz", array, affine_of("LPS"))
        item = {"image": f"{name}.nii.gz", "label": "label.nii.gz"}
        items.append(item if name == "ct" else {**item, "modality": "MRI"})
    return write_json(tmp_path / "list.json", {"name": "both", "labels": LABELS, "training": items})


@pytest.mark.parametrize("intensity", ["percentiles", "zscore"])
def test_crops_and_whole_volumes_of_every_modality_have_the_same_values(both, tmp_path, intensity):
    items = read_list(both, intensity=intensity).items()
    done = prepare(items, tmp_path / "store", Preparation(SPACING), progress=False)
    crops = []
    for key, item in zip(done.keys, items, strict=True):
        crop, _ = read_crop(done.store, key, (0, 0, 0), done.store.entry(key).shape, window=WINDOW)
        whole = image_preprocessing(spacing=SPACING, window=WINDOW, label=True)(item)["image"]
        # int16 in the store: half a HU of 400, half a thousandth of the scale
        torch.testing.assert_close(crop, whole.as_tensor(), atol=0.51 / 400, rtol=0)
        crops.append(crop)
    # the scanner's units are gone
    torch.testing.assert_close(crops[1], crops[2], atol=0.0011, rtol=0)
    assert not torch.allclose(crops[0], crops[1], atol=0.1)


def test_the_scales_by_their_definitions(both, tmp_path):
    array = mr_array()
    low, high = np.percentile(array, [1, 99])
    body = array[array > low + 0.1 * (high - low)].astype(float)
    expected = {
        "percentiles": (array - low) / (high - low),
        "zscore": 0.5 + (array - body.mean()) / (8 * body.std()),
    }
    for intensity, by_hand in expected.items():
        item = read_list(both, intensity=intensity).items()[1]
        done = prepare([item], tmp_path / "store", Preparation(None), progress=False)
        stored = done.store.read(done.keys[0])[::-1, ::-1]  # RAS of LPS
        np.testing.assert_allclose(stored, 1000 * np.clip(by_hand, 0, 1), atol=0.51)


def test_the_body_of_an_mr_is_what_is_not_air(both, tmp_path):
    done = prepare([read_list(both, intensity="percentiles").items()[1]], tmp_path / "store", Preparation(None),
                   progress=False)  # fmt: skip
    entry, stored = done.store.entry(done.keys[0]), done.store.read(done.keys[0])
    drawn = np.zeros(stored.shape, bool)
    drawn[tuple(entry.coordinates(-1).T)] = True
    low, high = np.percentile(stored, [1, 99])
    np.testing.assert_array_equal(drawn, stored > low + 0.1 * (high - low))
    assert 0.2 < drawn.mean() < 0.9


def test_a_ct_is_prepared_as_ever_beside_mr_and_without_the_key_mr_is_refused(both, tmp_path):
    ct, mr, _ = load_data_list(both).items()
    alone = prepare([ct], tmp_path / "one", Preparation(SPACING), progress=False)
    with_key = read_list(both, intensity="zscore").items()
    beside = prepare(with_key, tmp_path / "two", Preparation(SPACING), progress=False)
    assert alone.keys[0] == beside.keys[0]
    one, two = (store.entry(alone.keys[0]) for store in (alone.store, beside.store))
    assert (one.crc32, one.preparation, one.voxels) == (two.crc32, two.preparation, two.voxels)
    with pytest.raises(UserError, match='scaled by itself where the data list says its "modality"'):
        prepare([mr], tmp_path / "one", Preparation(SPACING), progress=False, report=None)


def test_what_a_list_holds_as_weights_say_it(both):
    assert list_modality(read_list(both, intensity="zscore").items()) == {"CT": "hounsfield", "MR": "zscore"}
    items = read_list(both, intensity={"MR": "percentiles"}).items()
    assert list_modality(items) == {"CT": "hounsfield", "MR": "percentiles"}
    assert "CT" in [list_modality([item]) for item in items]  # of the items alone
    for wrong in ("z-score", {"PT": "zscore"}):
        with pytest.raises(UserError, match=r"intensity: expected percentiles or zscore for scans of MR, found"):
            read_list(both, intensity=wrong)


def test_a_scale_that_there_is_not_is_refused_for_a_list_of_ct_too(tmp_path):
    path = write_json(tmp_path / "list.json", {"name": "x", "training": [{"image": "a.nii.gz"}]})
    for wrong in ("z-score", {"MR": "z-score"}):
        with pytest.raises(
            UserError, match=r"intensity: expected percentiles or zscore for scans of \w+, found .*z-score"
        ):
            read_list(path, intensity=wrong)


@pytest.mark.parametrize(
    ("stated", "header", "fits"),
    [("MRI", "MR", True), ("T1", "MR", True), ("T1", "CT", False), (None, "MR", False), (None, "CT", True),
     ("CTA", "CT", True), ("MR", "CT", False), ("MR", "PT", False), ("XR", "", True), ("XR", "CT", False)],
)  # fmt: skip
def test_which_words_a_dicom_header_contradicts(stated, header, fits):
    assert (modality_fault(stated, header) is None) is fits


def test_words_for_a_modality():
    assert [modality_name(word) for word in ("mri", "CTA", "PET", "flair")] == ["MR", "CT", "PT", "FLAIR"]


def test_every_door_refuses_what_a_dicom_header_contradicts(tmp_path):
    series = mr_series(tmp_path / "mr")
    assert header_modality(series) == "MR"
    assert header_modality(mr_series(tmp_path / "other", "OT")) == ""
    assert header_modality(mr_series(tmp_path / "ct", "OT", "1.2.840.10008.5.1.4.1.1.2")) == "CT"
    assert header_modality(write_nifti(tmp_path / "a.nii.gz", mr_array())) == ""
    path = write_json(tmp_path / "list.json", {"name": "x", "training": [{"image": "mr"}]})
    message = r"found MR in the DICOM header; state what the header does, MR \(\"modality\" in a data list\)"
    with pytest.raises(UserError, match=message):
        prepare(read_list(path, intensity="zscore").items(), tmp_path / "s", Preparation(), progress=False, report=None)
    for read_voxels in (True, False):
        problems = validate_data_list(path, read_voxels=read_voxels)
        assert "modality" in [problem.kind for problem in problems]
    with pytest.raises(UserError, match="expected CT, as the list or the command says, found MR in the DICOM header"):
        inferred(series, known={"CT": "hounsfield", "MR": "zscore"}, modality="CT")


def inferred(path, **options) -> torch.Tensor:
    """A scan as inference sees it before resampling."""
    from monai.transforms import LoadImaged

    from monai_cl.data import CTReader

    item = LoadImaged("image", reader=CTReader)({"image": str(path)})
    return ScanIntensityd("image", window=WINDOW, **options)(item)["image"]


def test_inference_takes_the_modality_of_the_header_of_the_key_or_the_only_one(tmp_path):
    series = mr_series(tmp_path / "mr")
    file = write_nifti(tmp_path / "a.nii.gz", 2 * (mr_array() // 2))
    both = {"CT": "hounsfield", "MR": "percentiles"}
    found = [inferred(series, known=both), inferred(file, known=both, modality="mri"),
             inferred(file, known={"MR": "percentiles"})]  # fmt: skip
    assert (float(found[0].min()), float(found[0].max())) == (-150.0, 250.0)
    for image in found:
        assert image.meta["window"] == pytest.approx(list(np.percentile(2 * (mr_array() // 2), [1, 99])))
        torch.testing.assert_close(image.as_tensor(), found[0].as_tensor())
    ct = inferred(write_nifti(tmp_path / "ct.nii.gz", ct_array()), known=both, modality="CT")
    np.testing.assert_array_equal(ct.numpy(), ct_array())


def test_inference_refuses_a_modality_that_the_network_does_not_know_or_nobody_states(tmp_path):
    series, file = mr_series(tmp_path / "mr"), write_nifti(tmp_path / "a.nii.gz", mr_array())
    with pytest.raises(
        UserError, match="mr: expected a scan of CT, which the network was trained on, found modality MR"
    ):
        inferred(series, known="CT")
    with pytest.raises(UserError, match="found modality PT; train on scans of PT too"):
        inferred(file, known={"MR": "zscore"}, modality="PET")
    with pytest.raises(UserError, match="does not state its modality; name it: --modality CT or --modality MR"):
        inferred(file, known={"CT": "hounsfield", "MR": "zscore"})
    with pytest.raises(UserError, match="not an MR or an 8-bit picture; what is not CT is scaled"):
        inferred(file, known="CT")


def test_a_list_of_a_dicom_series_says_its_modality(tmp_path):
    assert create_data_list(mr_series(tmp_path / "mr")).document["modality"] == "MR"
    write_dicom(tmp_path / "ct", ct_array(), [float(2 * z) for z in range(12)])
    assert create_data_list(tmp_path / "ct").document["modality"] == "CT"


@pytest.mark.real_data
@pytest.mark.parametrize("intensity", ["percentiles", "zscore"])
def test_a_real_mr_has_one_scale_in_training_and_inference(real_data, tmp_path, intensity):
    files = ["odd_files/an_mr_not_a_ct.nii.gz", "odd_files/nibabel/anatomical.nii"]
    path = tmp_path / "list.json"
    write_json(path, {"name": "mr", "modality": "MR", "training": [{"image": file} for file in files]})
    items = read_list(path, data_root=real_data, intensity=intensity).items()
    assert validate_data_list(path, data_root=real_data) == []
    done = prepare(items, tmp_path / "store", Preparation((4.0, 4.0, 4.0)), progress=False)
    for key, item in zip(done.keys, items, strict=True):
        crop, _ = read_crop(done.store, key, (0, 0, 0), done.store.entry(key).shape, window=WINDOW)
        whole = image_preprocessing(spacing=(4.0, 4.0, 4.0), window=WINDOW)(item)["image"]
        torch.testing.assert_close(crop, whole.as_tensor(), atol=0.51 / 1000, rtol=0)
        body = crop[0].numpy()[tuple(done.store.entry(key).coordinates(-1).T)]
        assert 0.2 < float(body.mean()) < 0.7


def test_a_word_such_as_t1_is_what_the_header_calls_mr(tmp_path):
    series = mr_series(tmp_path / "mr")
    assert known_modality(str(series), known={"T1": "percentiles"}) == "T1"
    assert known_modality(str(series), known={"CT": "hounsfield", "T1": "zscore"}) == "T1"
    with pytest.raises(UserError, match="found modality MR; name it: --modality T1 or --modality T2"):
        known_modality(str(series), known={"CT": "hounsfield", "T1": "zscore", "T2": "zscore"})
    assert known_modality(str(series), known={"T1": "zscore", "T2": "zscore"}, stated="T2") == "T2"
    assert known_word("CT", {"T1": "zscore"}) is None
    assert known_word("PHASE", {"T1": "zscore"}) is None


@pytest.mark.parametrize(
    ("known", "stated", "found"),
    [
        ("CT", None, "a picture, which holds grey values; train on such pictures too, or give it the CT itself"),
        ("CT", "US", "a picture of US; train"),
        ({"CT": "hounsfield", "MR": "zscore"}, "CT", None),
        ({"MR": "zscore"}, "US", "a picture of US; train"),
        ({"CT": "hounsfield", "MR": "zscore"}, None, None),
        ({"CT": "hounsfield", "CT picture": "percentiles"}, "CT", None),
        ({"CT": "percentiles"}, "CTA", None),  # as an earlier version wrote it
        ({"US": "percentiles"}, "US", None),
    ],
)
def test_pictures_are_for_networks_that_have_learned_from_grey_values(known, stated, found):
    if found is None:
        require_known_picture("a.png", known=scales_of(known), stated=stated)
        return
    with pytest.raises(UserError, match=re.escape(f"which the network was trained on, found {found}")):
        require_known_picture("a.png", known=scales_of(known), stated=stated)


def test_a_volume_is_not_for_a_network_of_pictures(tmp_path):
    file = write_nifti(tmp_path / "a.nii.gz", ct_array())
    with pytest.raises(UserError, match="found a file that does not state its modality; give it PNG or JPEG of CT"):
        known_modality(str(file), known=scales_of({"CT": "percentiles"}))
    with pytest.raises(UserError, match="found modality CT; give it PNG or JPEG of CT"):
        known_modality(str(file), known=scales_of({"CT picture": "percentiles"}), stated="CT")
