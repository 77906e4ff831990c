"""Values of label maps: integers, counted; validation and preparation agree on what is one."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cl.data.io.label_values import label_values


def test_values_a_little_off_count_as_whole():
    assert label_values(np.array([0.0, 0.9995, 2.0004])) == {0: 1, 1: 1, 2: 1}


@pytest.mark.parametrize("odd", [1.01, np.nan, np.inf])
def test_what_is_not_an_integer_is_refused(odd):
    with pytest.raises(ValueError, match="1 voxel with a value that is not an integer"):
        label_values(np.array([1.0, odd]))
