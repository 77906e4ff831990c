"""A grade from a value on: which values are positive, what the classes are called, what is not a grade."""

from __future__ import annotations

import math

import pytest

from monai_cl.data.records.grade import OWN_CLASSES, Grade, recorded_grade
from monai_cl.errors import UserError


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (2, 0), (2.99, 0), (3, 1), (4.5, 1), (-1, 0), ("3", 1), (" 2.5 ", 0), (True, 0)]
    + [(unknown, None) for unknown in (None, math.nan, "", "NA", "[Not Available]")],
)
def test_values_from_the_threshold_on_are_positive_and_unknown_ones_have_no_class(value, expected):
    assert Grade("fibrosis", 3).class_of(value) == expected


def test_without_a_threshold_the_values_are_the_classes():
    assert [Grade("cirrhosis").class_of(value) for value in (0, 1.0, "1", None)] == [0, 1, 1, None]
    for value in (0.5, -1):
        with pytest.raises(ValueError, match="is not a class"):
            Grade("cirrhosis").class_of(value)


@pytest.mark.parametrize("value", ["F3", [3], {"value": 3}, math.inf])
def test_what_is_not_a_number_is_refused(value):
    with pytest.raises(ValueError, match=r"not a number|not finite"):
        Grade("fibrosis", 3).class_of(value)


@pytest.mark.parametrize(
    ("grade", "targets", "expected"),
    [
        (Grade("fibrosis", 3), {"0": "no", "1": "yes"}, ["fibrosis < 3", "fibrosis >= 3"]),
        (Grade("stiffness", 12.5), {}, ["stiffness < 12.5", "stiffness >= 12.5"]),
        (Grade("cirrhosis"), {}, ["cirrhosis 0", "cirrhosis 1"]),
        (Grade("target", 2), {"0": "F0", "1": "F1", "2": "F2", "10": "F10"}, ["F0, F1", "F2, F10"]),
        (Grade("target", 2), {"0": "F0", "1": "F1"}, ["target < 2", "target >= 2"]),
        (OWN_CLASSES, {"0": "no", "1": "yes"}, ["no", "yes"]),
    ],
)
def test_the_classes_are_called_by_the_grade(grade, targets, expected):
    assert list(grade.class_names(targets).values()) == expected


def test_a_record_gives_the_grade_back():
    assert recorded_grade({"target": Grade("fibrosis", 3).record()}) == Grade("fibrosis", 3)
    assert recorded_grade({"name": "earlier"}) == OWN_CLASSES
    assert [str(grade) for grade in (OWN_CLASSES, Grade("fibrosis", 2.5))] == ["target", "fibrosis >= 2.5"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"field": ""}, "target_field: expected the name of a field"),
        ({"field": 3}, "target_field: expected the name of a field"),
        ({"positive_from": "three"}, "positive_from: expected the value from which on a patient is positive"),
        ({"positive_from": True}, "positive_from: expected the value"),
        ({"positive_from": math.nan}, "positive_from: expected the value"),
    ],
)
def test_what_is_not_a_grade_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        Grade(**options)
