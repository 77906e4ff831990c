"""Which runs count as pre-trained: those whose record counts tensors of an encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_cl.report.runs import Run
from monai_cl.report.starts import start_labels
from tests.report.examples import segmentation

CASE = {"a": {"spleen": 0.5}}
TAKEN = {"file": "e.pt", "tensors": {"vit": 161, "encoder1": 3}}


def run(**more) -> Run:
    results = {**segmentation(CASE, initialisation="e.pt"), "encoder": TAKEN, **more}
    return Run(path=Path("results.json"), results={k: v for k, v in results.items() if v != "absent"})


@pytest.mark.parametrize(
    ("more", "label"),
    [
        ({}, "pre-trained"),
        ({"encoder": None}, "not pre-trained"),  # the evaluation of a model that was trained from scratch
        ({"encoder": {"tensors": {}}}, "not pre-trained"),
        ({"encoder": "absent"}, "pre-trained"),  # an earlier version
        ({"encoder": "absent", "config": {"network_def": {"pretrained_encoder": "@p"}}}, "pre-trained"),
        ({"encoder": "absent", "config": {"network_def": {"_target_": "UNet"}}}, "not pre-trained"),
    ],
)
def test_the_label_follows_what_was_loaded(more, label):
    assert start_labels([run(**more)]) == {"scratch": "scratch", "e.pt": label}
