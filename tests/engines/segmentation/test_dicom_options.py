"""How a DICOM series is to be read reaches the transforms of validation and the slices of inference."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cl.engines import image_preprocessing, scan_items
from monai_cl.engines.classification.loaded_volume import LoadedVolume
from monai_cl.engines.launch.error_report import user_error_in
from monai_cl.errors import UserError
from tests.data.volume_files import write_dicom, write_nifti

ARRAY = np.broadcast_to(np.array([-200, -100, 100, 200]), (32, 32, 4)).astype(np.int16)
FILLED = [-200, -100, 0, 100, 200]


@pytest.fixture
def series(tmp_path):
    return write_dicom(tmp_path / "series", ARRAY, [0, 2, 6, 8])


def test_a_validation_reads_image_and_label_on_the_filled_grid(tmp_path, series):
    affine = np.diag([-0.8, -0.9, 2.0, 1.0])
    affine[:3, 3] = 5, -4, 0
    label = np.zeros((32, 32, 5), np.uint8)
    label[4:9, 4:9, 2] = 1
    item = {"image": str(series), "label": str(write_nifti(tmp_path / "l.nii.gz", label, affine))}
    item |= {"id": "a", "patient": "a", "label_map": None, "fold": 0}
    steps = image_preprocessing(spacing=(0.8, 0.9, 2.0), window=(-200.0, 200.0), label=True)
    found = steps(item | {"uneven_slices": "interpolate"})
    np.testing.assert_allclose(found["image"][0, 16, 16], (np.array(FILLED) + 200) / 400, atol=1e-6)
    np.testing.assert_array_equal(found["label"][0], label)
    with pytest.raises(RuntimeError) as caught:
        steps(item)
    assert "a gap of 4.000 mm" in str(user_error_in(caught.value))


def test_the_slices_of_an_inference_are_those_of_the_filled_series(series):
    (item,) = scan_items(str(series), uneven_slices="interpolate")
    np.testing.assert_array_equal(LoadedVolume(item)._volume.image[16, 16], FILLED)
    with pytest.raises(UserError, match=r"a gap of 4\.000 mm"):
        LoadedVolume(scan_items(str(series))[0])
