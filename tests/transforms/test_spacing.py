"""Spacingd resamples as MONAI's and leaves everything else in the item alone."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from monai import transforms as monai_transforms
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd, LoadImaged, Orientationd

from monai_cl.data.io.ct_reader import CTReader
from monai_cl.transforms.spacing import Spacingd
from tests.data.volume_files import affine_of, ct_array, label_array, write_nifti

TARGET = (1.5, 1.5, 2.0)


@pytest.fixture
def item(tmp_path):
    """An item as MONAI Label hands it over: names that begin like the arrays' names."""
    image = str(write_nifti(tmp_path / "i.nii.gz", ct_array(), affine_of("LAS")))
    label = str(write_nifti(tmp_path / "l.nii.gz", label_array(), affine_of("LAS")))
    loaded = LoadImaged(["image", "label"], reader=CTReader, ensure_channel_first=True)(
        {"image": image, "label": label}
    )
    extra = {
        "image_path": image,
        "label_path": label,
        "image_meta_dict": {"affine": np.eye(4), "original_affine": np.eye(4)},
        "image_weight": 3,
        "label_map": {1: 2},
        "model": "x",
    }
    return loaded | extra


def test_monais_own_fails_on_the_same_item(item):
    with pytest.raises((AttributeError, RuntimeError)):
        monai_transforms.Spacingd(["image", "label"], TARGET)(item)


def test_the_rest_of_the_item_survives(item):
    before = {key: value for key, value in item.items() if key not in ("image", "label")}
    after = Spacingd(["image", "label"], TARGET, mode=("bilinear", "nearest"))(item)
    assert {key: after[key] for key in before} == before or all(after[key] is before[key] for key in before)
    assert set(after) == set(item)
    assert item["image"].shape == (1, 20, 16, 12), "the item given is not changed"


def test_the_values_are_monais(item):
    plain = {key: item[key] for key in ("image", "label")}
    ours = Spacingd(["image", "label"], TARGET, mode=("bilinear", "nearest"))(item)
    theirs = monai_transforms.Spacingd(["image", "label"], TARGET, mode=("bilinear", "nearest"))(plain)
    for key in plain:
        torch.testing.assert_close(ours[key].as_tensor(), theirs[key].as_tensor())
        torch.testing.assert_close(ours[key].affine, theirs[key].affine)


def test_keys_that_begin_like_each_other_are_resampled(item):
    item["image_prior"] = item["image"].clone()
    after = Spacingd(["image", "image_prior"], TARGET)(item)
    torch.testing.assert_close(after["image"].as_tensor(), after["image_prior"].as_tensor())


def test_an_absent_key_is_an_error_unless_allowed(item):
    del item["label"]
    with pytest.raises(KeyError, match="label"):
        Spacingd(["image", "label"], TARGET)(item)
    assert "label" not in Spacingd(["image", "label"], TARGET, allow_missing_keys=True)(item)


# MONAI says so on every inverse of a lazy Compose
@pytest.mark.filterwarnings("ignore:'lazy' is set to True but lazy execution is not supported when inverting")
@pytest.mark.parametrize("lazy", [False, True])
def test_invertd_brings_a_prediction_back_to_the_file(item, lazy):
    pre = Compose(
        [
            Orientationd(["image", "label"], "RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            Spacingd(["image", "label"], (0.35, 0.45, 1.25), mode=("bilinear", "nearest")),
        ],
        lazy=lazy,
    )
    original = item["label"].clone()
    after = pre(dict(item))
    assert after["image"].shape[1:] == (39, 31, 23)
    after["pred"] = MetaTensor(after["label"].as_tensor().clone(), meta=after["label"].meta)
    back = Invertd("pred", transform=pre, orig_keys="label", nearest_interp=True, to_tensor=True)(after)
    np.testing.assert_allclose(back["pred"].numpy(), original.numpy(), atol=1e-5)
    assert back["image_path"] == item["image_path"]


def test_it_pickles_and_copies(item):
    again = pickle.loads(pickle.dumps(Spacingd(["image", "label"], TARGET)))
    torch.testing.assert_close(
        again(item)["image"].as_tensor(), Spacingd(["image", "label"], TARGET)(item)["image"].as_tensor()
    )
    assert isinstance(again, monai_transforms.Spacingd)
