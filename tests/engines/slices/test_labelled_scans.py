"""A training is told which of its classes none of the labelled scans shows."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

from monai_cl.data import load_data_list
from monai_cl.engines import segmented_slices, split_items
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, write_nifti

SHOWN = {"a": (6, 7), "b": (7,), "c": ()}  # values of the files


@pytest.fixture
def data_list(tmp_path):
    items = []
    for seed, (name, values) in enumerate(SHOWN.items()):
        label = np.zeros((16, 16, 8), np.uint8)
        for value in values:
            label[2 * (value - 5), 4:9, 2:5] = value
        write_nifti(tmp_path / f"{name}.nii.gz", ct_array(label.shape, seed=seed), affine_of("LPS"))
        write_nifti(tmp_path / f"{name}_label.nii.gz", label, affine_of("LPS"))
        items.append({"image": f"{name}.nii.gz", "label": f"{name}_label.nii.gz"})
    labels = {"0": "background", "1": "liver", "2": "stomach"}
    path = tmp_path / "list.json"
    path.write_text(json.dumps({"name": "l", "labels": labels, "label_map": {"6": 1, "7": 2}, "training": items}))
    return load_data_list(path)


@pytest.mark.parametrize(
    ("chosen", "absent"), [("a", None), ("ab", None), ("b", "liver"), ("c", "liver, stomach"), ("cb", "liver")]
)
def test_classes_that_no_labelled_scan_shows_are_named(data_list, tmp_path, caplog, chosen, absent):
    with caplog.at_level(logging.WARNING):
        slices = segmented_slices(
            data_list, labelled_scans=list(chosen), seed=0, store=tmp_path / "store", organ=None, fraction=1.0, size=16
        )
    assert len(slices) == 8 * len(chosen)
    said = [text for text in caplog.messages if "which is not learned then" in text]
    told = f"the label maps of {', '.join(chosen)} show no {absent}, which is not learned then: "
    assert said == ([] if absent is None else [told + "name labelled_scans that have it"])


def test_a_split_without_labels_is_refused_with_the_option_that_names_another(data_list):
    with pytest.raises(UserError, match="the split 'test' holds no item with image and label; name another --split"):
        split_items(data_list, "test")
