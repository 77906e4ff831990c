"""A vector is what the encoder's own forward gives for the input of its training, whatever way it is computed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_cl.data import CTSlices, Preparation, VolumeStore, prepare, slice_volumes
from monai_cl.data.boxes.head_boxes import HeadBoxes, boxed_scans
from monai_cl.data.patches.crops import read_crop
from monai_cl.engines import embed, read_encoder
from monai_cl.engines.embedding.pooling import pool_layers
from monai_cl.errors import UserError
from monai_cl.transforms.scan_scale import body_threshold
from monai_cl.transforms.volume.body import body_mask
from tests.data.volume_files import affine_of, as_mr, ct_array, write_dicom, write_nifti
from tests.engines.embedding.encoders import EDGES, INPUT, KINDS, PATCH, network, write_encoder, write_head, write_scan


@pytest.fixture
def scans(tmp_path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(3):
        write_scan(folder / f"scan{number}.nii.gz", number)
    return folder


def stored(folder: Path, scan: Path, preparation: Preparation) -> tuple[VolumeStore, list[str]]:
    done = prepare([{"image": str(scan), "id": "scan", "patient": "p"}], folder, preparation, progress=False)
    return VolumeStore.open(folder), done.keys


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        *((kind, n) for kind in ("unetr", "dynunet") for n in range(5)),
        *(("segresnet", n) for n in range(4)),
        pytest.param("swin_unetr", 5, marks=pytest.mark.slow),
    ],
)
def test_the_patch_of_a_backbone_is_its_own_forward_on_the_patch_of_its_training(kind, level, tmp_path):
    size = EDGES.get(kind, PATCH)
    scan = write_scan(tmp_path / "scan.nii.gz", shape=(size,) * 3)
    encoder = write_encoder(tmp_path / "encoder.pt", kind)
    store, (key,) = stored(tmp_path / "store", scan, Preparation(spacing=(2.0, 2.0, 2.0)))
    image, _ = read_crop(store, key, (0, 0, 0), (size,) * 3, window=(-150.0, 250.0))
    with torch.no_grad():
        maps = network(kind).encode(image[None])[level][0]
    body = torch.from_numpy(body_mask(store.read(key)))
    factor = size // maps.shape[1]
    assert factor == 2**level
    voxels = maps.repeat_interleave(factor, 1).repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    for unit in ("scan", "patch"):
        table = embed(encoder, scan, unit=unit, level=level)
        np.testing.assert_allclose(table.vectors[0], voxels[:, body].mean(1), rtol=1e-4, atol=1e-5)
    layers = embed(encoder, scan, unit="slice", level=level)
    middle = layers.columns["slice"].index(16)
    expected = voxels[:, :, :, 16][:, body[:, :, 16]].mean(1)
    np.testing.assert_allclose(layers.vectors[middle], expected, rtol=1e-4, atol=1e-5)
    if level == read_encoder(encoder).levels - 1:
        np.testing.assert_array_equal(embed(encoder, scan).vectors, table.vectors)  # the deepest is the default


def test_an_mr_is_embedded_on_the_scale_that_the_encoder_was_trained_with(tmp_path):
    scan = write_nifti(tmp_path / "mr.nii.gz", as_mr(ct_array((PATCH,) * 3), gain=30.0), affine_of("RAS", (2.0,) * 3))
    encoder = write_encoder(tmp_path / "encoder.pt", "unetr", modality={"CT": "hounsfield", "MR": "zscore"})
    item = {"image": str(scan), "id": "mr", "patient": "p", "modality": "MR", "intensity": "zscore"}
    done = prepare([item], tmp_path / "store", Preparation((2.0, 2.0, 2.0)), progress=False)
    image, _ = read_crop(done.store, done.keys[0], (0, 0, 0), (PATCH,) * 3, window=(-150.0, 250.0))
    stored = done.store.read(done.keys[0])
    body = torch.from_numpy(body_mask(stored, body_threshold(stored)))
    assert 0.2 < body.float().mean() < 0.9
    with torch.no_grad():
        maps = network("unetr").encode(image[None])[0][0]
    found = embed(encoder, scan, unit="scan", level=0, modality="mri").vectors[0]
    np.testing.assert_allclose(found, maps[:, body].mean(1), rtol=1e-4, atol=1e-5)
    only = write_encoder(tmp_path / "only.pt", "unetr", modality={"MR": "zscore"})
    of_only = embed(only, scan, unit="scan", level=0)
    np.testing.assert_array_equal(of_only.vectors[0], found)
    assert of_only.columns["modality"] == ["MR"]
    with pytest.raises(UserError, match="expected a scan of MR, which the encoder was trained on, found CT"):
        embed(only, scan, unit="scan", level=0, modality="CT")


@pytest.mark.parametrize("kind", ["tinynet", "clustering", "segmentation"])
def test_a_slice_is_the_encoders_own_forward_on_the_slice_of_its_training(kind, tmp_path):
    scan = write_scan(tmp_path / "scan.nii.gz")
    encoder = write_encoder(tmp_path / "encoder.pt", kind)
    store, keys = stored(tmp_path / "store", scan, Preparation(spacing=None, layout="slices"))
    settings = INPUT[kind]
    volumes = slice_volumes(store, keys, [{"image": str(scan)}], fraction=settings["fraction"])
    slices = CTSlices(
        store,
        volumes,
        size=settings["image_size"],
        neighbours=settings.get("neighbours", 0),
        window=settings["window"],
    )
    images = torch.stack([slices[number]["image"] for number in range(len(slices))])
    net = network(kind)
    with torch.no_grad():
        if kind == "segmentation":
            expected = net.down_4(net.down_3(net.down_2(net.down_1(net.conv_0(images))))).mean((2, 3))
        else:
            expected = net.represent(images)
    table = embed(encoder, scan, unit="slice")
    np.testing.assert_allclose(table.vectors, expected, rtol=1e-4, atol=1e-5)
    assert table.columns["slice"] == volumes[0].slices.tolist()
    whole = embed(encoder, scan)
    np.testing.assert_allclose(whole.vectors[0], expected.mean(0), rtol=1e-4, atol=1e-5)


def test_a_head_is_the_encoders_own_forward_on_the_box_of_its_training(tmp_path):
    scan = write_head(tmp_path / "head.nii.gz")
    encoder = write_encoder(tmp_path / "encoder.pt", "boxes")
    store, keys = stored(tmp_path / "store", scan, Preparation(spacing=None, layout="slices", head_box=(8, 32, 32)))
    boxes = HeadBoxes(store, boxed_scans(store, keys, [{"image": str(scan)}]))
    with torch.no_grad():
        expected = network("boxes").represent(boxes[0]["image"][None])
    np.testing.assert_allclose(embed(encoder, scan).vectors, expected, rtol=1e-4, atol=1e-5)


def test_maps_are_averaged_over_the_voxels_that_count():
    maps = torch.arange(8.0).reshape(1, 1, 2, 2, 2)
    weights = torch.zeros(1, 4, 4, 4)
    weights[0, 0, 0, 0] = 1  # cell 0
    weights[0, 3, 3, 0] = 3  # cell 6, layers 0 and 1 of the voxels
    weights[0, 3, 3, 3] = 2  # cell 7
    sums, totals = pool_layers(maps, weights)
    assert sums[0, :, 0].tolist() == [18, 0, 0, 14]
    assert totals[0].tolist() == [4, 0, 0, 2]


def test_a_voxel_in_two_patches_counts_once(tmp_path):
    # 40 voxels are two patches of 32 that overlap: of a constant map the mean is that constant, weighted or not, so the
    # weights themselves are looked at
    from monai_cl.engines.embedding.inputs import ScanLoader

    scan = write_scan(tmp_path / "scan.nii.gz")
    encoder = read_encoder(write_encoder(tmp_path / "encoder.pt", "unetr"))
    loaded = ScanLoader(encoder, [{"image": str(scan), "id": "scan"}], pooled=True)[0]
    total = sum(float(loaded.batch(n, 1)[1].sum()) for n in range(len(loaded)))
    volume = stored(tmp_path / "store", scan, Preparation(spacing=(2.0, 2.0, 2.0)))
    assert total == pytest.approx(body_mask(volume[0].read(volume[1][0])).sum())
    assert len(loaded) == 4


def test_the_modality_of_a_row_is_the_one_that_its_scan_was_treated_as(tmp_path):
    scan, *others = (write_scan(tmp_path / f"{name}.nii.gz") for name in ("scan", "a", "b"))
    listed = tmp_path / "list.json"
    items = [{"image": others[0].name}, {"image": others[1].name, "modality": "mri"}]
    listed.write_text(json.dumps({"name": "two", "training": items}), encoding="utf-8")
    of_ct, of_both = (write_encoder(tmp_path / f"{kind}.pt", kind) for kind in ("segmentation", "clustering"))
    assert embed(of_ct, scan).columns["modality"] == ["CT"]
    assert embed(of_both, [scan, listed]).columns["modality"] == ["CT", "MR", "CT"]
    assert embed(of_both, scan, modality="mra").columns["modality"] == ["MR"]
    picture = tmp_path / "picture.png"
    Image.fromarray(ct_array((40, 36, 1))[:, :, 0].clip(0, 255).astype(np.uint8)).save(picture)
    assert set(embed(of_both, [scan, picture]).columns["modality"]) == {"CT", None}


def test_a_picture_holds_grey_values_whatever_modality_it_is_of(tmp_path):
    picture, scan = tmp_path / "picture.png", write_scan(tmp_path / "scan.nii.gz")
    Image.fromarray(ct_array((40, 36, 1))[:, :, 0].clip(0, 255).astype(np.uint8)).save(picture)
    before = write_encoder(tmp_path / "before.pt", "clustering")  # does not say what it knows
    known = {"modality": {"CT": "hounsfield", "US": "percentiles"}}
    encoder = write_encoder(tmp_path / "encoder.pt", "clustering", **known)
    expected = embed(before, picture).vectors
    for modality in (None, "CT", "US"):
        table = embed(encoder, picture, modality=modality)
        assert table.vectors == pytest.approx(expected, abs=1e-6)
        assert table.columns.get("modality", [None]) == [modality]
    assert embed(encoder, scan).vectors == pytest.approx(embed(before, scan).vectors, abs=1e-6)
    with pytest.raises(UserError, match=r"expected a scan of CT or US, .*found MR"):
        embed(encoder, scan, modality="MR")


def test_of_a_folder_pictures_are_embedded_where_they_are_its_scans_and_beside_volumes_named(tmp_path, capsys):
    encoder = write_encoder(tmp_path / "both.pt", "clustering")
    (folder := tmp_path / "scans").mkdir()
    for name in ("a", "b"):
        Image.fromarray(ct_array((40, 36, 1))[:, :, 0].clip(0, 255).astype(np.uint8)).save(folder / f"{name}.png")
    assert embed(encoder, folder).columns["id"] == ["a", "b"]
    assert "left out" not in capsys.readouterr().out
    write_scan(folder / "c.nii.gz")
    assert set(embed(encoder, folder).columns["id"]) == {"c"}
    assert f"{folder}: 2 pictures beside volumes are left out; name them" in "".join(capsys.readouterr())


def organ_list(folder: Path) -> Path:
    label = np.zeros((40, 36, 20), np.uint8)
    label[8:16, 8:24, 4:12] = 7
    label[20:30, 8:24, 4:12] = 3
    write_scan(folder / "image.nii.gz")
    write_nifti(folder / "label.nii.gz", label, affine_of("LPS", (2.0,) * 3))
    document = {
        "name": "organs",
        "labels": {"0": "background", "1": "liver", "2": "spleen"},
        "label_map": {"7": 1, "3": 2},
    }
    item = {"image": "image.nii.gz", "label": "label.nii.gz", "patient": "P", "target": 1, "meta": {"age": 61}}
    path = folder / "list.json"
    path.write_text(json.dumps({**document, "training": [item]}), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["unetr", "segmentation"])
def test_an_organ_of_a_list_is_pooled_alone(kind, tmp_path):
    path = organ_list(tmp_path)
    encoder = write_encoder(tmp_path / "encoder.pt", kind)
    liver, spleen = (embed(encoder, path, organ=name, level=1).vectors[0] for name in ("liver", "Spleen"))
    whole = embed(encoder, path, level=1)
    assert np.abs(liver - spleen).max() > 1e-3
    assert np.abs(liver - whole.vectors[0]).max() > 1e-3
    assert (whole.columns["patient"], whole.columns["target"], whole.columns["age"]) == (["P"], [1], [61])
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "image_seg.nii.gz").write_bytes((tmp_path / "label.nii.gz").read_bytes())
    by_mask = embed(encoder, tmp_path / "image.nii.gz", organ=7, masks=masks, level=1)
    np.testing.assert_allclose(by_mask.vectors[0], liver, rtol=1e-6)
    with pytest.raises(UserError, match=r"one organ alone, found the values \[3, 7\]; .*--organ"):
        embed(encoder, tmp_path / "image.nii.gz", masks=masks, level=1)


def test_slices_are_those_that_show_the_organ(tmp_path):
    path = organ_list(tmp_path)
    encoder = write_encoder(tmp_path / "encoder.pt", "clustering")
    assert embed(encoder, path, organ="liver", unit="slice").columns["slice"] == list(range(4, 12))


@pytest.mark.parametrize("kind", ["clustering", "unetr"])
def test_a_label_map_without_the_organ_is_named_by_its_file_and_not_by_a_number(kind, tmp_path):
    """No advice for trainings, by which the scan would be left out without a word."""
    path = organ_list(tmp_path)
    write_nifti(tmp_path / "label.nii.gz", np.zeros((40, 36, 20), np.uint8), affine_of("LPS", (2.0,) * 3))
    found = r"image\.nii\.gz: expected voxels of the organ in its label map, found none in .*label\.nii\.gz; .*--skip"
    with pytest.raises(UserError, match=found):
        embed(write_encoder(tmp_path / "encoder.pt", kind), path, organ="liver")


@pytest.mark.parametrize("kind", KINDS)
def test_neither_batch_size_nor_workers_nor_order_change_a_vector(kind, tmp_path):
    write = write_head if kind == "boxes" else write_scan
    files = [write(tmp_path / f"{name}.nii.gz", seed) for seed, name in enumerate("ab")]
    encoder = write_encoder(tmp_path / "encoder.pt", kind)
    first = embed(encoder, files, batch_size=1)
    np.testing.assert_allclose(embed(encoder, files, batch_size=7).vectors, first.vectors, rtol=1e-4, atol=1e-6)
    backwards = embed(encoder, files[::-1], batch_size=1)
    assert backwards.columns["id"] == ["b", "a"]
    np.testing.assert_array_equal(backwards.vectors[::-1], first.vectors)


def test_processes_that_load_change_nothing(scans, tmp_path):
    encoder = write_encoder(tmp_path / "encoder.pt", "segmentation")
    alone = embed(encoder, scans)
    np.testing.assert_array_equal(embed(encoder, scans, workers=2).vectors, alone.vectors)


@pytest.mark.parametrize("kind", ["unetr", "clustering"])
def test_a_scan_has_one_vector_as_nifti_and_as_dicom(kind, tmp_path):
    array = ct_array((40, 36, 20)) // 2 * 2
    series = write_dicom(tmp_path / "series", array, 3.0 * np.arange(20), spacing=(1.5, 1.5))
    from monai_cl.data import read_volume

    volume = read_volume(series)
    nifti = write_nifti(tmp_path / "scan.nii.gz", volume.array, volume.affine)
    encoder = write_encoder(tmp_path / "encoder.pt", kind)
    of_series, of_file = embed(encoder, series).vectors, embed(encoder, nifti).vectors
    assert np.ptp(of_file) > 1e-2
    np.testing.assert_allclose(of_series, of_file, rtol=1e-4, atol=1e-5)


def test_an_encoder_says_what_it_is_or_is_refused(tmp_path):
    encoder = write_encoder(tmp_path / "encoder.pt", "segmentation")
    bare = tmp_path / "bare.pt"
    torch.save(network("segmentation").state_dict(), bare)
    with pytest.raises(UserError, match="expected weights that say which network"):
        read_encoder(bare)
    scan = write_scan(tmp_path / "scan.nii.gz")
    with pytest.raises(UserError, match="--level: expected 0 to 4, found 5"):
        embed(encoder, scan, level=5)
    with pytest.raises(UserError, match="--level: expected none"):
        embed(write_encoder(tmp_path / "tiny.pt", "tinynet"), scan, level=0)
    with pytest.raises(UserError, match="--unit: expected scan or slice, found patch"):
        embed(encoder, scan, unit="patch")
    with pytest.raises(UserError, match="--organ: expected label maps of the scans"):
        embed(encoder, scan, organ="liver")
