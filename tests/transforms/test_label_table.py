"""Values to ids by a table: named values get their ids, the others become background."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cl.transforms.label_table import look_up

MAP = {5: 1, 1: 2, 200: 3}


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, np.uint16])
def test_named_values_are_replaced_and_others_dropped(dtype):
    values = np.array([[0, 1, 2], [5, 200, 6]], dtype)
    selected = look_up(values, MAP)
    np.testing.assert_array_equal(selected, [[0, 2, 0], [1, 3, 0]])
    assert selected.dtype == dtype


def test_against_a_loop_over_many_values():
    rng = np.random.default_rng(0)
    values = rng.integers(-300, 300, (7, 8, 9)).astype(np.int32)
    label_map = {int(value): number for number, value in enumerate(rng.choice(np.arange(-290, 290), 90, replace=False))}
    for named in (label_map, label_map | {10**7: 5}):
        expected = [named.get(int(value), 0) for value in values.reshape(-1)]
        np.testing.assert_array_equal(look_up(values, named).reshape(-1), expected)


def test_a_swap_does_not_run_into_itself():
    np.testing.assert_array_equal(look_up(np.array([1, 2, 1]), {1: 2, 2: 1}), [2, 1, 2])


def test_ids_that_do_not_fit_widen_the_type():
    selected = look_up(np.array([1, 2], np.uint8), {1: 300})
    np.testing.assert_array_equal(selected, [300, 0])
    assert selected.dtype == np.int64


def test_an_empty_map_leaves_only_background():
    np.testing.assert_array_equal(look_up(np.array([1, 2], np.uint8), {}), [0, 0])
