"""The cohort of synthetic heads on disk: complete or not at all, its lists as the files are."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from monai_cl.data import head_case, write_head_ct_cohort
from monai_cl.errors import UserError

SMALL = {"unlabelled": 1, "patients": 2, "validation": 1, "test": 0, "size": "quarter", "progress": False}


def test_lists_say_what_the_files_hold(tmp_path):
    lists = write_head_ct_cohort(tmp_path / "cohort", **SMALL)
    documents = {name: json.loads(path.read_text()) for name, path in lists.items()}
    labelled = documents["head_ct"]
    assert [len(labelled[split]) for split in ("training", "validation")] == [2, 1]
    assert "test" not in labelled
    assert labelled["finding_names"][:2] == ["epidural", "subdural"]
    for split in ("training", "validation"):
        for index, item in enumerate(labelled[split]):
            case = head_case(0, index, part=split, size="quarter")
            folder = tmp_path / "cohort" / labelled["root"]
            image, blood = (nibabel.load(folder / item[kind]) for kind in ("image", "label"))
            np.testing.assert_array_equal(np.asanyarray(image.dataobj), case.image)
            np.testing.assert_array_equal(np.asanyarray(blood.dataobj), case.blood)
            np.testing.assert_allclose(image.affine, case.affine)
            assert (item["target"], item["findings"], item["slice_findings"]) == (
                case.target,
                case.findings,
                case.slice_findings,
            )
            assert len(item["slice_findings"]) == image.shape[2]


def test_the_pretraining_list_holds_other_patients_without_labels(tmp_path):
    lists = write_head_ct_cohort(tmp_path / "cohort", **SMALL)
    bare, full, downstream = (
        json.loads(lists[name].read_text()) for name in ("pretraining", "pretraining_labelled", "head_ct")
    )
    assert [set(item) for item in bare["training"]] == [{"image", "patient", "meta"}]
    assert not {"finding_names", "labels", "targets"} & set(bare)
    assert [item["image"] for item in full["training"]] == [item["image"] for item in bare["training"]]
    assert set(full["training"][0]) >= {"target", "findings", "slice_findings", "label"}
    patients = {item["patient"] for item in downstream["training"]}
    assert not patients & {item["patient"] for item in bare["training"]}


def test_without_unlabelled_patients_there_is_one_list(tmp_path):
    lists = write_head_ct_cohort(tmp_path / "cohort", **{**SMALL, "unlabelled": 0, "patients": 1, "validation": 0})
    assert list(lists) == ["head_ct"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"size": "tiny"}, "size must be one of full, half, quarter, got 'tiny'"),
        ({"patients": 0}, "patients must be >= 1, got 0"),
        ({"seed": 1.5}, "seed must be an integer, got 1.5"),
    ],
)
def test_bad_options_leave_nothing(tmp_path, option, message):
    with pytest.raises(UserError, match=message):
        write_head_ct_cohort(tmp_path / "cohort", **SMALL | option)
    assert not any(tmp_path.iterdir())
