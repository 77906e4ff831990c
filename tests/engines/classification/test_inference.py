"""Slices of a new scan are those the store gives; masks are found, made, or refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from monai_cl.data import CTSlices, Preparation, prepare, slice_volumes
from monai_cl.engines import FindLiverMask, LoadSlices, SeriesInferer, SliceSeries, scan_items
from monai_cl.engines.segmentation.bundle import segment_with_bundle
from monai_cl.errors import UserError
from monai_cl.networks import slice_encoder
from tests.engines.slice_lists import volume, write_scan

OPTIONS = {"size": 24, "window": (-100, 400), "neighbours": 1}


@pytest.fixture
def scan(tmp_path):
    """A scan with its mask, feet first or not."""
    image, label = volume(3)
    return {
        "image": write_scan(tmp_path / "scan.nii.gz", image),
        "label": write_scan(tmp_path / "masks" / "scan.nii.gz", label),
        "id": "scan",
    }


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("masked", [True, False])
def test_a_loaded_scan_gives_what_the_store_gives(tmp_path, flipped, masked):
    image, label = volume(1)
    affine = np.diag([2.0, 2.0, -5.0 if flipped else 5.0, 1.0])
    item = {"image": write_scan(tmp_path / "a.nii.gz", image, affine), "id": "a", "patient": "a"}
    if masked:
        item["label"] = write_scan(tmp_path / "a_mask.nii.gz", label, affine)
    done = prepare([item], tmp_path / "store", Preparation(spacing=None, layout="slices"), progress=False)
    volumes = slice_volumes(done.store, done.keys, done.items, liver=1)
    stored = SliceSeries(CTSlices(done.store, volumes, **OPTIONS))[0]
    loaded = LoadSlices(**OPTIONS)(item)
    for key in ("image", "depth", "slice"):
        assert torch.equal(stored[key], loaded[key]), key
    assert loaded["image"].shape == (4 if masked else 7, 3, 24, 24)
    assert (loaded["z"].diff() == 5).all()


def test_scans_are_named_by_their_files(tmp_path):
    paths = [write_scan(tmp_path / f"{name}.nii.gz", volume(0)[0]) for name in ("a", "b.c")]
    assert [item["id"] for item in scan_items(paths)] == ["a", "b.c"]
    assert scan_items(paths[0])[0]["image"] == paths[0]


def test_scans_of_one_name_are_told_apart_by_their_folders(tmp_path):
    paths = [write_scan(tmp_path / folder / "a.nii.gz", volume(0)[0]) for folder in ("x", "y", "x")]
    assert [(item["id"], item["image"]) for item in scan_items(paths)] == [("x_a", paths[0]), ("y_a", paths[1])]


def test_scans_that_are_missing_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such volume"):
        scan_items([str(tmp_path / "no.nii.gz")])
    with pytest.raises(UserError, match="expected volumes, found none"):
        scan_items([])


def test_no_mask_leaves_the_item(scan):
    item = {"image": scan["image"], "id": "scan"}
    assert FindLiverMask(None)(item) == item


def test_a_forgotten_mask_is_said_where_the_model_was_trained_with_masks(scan, caplog):
    FindLiverMask(scan["label"], volumes=scan["image"], organ="liver")
    FindLiverMask(None, organ=None)
    assert caplog.text == ""
    FindLiverMask(None, organ="liver")
    assert "no --liver_mask: slices are chosen from the whole volume" in caplog.text
    assert "the mask of the liver" in caplog.text


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan_seg.nii.gz"])
def test_a_mask_is_found_in_a_folder_by_the_scans_name(scan, tmp_path, name):
    (tmp_path / "masks" / "scan.nii.gz").rename(tmp_path / "masks" / name)
    found = FindLiverMask(tmp_path / "masks", liver_label=1)({"image": scan["image"], "id": "scan"})
    assert found["label"] == str(tmp_path / "masks" / name)
    assert found["label_map"] == {1: 1}


def test_a_mask_that_is_missing_is_asked_for_by_name(scan, tmp_path):
    with pytest.raises(UserError, match=r"other\.nii\.gz: expected its mask in .* as other\.nii\.gz"):
        FindLiverMask(tmp_path / "masks")({"image": "other.nii.gz", "id": "other"})
    with pytest.raises(UserError, match="expected a liver mask or a folder, found none"):
        FindLiverMask(tmp_path / "nowhere")
    with pytest.raises(UserError, match="expected one scan for one mask, found 2"):
        FindLiverMask(scan["label"], volumes=["a", "b"])


def test_a_mask_of_several_organs_wants_the_livers_number(tmp_path, scan):
    label = volume(3)[1]
    label[0, 0, :] = 5
    scan["label"] = write_scan(tmp_path / "organs.nii.gz", label)
    with pytest.raises(
        UserError, match=r"organs\.nii\.gz: expected a mask of one organ alone, .*\[1, 5\].*--liver_label"
    ):
        LoadSlices(**OPTIONS)(scan)
    assert LoadSlices(**OPTIONS)({**scan, "label_map": {1: 1}})["slice"].tolist() == [3, 4, 5, 6]


def test_bad_scans_are_refused_by_file(tmp_path, scan):
    image, label = volume(3)
    empty = write_scan(tmp_path / "empty.nii.gz", np.zeros_like(label))
    with pytest.raises(
        UserError, match=r"expected voxels of the organ in its label map, found none in .*empty\.nii\.gz"
    ):
        LoadSlices(**OPTIONS)({**scan, "label": empty})
    small = write_scan(tmp_path / "small.nii.gz", label[:-1])
    with pytest.raises(UserError, match=r"small\.nii\.gz: expected the grid of .*scan\.nii\.gz"):
        LoadSlices(**OPTIONS)({**scan, "label": small})
    image[..., 4] = 40
    constant = write_scan(tmp_path / "constant.nii.gz", image)
    with pytest.raises(UserError, match=r"constant\.nii\.gz: expected an image in slice 4 .*found one value, 40 HU"):
        LoadSlices(**OPTIONS)({**scan, "image": constant})


def test_the_number_of_slices_at_once_changes_nothing():
    encoder = slice_encoder("tinynet", width=0.125).eval()
    series = torch.rand(1, 3, 1, 160, 160)
    with torch.no_grad():
        whole = SeriesInferer(output="representation", batch_size=8)(series, encoder)
        parts = SeriesInferer(output="representation", batch_size=2)(series, encoder)
    assert whole.shape == (1, 3, 32)
    assert torch.allclose(whole, parts, atol=1e-6)
    with pytest.raises(ValueError, match="batch_size must be >= 1, got 0"):
        SeriesInferer(batch_size=0)


@pytest.fixture
def bundle(tmp_path):
    """A segmentation bundle that takes what is brighter than 200 HU for liver."""
    folder = tmp_path / "bundle"
    (folder / "configs").mkdir(parents=True)
    steps = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "Lambdad", "keys": "image", "func": "$lambda image: 2 * (image > @threshold)"},
        {
            "_target_": "SaveImaged",
            "keys": "image",
            "output_dir": "@output_dir",
            "output_dtype": "$__import__('numpy').uint8",
        },
    ]
    config = {
        "bundle_root": ".",
        "device": "cpu",
        "datalist": [],
        "output_dir": ".",
        "threshold": 200,
        "organs": ["spleen", "liver"],
        "steps": {"_target_": "Compose", "transforms": steps},
        "run": ["$[@steps({'image': path}) for path in @datalist]"],
    }
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    return folder


def test_a_segmentation_bundle_makes_the_mask(bundle, scan, tmp_path):
    item = {"image": scan["image"], "id": "scan"}
    found = FindLiverMask(str(bundle), output_dir=tmp_path / "out")(item)
    assert found["label_map"] == {2: 1}
    assert LoadSlices(**OPTIONS)(found)["slice"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    # made again, with the options of this run
    none = FindLiverMask({"bundle": str(bundle), "threshold": 3000}, output_dir=tmp_path / "out")(item)
    with pytest.raises(UserError, match="expected voxels of the organ"):
        LoadSlices(**OPTIONS)(none)


def test_a_bundle_that_cannot_do_it_is_refused(bundle, scan, tmp_path):
    for change, message in (
        ({"organs": ["spleen", "pancreas"]}, "expected a bundle that segments the liver, found spleen, pancreas"),
        ({"nothing": 1}, "expected the key 'nothing', found none"),
    ):
        with pytest.raises(UserError, match=message):
            segment_with_bundle(bundle, scan["image"], tmp_path / "out", overrides=change)
    with pytest.raises(UserError, match="expected a segmentation bundle"):
        segment_with_bundle(tmp_path, scan["image"], tmp_path / "out")
    with pytest.raises(UserError, match="as 'bundle'"):
        FindLiverMask({"checkpoint": "model.pt"})
    with pytest.raises(UserError, match=r"expected one mask of .* found none"):
        segment_with_bundle(bundle, scan["image"], tmp_path / "out", overrides={"steps": "$lambda item: item"})
