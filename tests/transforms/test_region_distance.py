"""`edt` and SciPy give the same distances to the bit, so that an installation without `edt` trains the same."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import monai_cl
from monai_cl.transforms import boundary_weight_map
from monai_cl.transforms.region_distance import region_distance, scipy_region_distance
from tests.transforms.test_voxel_sampling import blobs


@given(
    shape=st.lists(st.integers(1, 9), min_size=2, max_size=3),
    regions=st.integers(2, 300),
    seed=st.integers(0, 2**16),
)
def test_both_agree_to_the_bit(shape, regions, seed):
    drawn = np.random.default_rng(seed).integers(1, regions + 1, shape)
    drawn.flat[0], drawn.flat[-1] = 1, 2
    if drawn.size == 1:
        return
    regions_of = drawn.astype(np.uint16)
    np.testing.assert_array_equal(scipy_region_distance(regions_of), region_distance(regions_of), strict=True)


@pytest.mark.parametrize("seed", range(3))
def test_both_agree_on_large_regions_that_touch_the_border(seed):
    regions = blobs((40, 36, 44), seed=seed) + 1
    np.testing.assert_array_equal(scipy_region_distance(regions), region_distance(regions), strict=True)


def test_without_edt_the_weight_map_is_the_same(monkeypatch):
    labels = blobs()
    expected = boundary_weight_map(labels)
    monkeypatch.setitem(sys.modules, "edt", None)  # importing it raises ImportError
    np.testing.assert_array_equal(boundary_weight_map(labels), expected, strict=True)


def test_no_other_file_imports_edt():
    files = Path(monai_cl.__file__).parent.rglob("*.py")
    importing = [
        file.name for file in files if re.search(r"^\s*(import|from) edt\b", file.read_text(encoding="utf-8"), re.M)
    ]
    assert importing == ["region_distance.py"]
