"""MixCL's label consistency: which pairs count, the ratio, and its numbers at low temperature."""

from __future__ import annotations

import math

import pytest
import torch

from monai_cl.losses import label_consistency_loss, label_consistency_of_pairs
from tests.oracles import label_consistency_by_loops


def draw(n: int, channels: int = 6, classes: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, channels, generator=generator, dtype=torch.float64).to(dtype)
    return z, torch.randint(0, classes, (n,), generator=generator)


@pytest.mark.parametrize("per_anchor", [False, True])
def test_equal_features_give_the_logarithm_of_the_share_of_positives(per_anchor):
    z = torch.ones(3, 5, dtype=torch.float64)
    labels1, labels2 = torch.tensor([1, 1, 0]), torch.tensor([1, 2, 0])
    # Positive: (1,1) twice. Counted: all nine but background-background.
    loss = label_consistency_loss(z, labels1, z, labels2, per_anchor=per_anchor).item()
    assert loss == pytest.approx(math.log(3) if per_anchor else math.log(8 / 2), abs=1e-12)


def test_two_directions_at_right_angles():
    z1, z2 = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 5.0]])
    loss = label_consistency_loss(z1, torch.tensor([1]), z2, torch.tensor([1, 2]), temperature=0.5)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-6)


@pytest.mark.parametrize("per_anchor", [False, True])
@pytest.mark.parametrize("background", [0, 2])
@pytest.mark.parametrize("temperature", [0.07, 0.1, 1.0])
def test_agrees_with_loops(per_anchor, background, temperature):
    (z1, l1), (z2, l2) = draw(9), draw(11, seed=1)
    options = {"temperature": temperature, "background": background, "per_anchor": per_anchor}
    expected = label_consistency_by_loops(z1.numpy(), l1.tolist(), z2.numpy(), l2.tolist(), **options)
    assert label_consistency_loss(z1, l1, z2, l2, **options).item() == pytest.approx(expected, abs=1e-10)


def test_background_pairs_take_no_part():
    e = torch.eye(4, dtype=torch.float64)
    organ, apart, alike, labels = e[[0, 1]], e[[0, 2]], e[[0, 1]], torch.tensor([1, 0])
    # Only the cosine of the two background voxels differs, 0 or 1.
    loss = label_consistency_loss(organ, labels, apart, labels)
    assert label_consistency_loss(organ, labels, alike, labels).item() == loss.item()
    # As voxels of an organ the same two do count.
    organs = torch.tensor([1, 2])
    assert label_consistency_loss(organ, organs, alike, organs) < label_consistency_loss(organ, organs, apart, organs)


def test_a_single_class_still_has_negatives():
    (z1, _), (z2, _) = draw(8), draw(8, seed=1)
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    assert label_consistency_loss(z1, labels, z2, labels) > 0


@pytest.mark.parametrize("per_anchor", [False, True])
@pytest.mark.parametrize(
    ("labels1", "labels2"), [([0, 0, 0], [0, 0, 0]), ([1, 1, 0], [2, 0, 0]), ([0, 0, 0], [1, 2, 3])]
)
def test_no_positive_pair_gives_zero_attached_to_the_graph(labels1, labels2, per_anchor):
    z1, z2 = (draw(3, seed=s, dtype=torch.float32)[0].requires_grad_() for s in (0, 1))
    loss = label_consistency_loss(z1, torch.tensor(labels1), z2, torch.tensor(labels2), per_anchor=per_anchor)
    assert loss.item() == 0.0
    loss.backward()
    assert torch.equal(z1.grad, torch.zeros_like(z1))
    assert torch.equal(z2.grad, torch.zeros_like(z2))


def test_an_empty_draw_gives_zero_attached_to_the_graph():
    z1, l1 = draw(4)
    empty = torch.zeros(0, 6, dtype=torch.float64, requires_grad=True)
    for per_anchor in (False, True):
        loss = label_consistency_loss(empty, l1[:0], z1, l1, per_anchor=per_anchor)
        assert loss.item() == 0.0
        loss.backward()


@pytest.mark.parametrize("per_anchor", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_finite_at_a_temperature_of_one_hundredth(dtype, per_anchor):
    z1, l1 = draw(40, dtype=dtype)
    # The other patch's voxels point the opposite way where the class agrees: logits of ±100.
    z2, l2 = (-z1).clone(), l1
    z1.requires_grad_()
    loss = label_consistency_loss(z1, l1, z2, l2, temperature=0.01, per_anchor=per_anchor)
    assert torch.isfinite(loss)
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    loss.backward()
    assert torch.isfinite(z1.grad).all()


def test_autocast_changes_nothing():
    (z1, l1), (z2, l2) = draw(20, dtype=torch.float32), draw(20, seed=1, dtype=torch.float32)
    expected = label_consistency_loss(z1, l1, z2, l2, temperature=0.01)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert label_consistency_loss(z1, l1, z2, l2, temperature=0.01).item() == expected.item()


@pytest.mark.parametrize("per_anchor", [False, True])
def test_gradient_is_right(per_anchor):
    (z1, l1), (z2, l2) = draw(5, 3), draw(4, 3, seed=1)
    z1.requires_grad_()
    z2.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b: label_consistency_loss(a, l1, b, l2, temperature=0.5, per_anchor=per_anchor), (z1, z2)
    )


def test_patches_may_be_swapped_voxels_reordered_and_features_scaled():
    (z1, l1), (z2, l2) = draw(9), draw(7, seed=1)
    loss = label_consistency_loss(z1, l1, z2, l2)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(label_consistency_loss(z2, l2, z1, l1), loss)
    torch.testing.assert_close(label_consistency_loss(z1[order], l1[order], z2, l2), loss)
    torch.testing.assert_close(label_consistency_loss(17 * z1, l1, z2 / 23, l2), loss)


def test_a_zero_feature_vector_has_a_finite_gradient():
    (z1, l1), (z2, l2) = draw(6, dtype=torch.float32), draw(6, seed=1, dtype=torch.float32)
    z1[0] = 0
    z1.requires_grad_()
    label_consistency_loss(z1, l1, z2, l2).backward()
    assert torch.isfinite(z1.grad).all()


@pytest.mark.parametrize("per_anchor", [False, True])
def test_pairs_of_a_batch_are_judged_alone_and_padding_is_ignored(per_anchor):
    draws = [(draw(6, seed=2 * b), draw(6, seed=2 * b + 1)) for b in range(3)]
    draws[1][0][1].zero_()  # a pair without a positive
    stacked = [torch.stack([d[i][j] for d in draws]) for i in (0, 1) for j in (0, 1)]
    valid1, valid2 = torch.ones(3, 6, dtype=torch.bool), torch.ones(3, 6, dtype=torch.bool)
    valid1[0, 4:], valid2[2, 2:4] = False, False
    losses, has_positive = label_consistency_of_pairs(*stacked, valid1=valid1, valid2=valid2, per_anchor=per_anchor)
    for b, ((z1, l1), (z2, l2)) in enumerate(draws):
        v1, v2 = valid1[b], valid2[b]
        alone = label_consistency_loss(z1[v1], l1[v1], z2[v2], l2[v2], per_anchor=per_anchor)
        torch.testing.assert_close(losses[b], alone)
    assert has_positive.tolist() == [True, False, True]


def test_wrong_arguments_are_named():
    z, labels = draw(4)
    with pytest.raises(ValueError, match=r"temperature must be > 0, got 0"):
        label_consistency_loss(z, labels, z, labels, temperature=0)
    with pytest.raises(ValueError, match=r"z2 must be \(n, C\) and labels2 \(n,\), got \(4, 6\) and \(3,\)"):
        label_consistency_loss(z, labels, z, labels[:3])
    with pytest.raises(ValueError, match="agree in batch size and channel count"):
        label_consistency_loss(z, labels, z[:, :5], labels)
