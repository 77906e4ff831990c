"""What cannot be a CT in Hounsfield units is reported, and every real kind of CT passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_cl.errors import UserError
from monai_cl.transforms import CheckHounsfieldd
from monai_cl.transforms.hounsfield import hounsfield_fault
from tests.data.volume_files import ct_array

CT = ct_array()


@pytest.mark.parametrize(
    "array",
    [
        CT,
        CT.astype(np.float32),
        CT.clip(-175, 250),
        CT.clip(-100, 400),
        np.where(CT > 90, 30000, CT).astype(np.int32),  # some metal
        np.where(CT < -900, -2048, CT),  # padding beyond the field of view
        CT[..., :1],
    ],
    ids=["16 bits", "floating point", "windowed", "narrow window", "metal", "padding", "one slice"],
)
def test_a_ct_passes(array):
    assert hounsfield_fault(array) is None


@pytest.mark.parametrize(
    ("array", "kind", "found"),
    [
        (np.where(CT > 90, np.nan, CT), "not a number", "voxels NaN and 0 infinite, the first at index ("),
        (np.where(CT > 120, np.inf, CT), "not a number", "0 voxels NaN and"),
        (np.full((3, 3, 3), 40), "constant image", "the value 40 in every voxel"),
        (CT.clip(-150, 250) / 400, "not in HU", "values from -0.375 to"),
        (CT - CT.min(), "not in HU", "no value of -60 or below (0 to"),
        (CT.clip(-57, 164), "not in HU", "no value of -60 or below (-57 to"),
        (CT.astype(np.uint16), "not in HU", "no value of -60 or below"),
        (CT.astype(np.int32) * 300 + 100_000, "not in HU", "of the voxels above it"),
        (CT.clip(-1024, -600), "no tissue", "only air (-1024 to -600 HU)"),
    ],
)
def test_what_is_none_is_reported(array, kind, found):
    fault = hounsfield_fault(np.asarray(array))
    assert fault is not None
    assert fault[0] == kind
    assert found in fault[2]


def test_in_a_pipeline_it_passes_images_on_or_names_their_file():
    sound = MetaTensor(torch.from_numpy(CT.astype(np.float32))[None], meta={"filename_or_obj": "/d/a.nii.gz"})
    item = {"image": sound, "other": 3}
    assert CheckHounsfieldd("image")(item)["image"] is sound
    item["image"] = sound * torch.nan
    with pytest.raises(UserError, match=r"/d/a\.nii\.gz: expected finite HU in every voxel"):
        CheckHounsfieldd("image")(item)
    with pytest.raises(KeyError):
        CheckHounsfieldd("absent")(item)
    CheckHounsfieldd("absent", allow_missing_keys=True)(item)
