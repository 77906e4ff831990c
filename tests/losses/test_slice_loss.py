"""The losses by name, as configs of earlier versions choose them, are the losses themselves."""

from __future__ import annotations

import pytest
import torch

from monai_cl.losses import SliceLoss, byol_loss, depth_aware_loss, simclr_loss, supcon_loss, wsp_loss
from monai_cl.losses.cross_entropy import cross_entropy

N, V, K = 6, 2, 3
TARGETS = {"label": torch.tensor([0, 1, 1, 2, 0, 1]), "depth": torch.tensor([0.1, 0.2, 0.25, 0.5, 0.7, 0.9])}


def draw(seed: int = 0) -> torch.Tensor:
    return torch.randn(N, V, K, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("simclr", lambda z: simclr_loss(z, temperature=0.2)),
        ("supcon", lambda z: supcon_loss(z, TARGETS["label"], temperature=0.2)),
        ("depth_aware", lambda z: depth_aware_loss(z, TARGETS["depth"], sigma=0.3, temperature=0.2)),
        ("wsp", lambda z: wsp_loss(z, TARGETS["label"], TARGETS["depth"], sigma=0.3, temperature=0.2)),
    ],
)
def test_contrastive_methods(method, expected):
    loss = SliceLoss(method, sigma=0.3, temperature=0.2)({"embedding": draw(), "representation": None}, TARGETS)
    assert loss == expected(draw())


def test_byol_takes_predictions_and_targets_of_the_network():
    loss = SliceLoss("byol")({"embedding": None, "prediction": draw(0), "target": draw(1)}, {})
    assert loss == byol_loss(draw(0), draw(1))


def test_supervised_is_cross_entropy():
    assert SliceLoss("supervised")({"embedding": draw()}, TARGETS) == cross_entropy(draw(), TARGETS["label"])


def test_what_is_lacking_is_named():
    with pytest.raises(ValueError, match=r"method must be one of simclr, .*, got 'moco'"):
        SliceLoss("moco")
    with pytest.raises(ValueError, match="sigma must be > 0, got 0"):
        SliceLoss("wsp", sigma=0)
    with pytest.raises(ValueError, match="wsp needs targets label, depth, got label"):
        SliceLoss("wsp")({"embedding": draw()}, {"label": TARGETS["label"]})
    with pytest.raises(ValueError, match="byol needs outputs prediction, target, got embedding"):
        SliceLoss("byol")({"embedding": draw()}, TARGETS)
