"""A store that is looked at prepares what is read, and nothing else, and says what was read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_cl.data import Preparation, VolumeStore
from monai_cl.data.patches.crops import label_dtype
from monai_cl.data.store.observed import ObservedStore
from monai_cl.errors import UserError
from monai_cl.transforms.label_table import IGNORED
from tests.data.volume_files import items_of, label_array

IDS = tuple(int(label) for label in np.unique(label_array()) if label > 0)


@pytest.fixture
def items(tmp_path):
    return [{**item, "label_ids": (0, *IDS)} for item in items_of(tmp_path)[:2]]


@pytest.fixture
def observed(tmp_path, items) -> ObservedStore:
    root = VolumeStore.create(tmp_path / "store", Preparation()).root
    return ObservedStore(root, Preparation(), {f"item {number}": item for number, item in enumerate(items)})


def test_a_volume_is_prepared_when_it_is_first_asked_for(observed, items):
    assert observed.all_keys() == []
    image = observed.read("item 1")
    assert observed.made == 1
    plain = VolumeStore(observed.root, Preparation())
    (key,) = plain.all_keys()
    assert key == plain.find(items[1])
    assert observed.entry("item 1").key == key
    np.testing.assert_array_equal(image, plain.read(key))
    np.testing.assert_array_equal(observed.read_patch("item 1", (-2, 0, 0), (4, 4, 4)),
                                  plain.read_patch(key, (-2, 0, 0), (4, 4, 4)))  # fmt: skip
    again = ObservedStore(observed.root, Preparation(), {"item 1": items[1]})
    again.entry("item 1")
    assert again.made == 0


def test_a_scan_that_cannot_be_prepared_is_named_as_by_a_run(observed, items):
    with open(items[0]["image"], "wb") as file:
        file.write(b"not a scan")
    with pytest.raises(UserError, match=r"^1 of 2 items cannot be prepared: patient p0, case0: .*; fix them;"):
        observed.entry("item 0")


def test_what_is_declared_of_a_label_needs_no_preparation(observed, items):
    assert observed.label_ids("item 0") == IDS
    assert label_dtype(observed, ["item 0", "item 1"]) == torch.uint8
    observed.items["item 1"] = {key: value for key, value in items[1].items() if key != "label"}
    assert observed.label_ids("item 1") == (IGNORED,)
    observed.items["item 0"] = {**items[0], "ignore": 9}
    assert observed.label_ids("item 0") == (IGNORED, *IDS)
    assert label_dtype(observed, ["item 0"]) == torch.int64
    assert observed.all_keys() == []


def test_what_is_read_is_noted_with_the_share_that_lies_inside(observed):
    observed.read("item 0")
    assert observed.reads is None
    observed.reads = []
    observed.read_patch("item 0", (-2, 0, 0), (4, 4, 4))
    observed.read("item 0", (slice(0, 2), slice(0, 3), slice(0, 1)), kind="label")
    patch, label = observed.reads
    assert (patch.kind, patch.array.shape, patch.inside) == ("image", (4, 4, 4), 0.5)
    assert (label.kind, label.array.shape, label.inside) == ("label", (2, 3, 1), 1.0)
    assert patch.entry is label.entry is observed.entry("item 0")
