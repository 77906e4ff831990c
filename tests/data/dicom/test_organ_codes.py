"""Names of one organ, and of organs that may be the same tissue."""

from __future__ import annotations

import pytest

from monai_cl.data.dicom.organ_codes import may_overlap, names_organ, organ_code, organ_key


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("left kidney", ["Kidney_left", "left kidneys", "renal left"]),
        ("liver tumour", ["hepatic lesion", "Liver tumor", "liver cancer"]),
        ("esophagus", ["Oesophagus", "esophagus"]),
        ("gallbladder", ["gall bladder", "Gall_Bladder"]),
        ("inferior vena cava", ["postcava", "IVC", "Inferior Vena Cava"]),
        ("brain tumour", ["brain tumor", "Brain neoplasm"]),
        ("left femur", ["femur_left", "Left femur"]),
        ("печень", ["Печень", "печень"]),
        ("lesion", ["Lesion"]),
        ("left lesion", ["lesion_left"]),
    ],
)
def test_names_of_one_organ_have_one_text(key, names):
    assert {organ_key(name) for name in names} <= {key, "lesion left"}


@pytest.mark.parametrize("names", [("печень", "селезёнка"), ("脾臓", "肝臓"), ("lesion", "cancer"), ("vessel", "vein")])
def test_names_of_no_table_stay_apart(names):
    assert len({organ_key(name) for name in names}) == 2


def test_synonyms_have_the_code_of_their_organ():
    assert organ_code("postcava") == organ_code("inferior vena cava")
    assert organ_code("gall bladder") == organ_code("gallbladder")


@pytest.mark.parametrize("name", ["tumour", "Lesions", "cancer", "left lesion", ""])
def test_a_tumour_alone_names_no_organ(name):
    assert not names_organ(name)
    assert names_organ(f"{name} liver")


def test_a_value_without_a_name_names_no_organ():
    assert not names_organ("label 1")
    assert not names_organ("Label_12")
    assert names_organ("label 1 of the liver")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("kidney", "left kidney", True),
        ("kidney tumour", "left kidney", True),
        ("left kidney", "right kidney", False),
        ("left kidney", "right kidney tumour", False),
        ("left kidney", "left and right kidneys", True),
        ("lung", "lung_upper_lobe_left", True),
        ("hepatic vessels", "liver", True),
        ("portal vein", "portal vein and splenic vein", True),
        ("IVC", "vena cava", True),
        ("liver", "spleen", False),
        ("liver tumour", "kidney tumour", False),
        ("adrenal gland", "prostate gland", False),
        ("печень", "селезёнка", False),
    ],
)
def test_a_part_a_side_or_a_tumour_may_be_the_tissue_of_the_whole(first, second, expected):
    assert may_overlap(first, second) is may_overlap(second, first) is expected
