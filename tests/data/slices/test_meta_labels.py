"""Meta-labels: position from geometry whatever the order in the file, patient, any field, and what is not known."""

from __future__ import annotations

import logging
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_cl.data import (
    CTSlices,
    MetaLabelledSlices,
    Preparation,
    meta_labels_of,
    position_parts,
    prepare,
    slice_parts,
)
from monai_cl.data.io.reading import read_volume, to_ras
from monai_cl.data.slices.ct_slices import slice_volumes
from monai_cl.data.slices.meta_labels import shuffle_labels
from monai_cl.errors import UserError
from tests.data.volume_files import affine_of, ct_array, write_nifti

CODES = ["".join(o) for axes in permutations(("RL", "AP", "SI")) for o in product(*axes)]


@given(count=st.integers(1, 40), parts=st.integers(1, 9), step=st.sampled_from([-8.0, 0.5, 3.0]))
def test_parts_have_equal_sizes_in_order_from_the_feet(count, parts, step):
    affine = np.diag([1.0, 1.0, step, 1.0])
    found = position_parts(affine, count, parts)
    assert position_parts(-affine, count, parts).tolist() == found[::-1].tolist()
    from_feet = found if step > 0 else found[::-1]
    assert from_feet.tolist() == sorted(from_feet)
    assert (from_feet >= 0).all()
    assert (from_feet < parts).all()
    sizes = np.bincount(from_feet, minlength=parts)
    if count >= parts:
        assert sizes.min() >= count // parts
        assert sizes.max() <= -(-count // parts)


def test_ten_slices_in_three_parts_and_twelve_in_eight():
    assert position_parts(np.eye(4), 10, 3).tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert np.bincount(position_parts(np.eye(4), 12, 8)).tolist() == [1, 2, 1, 2, 1, 2, 1, 2]
    with pytest.raises(
        ValueError, match=r"expected slices along the body and parts, got 3 slices 0.0 mm apart, 3 parts"
    ):
        position_parts(np.diag([1, 1, 0.0, 1]), 3, 3)


@pytest.mark.parametrize("codes", CODES)
def test_a_scan_has_one_division_whatever_the_order_of_its_file(codes, tmp_path):
    """The 48 orders of storage: a slice's part follows its height in the body."""
    heights = np.broadcast_to(np.arange(10, dtype=np.int16), (4, 5, 10))  # in RAS: the value is the height
    order = [next(axis for axis, pair in enumerate(("RL", "AP", "SI")) if code in pair) for code in codes]
    array = np.transpose(heights, order)
    array = np.flip(array, [axis for axis, code in enumerate(codes) if code in "LPI"])
    volume = to_ras(read_volume(write_nifti(tmp_path / "scan.nii", array, affine_of(codes, (1.0, 1.0, 8.0)))))
    parts = position_parts(volume.affine, volume.array.shape[2], 3)
    height = np.asarray(volume.array[0, 0])
    assert dict(zip(height.tolist(), parts.tolist())) == dict(zip(range(10), [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]))


def scans(folder, *items, spacing=(1.0, 1.0, 8.0), fraction=1.0):
    found = []
    for number, more in enumerate(items):
        file = write_nifti(folder / f"s{number}.nii.gz", ct_array((24, 24, 6), seed=number), affine_of("RAS", spacing))
        found.append({"image": str(file), "id": f"s{number}", "dataset": "d", **more})
    done = prepare(found, folder / "store", Preparation(spacing=None, layout="slices"), progress=False)
    return CTSlices(done.store, slice_volumes(done.store, done.keys, found, fraction=fraction), size=24), found


def test_fields_of_items_and_of_their_meta_are_numbered_by_value_and_unknown_ones_are_apart(tmp_path, caplog):
    slices, items = scans(
        tmp_path,
        {"patient": "b", "meta": {"phase": "ES", "vendor": 7}},
        {"patient": "a", "target": 1, "meta": {"phase": None}},
        {"patient": "b", "target": 0, "meta": {"phase": "ED"}},
    )
    wanted = {"position": {"parts": 2}, "patient": {}, "phase": {"weight": 0.1}, "grade": {"field": "target"}}
    with caplog.at_level(logging.WARNING):
        found = meta_labels_of(slices, items, wanted)
    assert found["position"].tolist() == [0, 0, 0, 1, 1, 1] * 3
    assert {name: own[::6].tolist() for name, own in found.items() if name != "position"} == {
        "patient": [1, 0, 1],
        "phase": [1, -1, 0],
        "grade": [-1, 1, 0],
    }
    assert "meta-label phase: 1 of 3 scans have none: each of their slices is a class of its own" in caplog.text
    item = MetaLabelledSlices(slices, found)[12]
    assert (item["label_position"].item(), item["label_phase"].item(), item["label_grade"].item()) == (0, 0, 0)
    assert item["image"].shape == (1, 24, 24)


def test_equal_values_are_one_class_however_written_and_empty_ones_are_missing(tmp_path):
    sites = [1, 1.0, "1 ", "", "  ", float("nan"), None, "A", "a", " a"]
    slices, items = scans(tmp_path, *({"meta": {"site": site}} for site in sites))
    found = meta_labels_of(slices, items, {"site": {}})["site"]
    assert found[::6].tolist() == [0, 0, 0, -1, -1, -1, -1, 1, 2, 2]
    with pytest.raises(UserError, match=r"meta-label name: expected items with 'name'.* found none among 10"):
        meta_labels_of(slices, [{**item, "name": " "} for item in items], {"name": {}})


def test_parts_are_counted_over_the_whole_scan_also_where_few_slices_are_kept(tmp_path):
    slices, _ = scans(tmp_path, {}, fraction=0.34)
    assert slices.volumes[0].slices.tolist() == [2, 3]
    assert slice_parts(slices, 3).tolist() == [1, 1]


def test_what_no_scan_has_and_what_is_no_value_are_refused(tmp_path):
    slices, items = scans(tmp_path, {}, {"meta": {"site": ["a"]}})
    with pytest.raises(
        UserError, match=r"meta-label phase: expected items with 'phase'.* found none among 2; add it to"
    ):
        meta_labels_of(slices, items, {"phase": {}})
    with pytest.raises(UserError, match=r"item s1: site: expected a number or a word, found \['a'\]"):
        meta_labels_of(slices, items, {"site": {}})
    with pytest.raises(ValueError, match="items must be those of 2 volumes, got 1"):
        meta_labels_of(slices, items[:1], {"patient": {}})


def test_shuffled_labels_keep_their_numbers_and_a_smaller_share_lies_in_a_larger_one():
    labels = np.arange(3000)  # hardly any slice draws its own again
    wrong = {share: shuffle_labels(labels, share, seed=1) != labels for share in (0.0, 0.2, 0.5, 1.0)}
    assert [round(float(moved.mean()), 2) for moved in wrong.values()] == [0.0, 0.2, 0.5, 1.0]
    assert (wrong[0.2] & ~wrong[0.5]).sum() <= 5
    assert all(sorted(shuffle_labels(labels, share, seed=1)) == labels.tolist() for share in wrong)
    assert (shuffle_labels(labels, 0.5, seed=1) != shuffle_labels(labels, 0.5, seed=2)).any()
    with pytest.raises(ValueError, match=r"shuffled must be in \[0, 1\], got 20"):
        shuffle_labels(labels, 20, seed=0)


def test_positions_are_shuffled_where_the_config_says_so(tmp_path):
    slices, items = scans(tmp_path, {"patient": "a"}, {"patient": "b"})
    found = meta_labels_of(slices, items, {"position": {"shuffled": 1.0}, "patient": {}}, seed=4)
    true = meta_labels_of(slices, items, {"position": {"shuffled": 0.0}})["position"]
    assert found["position"].tolist() == shuffle_labels(true, 1.0, seed=4).tolist() != true.tolist()
    assert found["patient"].tolist() == [0] * 6 + [1] * 6
