"""Predictions of variants: of as many scans of either class, repeatable, in evaluation mode."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from monai_cl.engines import variant_predictions
from monai_cl.errors import UserError
from monai_cl.networks import scan_classifier
from monai_cl.report import robustness_scores


class Boxes:
    """Scans as `HeadBoxes` gives them."""

    def __init__(self, targets: list[int]) -> None:
        self.volumes = [SimpleNamespace(id=f"s{i}", patient=f"p{i}", target=t) for i, t in enumerate(targets)]

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(index)
        return {"image": torch.rand(1, 4, 16, 16, generator=generator)}


def test_as_many_scans_of_either_class_are_varied_and_the_draws_are_repeatable():
    torch.manual_seed(0)
    network, boxes = scan_classifier().train(), Boxes([0, 1, 0, 0, 1, 0])
    one, again = (variant_predictions(network, boxes, cases=4, variants=3, seed=5) for _ in range(2))
    assert one["labels"].tolist() == [0, 0, 1, 1]
    assert set(one["varied"]) == {"gamma", "rotation", "scale", "all"}
    for family, varied in one["varied"].items():
        assert varied.shape == (4, 3)
        np.testing.assert_array_equal(varied, again["varied"][family])
        assert abs(varied - one["probability"][:, None]).max() > 0
        assert robustness_scores(one["labels"], one["probability"], varied)["images"] == 4
    assert network.training
    with torch.no_grad():
        number = int(one["ids"][0][1:])
        expected = network.eval().outputs(boxes[number]["image"][None])["target"].sigmoid()
    assert one["probability"][0] == pytest.approx(expected.item(), abs=1e-6)


def test_both_classes_are_needed():
    with pytest.raises(UserError, match="expected scans of class 0 and 1, found none of class 1"):
        variant_predictions(scan_classifier(), Boxes([0, 0]), cases=2, variants=1)


@pytest.mark.parametrize("progress", [True, False])
def test_a_bar_counts_the_scans(capfd, progress):
    variant_predictions(scan_classifier(), Boxes([0, 1, 0, 1]), cases=4, variants=1, progress=progress)
    assert ("Robustness" in capfd.readouterr().err) == progress
