"""Head boxes in the store: what is read is the box of the file, its labels are those of the item."""

from __future__ import annotations

import numpy as np
import pytest

from monai_cl.data import HeadBoxes, Preparation, boxed_scans, head_case, load_data_list, prepare, write_head_ct_cohort
from monai_cl.errors import UserError

SIZE = (10, 28, 24)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads") / "cohort"
    sizes = {"unlabelled": 0, "patients": 2, "validation": 0, "test": 0}
    return write_head_ct_cohort(folder, **sizes, size="quarter", progress=False)["head_ct"]


def boxes(cohort, **options) -> HeadBoxes:
    data_list = load_data_list(cohort)
    items = data_list.items("training")
    preparation = Preparation(spacing=None, layout="slices", **{"head_box": SIZE, **options})
    done = prepare(items, cohort.parent.parent / "store", preparation, progress=False)
    return HeadBoxes(done.store, boxed_scans(done.store, done.keys, items, finding_names=data_list.finding_names))


def test_a_sample_is_the_box_in_the_window_with_the_labels_of_the_item(cohort):
    made = boxes(cohort, head_box=(20, 56, 48), find_head=False)
    assert (len(made), made.patients) == (2, ["training_0000", "training_0001"])
    for index in range(2):
        case, sample = head_case(0, index, size="quarter"), made[index]
        expected = np.clip((case.image.astype(np.float32) + 45) / 200, 0, 1).transpose(2, 1, 0)[:, ::-1, ::-1]
        np.testing.assert_allclose(sample["image"][0], expected, atol=1e-6)
        assert (float(sample["target"]), sample["label"]) == (case.target, case.target)
        assert sample["findings"].tolist() == list(case.findings.values())
        assert sample["slice_findings"].tolist() == case.slice_findings


def test_the_head_is_found_and_fills_its_box(cohort):
    made = boxes(cohort)
    assert made[0]["image"][0].shape == SIZE
    box = made.store.read(made.volumes[0].key).max(2)  # (W, H): something of the head at every edge
    assert all(edge.max() > -900 for edge in (box[0], box[-1], box[:, 0], box[:, -1]))


def test_what_is_not_known_is_minus_one(cohort):
    made = boxes(cohort)
    store, key = made.store, made.volumes[0].key
    item = {"image": "unused", "findings": {"b": 1}}
    (scan,) = boxed_scans(store, [key], [item], finding_names=["a", "b"])
    sample = HeadBoxes(store, [scan])[0]
    assert (float(sample["target"]), sample["label"]) == (-1, -1)
    assert sample["findings"].tolist() == [-1, 1]
    assert sample["slice_findings"].tolist() == [-1] * 10
    with pytest.raises(UserError, match="expected at least one, found none"):
        made.of([])


def test_a_window_that_is_upside_down_is_refused(cohort):
    made = boxes(cohort)
    with pytest.raises(ValueError, match=r"window must be \(lower, upper\) HU with lower < upper, got \(155, -45\)"):
        HeadBoxes(made.store, made.volumes, window=(155, -45))


def test_boxes_are_entries_of_their_own_and_other_entries_keep_their_names():
    plain = Preparation(spacing=None, layout="slices")
    assert "head_box" not in plain.parameters
    boxed = Preparation(spacing=None, layout="slices", head_box=SIZE)
    assert len({plain.digest, boxed.digest, Preparation(**{**boxed.parameters, "find_head": False}).digest}) == 3
    with pytest.raises(ValueError, match="head_box must be three numbers >= 1, with spacing None"):
        Preparation(head_box=SIZE)
