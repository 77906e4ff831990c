"""Selecting labels: named values get their ids, the others become background."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_cl.transforms.labels import SelectLabelsd, select_labels

MAP = {5: 1, 1: 2, 200: 3}


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.float32, np.uint16])
def test_named_values_are_replaced_and_others_dropped(dtype):
    values = np.array([[0, 1, 2], [5, 200, 6]], dtype)
    selected = select_labels(values, MAP)
    np.testing.assert_array_equal(selected, [[0, 2, 0], [1, 3, 0]])
    assert selected.dtype == dtype


def test_against_a_loop_over_many_values():
    rng = np.random.default_rng(0)
    values = rng.integers(-300, 300, (7, 8, 9)).astype(np.int32)
    label_map = {int(value): number for number, value in enumerate(rng.choice(np.arange(-290, 290), 90, replace=False))}
    for named in (label_map, label_map | {10**7: 5}):
        expected = [named.get(int(value), 0) for value in values.reshape(-1)]
        np.testing.assert_array_equal(select_labels(values, named).reshape(-1), expected)


def test_a_swap_does_not_run_into_itself():
    np.testing.assert_array_equal(select_labels(np.array([1, 2, 1]), {1: 2, 2: 1}), [2, 1, 2])


def test_ids_that_do_not_fit_widen_the_type():
    selected = select_labels(np.array([1, 2], np.uint8), {1: 300})
    np.testing.assert_array_equal(selected, [300, 0])
    assert selected.dtype == np.int64


def test_an_empty_map_leaves_only_background_and_none_changes_nothing():
    values = np.array([1, 2], np.uint8)
    np.testing.assert_array_equal(select_labels(values, {}), [0, 0])
    assert select_labels(values, None) is values


def test_tensors_keep_kind_dtype_and_metadata():
    plain = select_labels(torch.tensor([5, 1, 9]), MAP)
    assert plain.tolist() == [1, 2, 0]
    assert plain.dtype == torch.int64
    meta = MetaTensor(torch.tensor([[5.0, 1, 9]]), affine=2 * torch.eye(4))
    selected = select_labels(meta, MAP)
    assert isinstance(selected, MetaTensor)
    assert selected.dtype == torch.float32
    torch.testing.assert_close(selected.affine, meta.affine)
    assert meta[0, 0] == 5


class TestSelectLabelsd:
    def test_a_given_map_is_used_before_the_items_own(self):
        item = {"label": torch.tensor([5, 1]), "label_map": {5: 7}}
        assert SelectLabelsd("label", MAP)(item)["label"].tolist() == [1, 2]
        assert SelectLabelsd("label")(item)["label"].tolist() == [7, 0]
        assert item["label"].tolist() == [5, 1]

    def test_without_any_map_it_changes_nothing(self):
        item = {"label": torch.tensor([5, 1]), "label_map": None}
        assert SelectLabelsd("label")(item)["label"].tolist() == [5, 1]

    def test_an_absent_key_is_an_error_unless_allowed(self):
        with pytest.raises(KeyError):
            SelectLabelsd("label", MAP)({"image": torch.zeros(1)})
        assert "label" not in SelectLabelsd("label", MAP, allow_missing_keys=True)({"image": torch.zeros(1)})
