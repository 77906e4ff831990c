"""A scan through a network of slices and back: each voxel gets what its slice says, whatever size and pixels."""

from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor

from monai_cl.data import CTSlices, Preparation, labelled_items, prepare, slice_volumes
from monai_cl.data.slices.pixels import fit_masks, fit_slices, unfit_slices
from monai_cl.data.slices.segmented import SegmentedSlices
from monai_cl.engines import LoadSlices, SliceWiseInferer, volume_preprocessing
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, write_dicom, write_nifti

SPACING = (1.5, 2.0, 8.0)


def volume(shape=(12, 10, 3)) -> MetaTensor:
    array = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(0))
    return MetaTensor(array, affine=torch.diag(torch.tensor([*SPACING, 1.0], dtype=torch.float64))[None])


def test_the_identity_on_the_scans_own_pixels_is_the_identity():
    scan = volume((16, 16, 3))
    scan.affine = torch.eye(4, dtype=torch.float64)[None]
    found = SliceWiseInferer(size=16, batch_size=2)(scan, lambda x: torch.cat([x, -x], dim=1))
    assert torch.equal(found[:, :1], torch.as_tensor(scan))
    assert torch.equal(found[:, 1:], -torch.as_tensor(scan))


@pytest.mark.parametrize("size", [20, 21, 48])
@pytest.mark.parametrize("pixel_size", [None, 1.0, 0.5])
def test_a_map_of_places_comes_back_to_its_places(size, pixel_size):
    """A ramp along x survives resampling, cutting and filling where it was shown."""
    scan = volume()
    ramp = torch.arange(12.0)[None, None, :, None, None].expand(1, 1, 12, 10, 3).contiguous()
    scan = MetaTensor(ramp, affine=scan.affine)
    found = SliceWiseInferer(size=size, pixel_size=pixel_size)(scan, lambda x: x)
    shown = SliceWiseInferer(size=size, pixel_size=pixel_size)(
        MetaTensor(torch.ones_like(ramp), affine=scan.affine), lambda x: x
    )
    inside = shown > 0.999
    inside[:, :, [0, -1]] = False  # the border of a linear resampling
    assert inside.any()
    assert (found - ramp)[inside].abs().max() < 0.35


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("shape", [(5, 6), (10, 9), (9, 6)])
def test_cutting_and_filling_are_undone(size, shape):
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(1))
    fitted = fit_slices(images, (1.0, 1.0), size=size, pixel_size=1.0)
    back = unfit_slices(fitted[:, None], shape, (1.0, 1.0), pixel_size=1.0)[:, 0]
    seen = back != 0
    assert torch.equal(back[seen], images[seen])
    assert seen.sum() == 2 * min(shape[0], size) * min(shape[1], size)
    assert torch.equal(fit_masks((images * 9).int(), (1.0, 1.0), size=size, pixel_size=1.0), (fitted * 9).int())


def test_a_mask_lies_on_its_image(tmp_path):
    array = ct_array((24, 24, 6), seed=1)
    label = (array > np.median(array)).astype(np.uint8)
    flipped = np.flip(label, (0, 2))  # stored in another order than its image
    item = {"image": str(write_nifti(tmp_path / "i.nii.gz", array, affine_of("RAS", (1.0, 1.0, 4.0)))), "id": "i"}
    affine = affine_of("RAS", (1.0, 1.0, 4.0))
    turned = affine.copy()
    turned[:3, 0], turned[:3, 2] = -affine[:3, 0], -affine[:3, 2]
    turned[:3, 3] = affine[:3, 3] + 23 * affine[:3, 0] + 5 * affine[:3, 2]
    item["label"] = str(write_nifti(tmp_path / "l.nii.gz", flipped, turned))
    done = prepare([item], tmp_path / "store", Preparation(spacing=None, layout="slices"), progress=False)
    window = (float(array.min()), float(array.max()))
    slices = CTSlices(done.store, slice_volumes(done.store, done.keys, [item], fraction=1.0), size=24, window=window)
    limit = (float(np.median(array)) - window[0]) / (window[1] - window[0])
    for index in range(len(slices)):
        sample = SegmentedSlices(slices)[index]
        assert torch.equal(sample["mask"] == 1, sample["image"][0] > limit + 1e-6)


def items(count: int) -> list[dict]:
    return [
        {"id": f"p{n}_{phase}", "patient": f"p{n}", "dataset": "d", **({"label": "l"} if n else {})}
        for n in range(count)
        for phase in ("ED", "ES")
    ]


def test_labelled_scans_are_nested_of_different_patients_first_and_named_if_wished():
    chosen = [[item["id"] for item in labelled_items(items(6), n, seed=3)] for n in range(1, 11)]
    for fewer, more in pairwise(chosen):
        assert more[: len(fewer)] == fewer
    assert len({name.split("_")[0] for name in chosen[4]}) == 5
    assert {name[:2] for name in chosen[9]} == {"p1", "p2", "p3", "p4", "p5"}
    assert chosen[0] != [item["id"] for item in labelled_items(items(6), 1, seed=4)] or chosen[1] != [
        item["id"] for item in labelled_items(items(6), 2, seed=4)
    ]
    assert [item["id"] for item in labelled_items(items(6), ["p3_ED"], seed=0)] == ["p3_ED"]
    assert [item["id"] for item in labelled_items(items(6), ["p3_ED", "p1_ED", "p3_ED"], seed=0)] == ["p3_ED", "p1_ED"]
    assert labelled_items(items(6), 2.0, seed=3) == labelled_items(items(6), 2, seed=3)  # as a command line may say it
    with pytest.raises(UserError, match="labelled_scans: expected 1 to 10, the training scans with a label, found 11"):
        labelled_items(items(6), 11, seed=0)
    for chosen in (None, True, "p3_ED"):
        with pytest.raises(
            UserError, match=f"labelled_scans: expected a number of scans, or a list .* found {chosen!r}"
        ):
            labelled_items(items(6), chosen, seed=0)
    with pytest.raises(UserError, match="expected ids of training scans with a label, found p0_ED"):
        labelled_items(items(6), ["p0_ED"], seed=0)


def test_a_stack_along_another_axis_is_refused_by_the_inferer_which_names_the_scan():
    """All segmentation of slices goes through it."""
    scan = volume()
    scan.affine = torch.diag(torch.tensor([8.0, 1.0, 1.0, 1.0], dtype=torch.float64))[None]
    scan.meta["filename_or_obj"] = ["/data/stack.nii.gz"]
    with pytest.raises(UserError, match=r"^/data/stack.nii.gz: expected slices along .* found slices along x, "):
        SliceWiseInferer(size=16)(scan, lambda x: x)


@pytest.mark.parametrize(
    ("intensity", "modality", "header", "message"),
    [
        ("hounsfield", None, "MR", "expected CT, for nothing says another modality, found MR in the DICOM header"),
        ("hounsfield", None, "CT", None),
        (
            "percentiles",
            None,
            "CT",
            "expected a scan that is no CT, .* found CT in the DICOM header; use a network that",
        ),
        ("percentiles", None, "MR", None),
        ("percentiles", "PT", "MR", "expected PT, as the list or the command says, found MR in the DICOM header"),
    ],
)
def test_a_header_that_contradicts_the_scale_is_refused_in_every_path(tmp_path, intensity, modality, header, message):
    series = write_dicom(tmp_path / "s", ct_array(), 2.0 * np.arange(12), modality=header)
    item = {"image": str(series), "id": "s", "patient": "s"} | ({"modality": modality} if modality else {})
    whole = volume_preprocessing(intensity=intensity)
    slices = LoadSlices(intensity=intensity, modality=modality, size=16)
    for load, given in ((whole, item), (slices, {key: item[key] for key in ("image", "id", "patient")})):
        if message is None:
            assert torch.isfinite(torch.as_tensor(load(given)["image"])).all()
            continue
        with pytest.raises((RuntimeError, UserError)) as caught:
            load(given)
        assert re.search(message, str(caught.value.__cause__ or caught.value))


@pytest.mark.parametrize("spacing", [(8.0, 1.0, 1.0), (1.0, 8.0, 1.0), (0.977, 0.977, 0.6)])
def test_validation_and_inference_refuse_a_stack_along_another_axis_and_take_thin_slices(spacing, tmp_path):
    file = write_nifti(tmp_path / "i.nii.gz", ct_array((12, 12, 12)), affine_of("LPS", spacing))
    data = Dataset([{"image": str(file), "id": "i", "patient": "p"}], volume_preprocessing(intensity="hounsfield"))
    (batch,) = DataLoader(data, batch_size=1)
    if spacing[2] < 0.9:
        assert SliceWiseInferer(size=16)(batch["image"], lambda x: x).shape == (1, 1, 12, 12, 12)
        return
    with pytest.raises(
        UserError, match=rf"^{re.escape(str(file))}: expected slices along .* found slices along [xy], "
    ):
        SliceWiseInferer(size=16)(batch["image"], lambda x: x)
