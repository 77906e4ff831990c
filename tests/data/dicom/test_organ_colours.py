"""Colours of segments: one per organ in every file, the overlays' of the same organs, in DICOM's CIELab."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from monai_cl.data.dicom.organ_codes import NEOPLASM, ORGANS, SIDES
from monai_cl.data.dicom.organ_colours import organ_colour
from monai_cl.report.overlays import PALETTE
from tests.bundles.conftest import without_model
from tests.data.volume_files import ct_array, label_array, write_dicom


def as_hex(name: str) -> str:
    return "#{:02X}{:02X}{:02X}".format(*organ_colour(name))


@pytest.mark.parametrize("bundle", ["btcv", "spleen"])
def test_the_bundles_organs_have_the_colours_of_the_overlays(bundle):
    config = Path(__file__).parents[3] / "bundles" / f"{bundle}_unetr_segmentation" / "configs" / "inference.yaml"
    organs = without_model(yaml.safe_load(config.read_text(encoding="utf-8"))["organs"])
    assert [as_hex(organ) for organ in organs] == list(PALETTE[: len(organs)])


def test_every_organ_with_a_code_has_an_entry_of_its_own():
    paired = {name for name in ORGANS if name in ("kidney", "lung", "adrenal gland")}
    names = [name for name in ORGANS if name not in paired] + [f"{side} {name}" for name in paired for side in SIDES]
    names.append(NEOPLASM.meaning)
    assert len({organ_colour(name) for name in names}) == len(names)
    for name in paired:
        assert organ_colour(name) == organ_colour(f"{name}s") == organ_colour(f"right_{name}")


def test_a_tumour_differs_from_its_organ_and_is_the_same_in_all():
    assert as_hex("liver tumour") == as_hex("kidney lesions") == as_hex("cancer") == "#FF0000"


def test_an_organ_without_an_entry_has_a_colour_that_stays():
    assert as_hex("urinary bladder") == as_hex("Urinary_Bladder") == "#4CE66A"
    assert len({organ_colour(name) for name in ("urinary bladder", "left thing", "right thing", "thing", "")}) == 5


def test_the_file_has_them_as_cielab(tmp_path):
    from kornia.color import lab_to_rgb

    pydicom = pytest.importorskip("pydicom", reason='the extra "dicom" is not installed')
    from monai_cl.data import read_volume, write_dicom_seg

    organs = ["spleen", "right kidney", "urinary bladder"]
    folder = write_dicom(tmp_path / "ct", ct_array(), 2.0 * np.arange(12))
    affine = read_volume(folder).affine
    write_dicom_seg(tmp_path / "s.dcm", label_array(values=(1, 2, 3)), affine, source=folder, organs=organs)
    for organ, segment in zip(organs, pydicom.dcmread(tmp_path / "s.dcm").SegmentSequence, strict=True):
        stored = np.array(segment.RecommendedDisplayCIELabValue) / 65535  # L* of 0 to 100, a* and b* of -128 to 127
        lab = torch.tensor(stored * [100, 255, 255] - [0, 128, 128]).reshape(1, 3, 1, 1)
        np.testing.assert_allclose(255 * lab_to_rgb(lab).ravel(), organ_colour(organ), atol=0.6)
