"""The losses by name are the losses themselves, and say what they lack."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from monai_cl.losses import SliceLoss, byol_loss, depth_aware_loss, simclr_loss, supcon_loss, wsp_loss

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


def test_supervised_is_cross_entropy_over_all_views():
    loss = SliceLoss("supervised")({"embedding": draw()}, TARGETS)
    expected = torch.stack([F.cross_entropy(draw()[:, v], TARGETS["label"]) for v in range(V)]).mean()
    torch.testing.assert_close(loss, expected)
    flat = SliceLoss("supervised")({"embedding": torch.zeros(N, V, K, dtype=torch.float16)}, TARGETS)
    assert flat.dtype == torch.float32
    assert flat.item() == pytest.approx(math.log(K))


def test_what_is_lacking_is_named():
    with pytest.raises(ValueError, match=r"method must be one of simclr, .*, got 'moco'"):
        SliceLoss("moco")
    with pytest.raises(ValueError, match="sigma must be > 0, got 0"):
        SliceLoss("wsp", sigma=0)
    with pytest.raises(ValueError, match="wsp needs targets label, depth, got label"):
        SliceLoss("wsp")({"embedding": draw()}, {"label": TARGETS["label"]})
    with pytest.raises(ValueError, match="byol needs outputs prediction, target, got embedding"):
        SliceLoss("byol")({"embedding": draw()}, TARGETS)
    with pytest.raises(
        ValueError, match=r"logits must be \(N, V, classes\) and labels \(N,\), got \(6, 3\) and \(6,\)"
    ):
        SliceLoss("supervised")({"embedding": draw()[:, 0]}, TARGETS)
