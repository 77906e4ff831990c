"""Cross-entropy of views: a loop, a closed form, float32, shapes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from monai_cl.losses import CrossEntropyLoss

N, V, K = 6, 2, 3
LABELS = torch.tensor([0, 1, 1, 2, 0, 1])


def draw() -> torch.Tensor:
    return torch.randn(N, V, K, generator=torch.Generator().manual_seed(0))


def test_it_is_the_mean_over_all_views():
    expected = torch.stack([F.cross_entropy(draw()[:, v], LABELS) for v in range(V)]).mean()
    torch.testing.assert_close(CrossEntropyLoss()(draw(), LABELS), expected)


def test_without_a_preference_it_is_log_of_the_classes_in_float32_from_half_precision():
    loss = CrossEntropyLoss()(torch.zeros(N, V, K, dtype=torch.float16), LABELS)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log(K))


def test_shapes_that_do_not_fit_are_named():
    found = r"logits must be \(N, V, classes\) and labels \(N,\), got \(6, 3\) and \(6,\)"
    with pytest.raises(ValueError, match=found):
        CrossEntropyLoss()(draw()[:, 0], LABELS)
