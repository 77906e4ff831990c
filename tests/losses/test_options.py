"""What a config may say wrongly of meta-labels and of the losses' numbers: each ends in one line that names the key."""

from __future__ import annotations

import math

import pytest

from monai_cl.errors import UserError
from monai_cl.losses import MetaLabelLoss, SliceSegmentationLoss, SummedLoss, check_meta_labels

PACE = "gamma: expected two finite numbers above 0, the second not below the first, or null for no pace, found "
FAULTS = [
    ({"patient": {"gama": [5, 60]}}, ": expected of weight, gamma, parts, field, shuffled, found 'gama'; did you mean"),
    ({"patient": {"zzz": 1}}, ": expected of weight, gamma, parts, field, shuffled, found 'zzz'; leave it out"),
    ({"patient": {"gamma": [5, "6e1"]}}, f".{PACE}[5, '6e1']; '6e1' is a text here: write 60.0"),
    ({"patient": {"gamma": [60, 5]}}, f".{PACE}[60, 5]"),
    ({"patient": {"gamma": [0, 5]}}, f".{PACE}[0, 5]"),
    ({"patient": {"gamma": [5, math.inf]}}, f".{PACE}[5, inf]"),
    ({"patient": {"gamma": [True, 5]}}, f".{PACE}[True, 5]"),
    ({"patient": {"gamma": 5}}, f".{PACE}5"),
    ({"patient": {"gamma": "[5, 60]"}}, f".{PACE}'[5, 60]'"),
    ({"patient": {"weight": "0.1"}}, ".weight: expected a number from 0, found '0.1'; '0.1' is a text here: write 0.1"),
    ({"patient": {"weight": None}}, ".weight: expected a number from 0, found None"),
    ({"patient": {"weight": True}}, ".weight: expected a number from 0, found True"),
    ({"patient": {"weight": math.nan}}, ".weight: expected a number from 0, found nan"),
    ({"patient": {"weight": -1}}, ".weight: expected a number from 0, found -1"),
    ({"patient": {"parts": None}}, ".parts: expected a whole number from 1, found None"),
    ({"patient": {"parts": 2.7}}, ".parts: expected a whole number from 1, found 2.7"),
    ({"patient": {"shuffled": True}}, ".shuffled: expected a share from 0 to 1, found True"),
    ({"patient": {"shuffled": 20}}, ".shuffled: expected a share from 0 to 1, found 20"),
    ({"patient": {"field": 3}}, ".field: expected a key of the items or of their meta, or null, found 3"),
    ({"patient": None}, ": expected its options, such as {weight: 0.1}, or {} for none, found None"),
    ({3: {}}, "meta_labels: expected names that are texts, found 3"),
    (None, "meta_labels: expected name: its options, such as "),
]


@pytest.mark.parametrize(("meta_labels", "message"), FAULTS, ids=[str(given) for given, _ in FAULTS])
def test_what_no_meta_label_takes_is_named(meta_labels, message):
    message = message if message.startswith("meta_labels") else f"meta_labels.patient{message}"
    for ask in (check_meta_labels, MetaLabelLoss):
        with pytest.raises(UserError) as caught:
            ask(meta_labels)
        assert str(caught.value).startswith(message)


def test_what_they_take_is_taken():
    given = {"position": {"parts": 3.0, "weight": 1, "gamma": (5, 5), "shuffled": 0.2}, "type": {"field": "site"}}
    check_meta_labels({**given, "phase": {"gamma": None, "field": None}}, targets=("mask", "label_type"))
    with pytest.raises(UserError, match="meta_labels: expected phase, which the method takes, among them, found posit"):
        check_meta_labels(given, targets=("label_position", "label_phase"))


@pytest.mark.parametrize("value", ["0.1", None, math.inf, math.nan, True, -1])
def test_numbers_are_numbers(value):
    for name in ("temperature", "pace_power"):
        with pytest.raises(UserError, match=f"{name}: expected a number above 0, found "):
            MetaLabelLoss({"patient": {}}, **{name: value})
    with pytest.raises(UserError, match="dice_weight: expected a number from 0, found "):
        SliceSegmentationLoss(dice_weight=value)
    with pytest.raises(UserError, match="unlabelled_weight: expected a number from 0, found "):
        SummedLoss([SliceSegmentationLoss(), SliceSegmentationLoss()], [1.0, value])


def test_a_word_for_a_switch_is_what_it_says():
    assert not MetaLabelLoss({"patient": {}}, rescale="False").rescale
    with pytest.raises(UserError, match="rescale: expected true or false, found 1"):
        MetaLabelLoss({"patient": {}}, rescale=1)
