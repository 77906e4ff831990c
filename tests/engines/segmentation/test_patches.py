"""Crops of a training: what is refused before anything is prepared."""

from __future__ import annotations

import pytest
from monai.transforms import Compose, RandFlipd, RandRotate90d

from monai_cl.engines.segmentation.data import segmentation_patches
from monai_cl.errors import UserError

MISSING = {"image": "gone.nii.gz", "label": "gone_label.nii.gz", "id": "a"}


def refused(tmp_path, patch, *, prob: float) -> str:
    """Why the crops are refused; a scan that is not there is found only later."""
    rotation = RandRotate90d(keys=["image", "label"], prob=prob, max_k=3)
    transform = Compose([RandFlipd(keys=["image"], prob=0.5), rotation])
    with pytest.raises(UserError) as error:
        segmentation_patches([MISSING], store=tmp_path / "store", transform=transform, patch_size=patch)
    return str(error.value)


def test_a_patch_that_a_rotation_would_reshape_is_refused(tmp_path):
    message = refused(tmp_path, [48, 64, 32], prob=0.2)
    assert "equal edges" in message
    assert "--augmentation_probability 0" in message
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("patch", "prob"), [([64, 64, 32], 0.2), (32, 0.2), ([48, 64, 32], 0.0)])
def test_other_patches_pass(tmp_path, patch, prob):
    assert "gone.nii.gz" in refused(tmp_path, patch, prob=prob)
