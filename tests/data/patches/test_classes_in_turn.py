"""Fine-tuning crops whose classes come in turn, and which are warped with what lies around them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from monai_cl.data import SegmentationPatches
from monai_cl.data.patches.crops import BODY, class_in_turn
from tests.data.memory_store import MemoryStore, small_case

IDENTITY = {"affine_probability": 1.0, "elastic_probability": 0.0, "rotation": 0.0, "scale": 0.0}


def kinds(visits: range, classes=(1, 4, 6), share=2 / 3, **address) -> list[int]:
    address = {"seed": 0, "case": 0, **address}
    return [class_in_turn(v, classes, foreground_probability=share, **address) for v in visits]


def test_every_class_comes_once_in_each_lap():
    found = [kind for kind in kinds(range(18)) if kind != BODY]
    assert [sorted(found[i : i + 3]) for i in range(0, 12, 3)] == [[1, 4, 6]] * 4
    assert len({tuple(found[i : i + 3]) for i in range(0, 12, 3)}) > 1  # each lap in its own order


@pytest.mark.parametrize("share", [0.0, 0.3, 2 / 3, 1.0])
def test_the_share_of_foreground_is_kept_in_every_stretch(share):
    for first in (0, 7, 100):
        count = sum(kind != BODY for kind in kinds(range(first, first + 10), share=share))
        assert abs(count - 10 * share) <= 1


def test_a_case_without_foreground_gives_the_body():
    assert kinds(range(5), classes=(), share=1.0) == [BODY] * 5


def test_cases_and_seeds_have_their_own_orders():
    base = kinds(range(60), classes=tuple(range(1, 9)), share=1.0)
    assert base != kinds(range(60), classes=tuple(range(1, 9)), share=1.0, case=1)
    assert base != kinds(range(60), classes=tuple(range(1, 9)), share=1.0, seed=1)


def crops(case=None, **options) -> SegmentationPatches:
    store = MemoryStore({"a": small_case(0, classes=(1, 2, 3)) if case is None else case})
    return SegmentationPatches(store, ["a"], **{"patch_size": 8, "seed": 3, "foreground_probability": 1.0, **options})


def test_crops_are_centred_on_the_classes_in_turn():
    dataset = crops(classes_in_turn=True)
    centres = Counter()
    for position in range(30):
        label = dataset[position]["label"][0]
        centres.update(set(np.unique(label)) - {0} if label[4, 4, 4] == 0 else [int(label[4, 4, 4])])
    assert min(centres[kind] for kind in (1, 2, 3)) >= 10


def test_a_warp_of_no_extent_changes_nothing():
    for position in range(4):
        plain, warped = crops()[position], crops(warp=IDENTITY)[position]
        assert torch.allclose(plain["image"], warped["image"], atol=1e-5)
        assert torch.equal(plain["label"], warped["label"])


def test_what_a_warp_needs_beyond_the_crop_is_read_from_the_volume():
    image, label = np.full((60, 60, 60), -150, np.int16), np.zeros((60, 60, 60), np.uint8)
    image[10:50, 10:50, 10:50], label[29:31, 29:31, 29:31] = 50, 1  # the crop lies in the middle, far from the edge
    dataset = crops((image, label), warp={**IDENTITY, "rotation": 30.0, "scale": 0.3}, patch_size=12)
    for position in range(6):
        assert torch.allclose(dataset[position]["image"], torch.tensor(0.5))


def test_a_warped_crop_depends_on_seed_and_position_alone():
    options = {"warp": {"rotation": 20.0}, "classes_in_turn": True}
    one, other = crops(**options), crops(**options)
    other[7], other[1]
    assert torch.equal(one[5]["image"], other[5]["image"])
    assert not torch.equal(one[5]["image"], one[6]["image"])


def test_a_bad_warp_is_refused_at_once():
    with pytest.raises(ValueError, match=r"scale must be in \[0, 1\), got 2"):
        crops(warp={"scale": 2})
