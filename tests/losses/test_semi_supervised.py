"""The terms of the semi-supervised methods: closed forms, MONAI as an oracle, limits, gradients, the sum by name."""

from __future__ import annotations

import math

import pytest
import torch
from monai.losses import DiceLoss

from monai_cl.losses import (
    ConsistencyLoss,
    EntropyLoss,
    MethodLoss,
    MixUpLoss,
    SliceSegmentationLoss,
    SummedLoss,
    consistency_loss,
    mix_up_loss,
    mutual_information,
    prediction_entropy,
    slice_segmentation_loss,
)

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(3, 4, 5, 6, generator=GENERATOR, dtype=torch.float64)
MASK, OTHER = (torch.randint(4, (3, 5, 6), generator=GENERATOR) for _ in range(2))


def test_supervised_is_cross_entropy_and_dice_as_monai_has_it():
    expected = torch.nn.functional.cross_entropy(LOGITS, MASK)
    torch.testing.assert_close(slice_segmentation_loss(LOGITS, MASK), expected)
    dice = DiceLoss(softmax=True, to_onehot_y=True, batch=True)(LOGITS, MASK[:, None])
    found = slice_segmentation_loss(LOGITS, MASK, dice_weight=0.5)
    torch.testing.assert_close(found, expected + 0.5 * dice, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=r"mask must be \(B, H, W\) for logits"):
        slice_segmentation_loss(LOGITS, MASK[:2])


def test_pixels_that_were_not_annotated_take_no_part():
    mask = MASK.clone()
    mask[:, 2:] = -100
    found = slice_segmentation_loss(LOGITS, mask, dice_weight=1)
    torch.testing.assert_close(found, slice_segmentation_loss(LOGITS[:, :, :2], MASK[:, :2], dice_weight=1))
    nothing = slice_segmentation_loss(LOGITS.clone().requires_grad_(), torch.full_like(MASK, -100), dice_weight=1)
    nothing.backward()
    assert torch.isfinite(nothing)


def test_entropy_is_that_of_the_distribution():
    assert prediction_entropy(torch.zeros(1, 4, 2, 2)).item() == pytest.approx(math.log(4))
    certain = torch.zeros(1, 4, 2, 2)
    certain[:, 1] = 200
    assert prediction_entropy(certain).item() == 0
    p = LOGITS.softmax(1)
    assert prediction_entropy(LOGITS).item() == pytest.approx((-p * p.log()).sum(1).mean().item())


def test_mix_up_is_cross_entropy_with_the_mixed_truth():
    share = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    one_hot = [torch.nn.functional.one_hot(y, 4).movedim(-1, 1).double() for y in (MASK, OTHER)]
    truth = share[:, None, None, None] * one_hot[0] + (1 - share[:, None, None, None]) * one_hot[1]
    expected = torch.nn.functional.cross_entropy(LOGITS, truth)
    torch.testing.assert_close(mix_up_loss(LOGITS, MASK, OTHER, share), expected)


def test_consistency_is_the_squared_distance_of_distributions():
    p, q = LOGITS.softmax(1), LOGITS.flip(0).softmax(1)
    assert consistency_loss(p, p).item() == 0
    assert consistency_loss(p, q).item() == pytest.approx(4 * (p - q).square().mean().item())


def test_mutual_information_has_its_two_limits():
    clusters = torch.eye(5, dtype=torch.float64).repeat(4, 1)
    assert mutual_information(clusters, clusters).item() == pytest.approx(math.log(5), abs=1e-6)
    assert mutual_information(clusters, torch.full_like(clusters, 0.2)).item() == pytest.approx(0, abs=1e-6)
    one, other = LOGITS.reshape(-1, 4).softmax(1), LOGITS.flip(0).reshape(-1, 4).softmax(1)
    assert mutual_information(one, other) == pytest.approx(mutual_information(other, one))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_finite(dtype):
    logits = (30 * LOGITS).to(dtype).requires_grad_()
    p = logits.float().softmax(1)
    total = (
        slice_segmentation_loss(logits, MASK, dice_weight=1)
        + prediction_entropy(logits)
        + mix_up_loss(logits, MASK, OTHER, torch.full((3,), 0.5))
        + consistency_loss(p, p.flip(0))
        + mutual_information(p.mean((2, 3)), p.mean((2, 3)))
    )
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(logits.grad).all()


def test_gradients_are_those_of_finite_differences():
    z = LOGITS[:2, :, :2, :2].clone().requires_grad_()
    y, other, share = MASK[:2, :2, :2], OTHER[:2, :2, :2], torch.tensor([0.2, 0.7], dtype=torch.float64)
    for function in (
        lambda x: slice_segmentation_loss(x, y, dice_weight=1),
        prediction_entropy,
        lambda x: mix_up_loss(x, y, other, share),
        lambda x: consistency_loss(x.softmax(1), x.flip(0).softmax(1)),
        lambda x: mutual_information(x.softmax(1).mean((2, 3)), x.flip(0).softmax(1).mean((2, 3))),
    ):
        assert torch.autograd.gradcheck(function, z)


def test_a_sum_feeds_its_terms_by_name():
    loss = SummedLoss([SliceSegmentationLoss(), EntropyLoss(), MixUpLoss()], [1.0, 0.5, 0.0])
    assert loss.outputs == ("logits", "logits_unlabelled", "logits_mixed")
    assert loss.targets == ("mask", "mask_other", "mix_share")
    outputs = {"logits": LOGITS, "logits_unlabelled": LOGITS.flip(0), "logits_mixed": LOGITS}
    targets = {"mask": MASK, "mask_other": OTHER, "mix_share": torch.full((3,), 0.5)}
    found = MethodLoss(loss)(outputs, targets)
    expected = slice_segmentation_loss(LOGITS, MASK) + 0.5 * prediction_entropy(LOGITS.flip(0))
    torch.testing.assert_close(found, expected)
    assert set(loss.terms) == {"SliceSegmentationLoss", "EntropyLoss", "MixUpLoss"}


def test_wrong_sums_are_named():
    with pytest.raises(ValueError, match="terms and weights must be as many, at least one, got 1 and 2"):
        SummedLoss([EntropyLoss()], [1, 2])
    with pytest.raises(ValueError, match="unlabelled_weight: expected a number from 0, found -1"):
        SummedLoss([EntropyLoss()], [-1])
    with pytest.raises(ValueError, match="dice_weight: expected a number from 0, found -1"):
        SliceSegmentationLoss(dice_weight=-1)
    assert ConsistencyLoss().outputs == ("probabilities", "expected")
