"""The supervised term: MONAI's DiceCELoss, restricted to the classes of a sample's own data set."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DiceCELoss

from monai_cl.losses import supervised_loss

COUNTS = [3, 2, 5]


def batch(dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(0)
    dataset = torch.tensor([2, 0, 1, 2])
    logits = torch.randn(4, sum(COUNTS), 4, 5, 3, generator=generator, dtype=torch.float64).to(dtype)
    rows = [torch.randint(0, COUNTS[k], (1, 4, 5, 3), generator=generator) for k in dataset]
    return logits, torch.stack(rows), dataset


def test_agrees_with_monai_on_the_channels_of_the_data_set():
    logits, labels, dataset = batch()
    oracle = DiceCELoss(to_onehot_y=True, softmax=True)
    expected = []
    for row, k in enumerate(dataset.tolist()):
        first = sum(COUNTS[:k])
        expected.append(oracle(logits[row : row + 1, first : first + COUNTS[k]], labels[row : row + 1]))
    loss = supervised_loss(logits, labels, dataset, class_counts=COUNTS)
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_channels_of_other_data_sets_have_no_gradient():
    logits, labels, dataset = batch()
    logits.requires_grad_()
    supervised_loss(logits[1:2], labels[1:2], dataset[1:2], class_counts=COUNTS).backward()
    assert logits.grad[1, :3].abs().min() > 0
    assert logits.grad[1, 3:].abs().max() == 0


def test_a_certain_and_right_answer_costs_nothing():
    _, labels, dataset = batch()
    logits = torch.full((4, sum(COUNTS), 4, 5, 3), -50.0)
    for row, k in enumerate(dataset.tolist()):
        logits[row].scatter_(0, labels[row] + sum(COUNTS[:k]), 50.0)
    assert supervised_loss(logits, labels, dataset, class_counts=COUNTS).item() == pytest.approx(0, abs=1e-5)


def test_samples_of_unlabelled_scans_count_as_nought_and_have_no_gradient():
    logits, labels, dataset = batch()
    logits.requires_grad_()
    some = labels.clone()
    some[[0, 2]] = -100
    loss = supervised_loss(logits, some, dataset, class_counts=COUNTS)
    alone = supervised_loss(logits[[1, 3]], labels[[1, 3]], dataset[[1, 3]], class_counts=COUNTS)
    torch.testing.assert_close(loss, alone / 2)
    loss.backward()
    assert [float(row.abs().max()) > 0 for row in logits.grad] == [False, True, False, True]
    # a data set without labels has one channel, which no sample moves
    more = torch.cat([logits.detach(), torch.zeros_like(logits[:, :1])], dim=1)
    unlabelled = torch.where(torch.arange(4) == 0, 3, dataset)
    torch.testing.assert_close(supervised_loss(more, some, unlabelled, class_counts=[*COUNTS, 1]), alone / 2)


def test_gradient_is_right():
    logits, labels, dataset = batch()
    small = logits[:2, :, :2, :2, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: supervised_loss(x, labels[:2, :, :2, :2, :2], dataset[:2], class_counts=COUNTS), (small,)
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite(dtype):
    logits, labels, dataset = batch(dtype)
    logits = (logits * 1000).requires_grad_()
    with torch.autocast("cpu", dtype=dtype):
        loss = supervised_loss(logits, labels, dataset, class_counts=COUNTS)
    assert loss.dtype == torch.float32
    loss.backward()
    assert torch.isfinite(logits.grad).all()


def test_labels_of_any_integer_type_are_taken():
    logits, labels, dataset = batch()
    losses = [supervised_loss(logits, labels.to(t), dataset, class_counts=COUNTS) for t in (torch.uint8, torch.int16)]
    assert losses[0].item() == losses[1].item()


@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_that_the_data_set_does_not_have_is_nan(label):
    logits, labels, dataset = batch()
    assert supervised_loss(logits, labels, dataset, class_counts=COUNTS).isfinite()
    labels[2, 0, 0, 0, 0] = label
    assert supervised_loss(logits, labels, dataset, class_counts=COUNTS).isnan()


def test_wrong_arguments_are_named():
    logits, labels, dataset = batch()
    with pytest.raises(ValueError, match=r"logits must be \(B, 9, H, W, D\) for class_counts \[4, 5\], got \(4, 10, "):
        supervised_loss(logits, labels, dataset, class_counts=[4, 5])
    for counts in ([0, 10], [1] * 10):
        with pytest.raises(ValueError, match=r"class_counts must hold at least 1 class .* per data set and 2 of one"):
            supervised_loss(logits, labels, dataset, class_counts=counts)
    with pytest.raises(ValueError, match=r"dataset index must be in \[0, 3\), got 3"):
        supervised_loss(logits, labels, torch.tensor([3, 0, 0, 0]), class_counts=COUNTS)
    with pytest.raises(ValueError, match="dataset must have 4 entries, got 3"):
        supervised_loss(logits, labels, dataset[:3], class_counts=COUNTS)
    with pytest.raises(ValueError, match=r"labels must be \(4, 1, 4, 5, 3\)"):
        supervised_loss(logits, labels[:2], dataset, class_counts=COUNTS)


def test_ignored_voxels_take_no_part():
    logits, labels, dataset = batch()
    whole = supervised_loss(logits[..., :2], labels[..., :2], dataset, class_counts=COUNTS)
    labels[..., 2] = -100
    logits.requires_grad_()
    loss = supervised_loss(logits, labels, dataset, class_counts=COUNTS)
    torch.testing.assert_close(loss, whole)
    loss.backward()
    assert logits.grad[..., 2].abs().max() == 0
    nothing = supervised_loss(logits, torch.full_like(labels, -100), dataset, class_counts=COUNTS)
    assert nothing.item() == 0  # no voxel: no cross-entropy, and Dice of nothing against nothing is 1
