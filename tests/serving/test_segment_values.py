"""Values of an uploaded label become the model's, by the names of the segments."""

from __future__ import annotations

import pytest

from monai_cl.errors import UserError
from monai_cl.serving import organ_values

ORGANS = ["liver", "spleen", "left kidney"]


def info(*names: str, first: int = 1) -> list[dict[str, object]]:
    """What 3D Slicer sends with a label."""
    return [{"name": name, "idx": number} for number, name in enumerate(names, start=first)]


def test_a_label_in_the_models_order_keeps_its_values():
    assert organ_values(info(*ORGANS), ORGANS, [0, 1, 2, 3], source="a") == {1: 1, 2: 2, 3: 3}


def test_a_single_segment_gets_the_value_of_its_organ():
    assert organ_values(info("spleen"), ORGANS, [0, 1], source="a") == {1: 2}


def test_names_are_compared_without_case_and_space():
    assert organ_values(info(" Left Kidney ", "LIVER"), ORGANS, [0, 1, 2], source="a") == {1: 3, 2: 1}


def test_an_unknown_segment_is_background():
    assert organ_values(info("tumour", "spleen"), ORGANS, [0, 1, 2], source="a") == {1: 0, 2: 2}


def test_the_place_counts_where_slicer_left_a_segment_out():
    # "background" was first in the scene and is not exported: idx continues from 2, values from 1
    assert organ_values(info("liver", "spleen", first=2), ORGANS, [0, 1, 2], source="a") == {1: 1, 2: 2}


def test_without_names_values_are_the_models():
    assert organ_values(None, ORGANS, [0, 3], source="a") == {3: 3}
    assert organ_values([], ORGANS, [0], source="a") == {}


@pytest.mark.parametrize(
    ("names", "present", "message"),
    [
        ((), [0, 4], "a.nii.gz: expected the values 0 to 3 .*found 4"),
        (("liver",), [1, 2], "a.nii.gz: expected a name for every value, found none for 2"),
        (("tumour", "cyst"), [1, 2], "expected segments among liver, spleen, left kidney, found tumour, cyst"),
        (("liver", "Liver"), [1, 2], "two segments have the name of one organ"),
    ],
)
def test_a_label_that_says_nothing_of_the_organs_is_refused(names, present, message):
    with pytest.raises(UserError, match=message):
        organ_values(info(*names), ORGANS, present, source="a.nii.gz")
