"""Voxels that were not annotated: whatever a network says of them, neither loss nor Dice changes."""

from __future__ import annotations

import pytest
import torch
from monai.losses import DiceCELoss
from monai.metrics import DiceMetric

from monai_cl.data import load_data_list
from monai_cl.data.datalist.json_files import write_json
from monai_cl.engines import AnnotatedDiceCELoss, AnnotatedVoxelsd, training_items, validation_items
from monai_cl.errors import UserError
from monai_cl.transforms.label_table import IGNORED

OPTIONS = {"to_onehot_y": True, "softmax": True}


def batch(*, ignored: bool) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (2, 1, 4, 5, 6), generator=generator)
    if ignored:
        labels[0, :, 2:] = IGNORED
        labels[1, :, :, 0] = IGNORED
    return logits, labels


def test_the_loss_is_monais_where_all_voxels_are_annotated():
    logits, labels = batch(ignored=False)
    assert torch.equal(AnnotatedDiceCELoss(**OPTIONS)(logits, labels), DiceCELoss(**OPTIONS)(logits, labels))


def test_the_loss_is_monais_of_the_annotated_voxels():
    logits, labels = batch(ignored=True)
    monai = DiceCELoss(**OPTIONS)
    expected = (monai(logits[:1, :, :2], labels[:1, :, :2]) + monai(logits[1:, :, :, 1:], labels[1:, :, :, 1:])) / 2
    torch.testing.assert_close(AnnotatedDiceCELoss(**OPTIONS)(logits, labels), expected)


def test_dice_of_a_whole_batch_stays_that_of_its_annotated_voxels():
    """The recipe `strong`: an organ that one crop lacks costs nothing there, whether or not voxels are ignored."""
    weight = torch.tensor([0.1, 1.0, 1.0], dtype=torch.float64)
    options = {**OPTIONS, "batch": True, "include_background": False, "weight": weight}
    logits, labels = batch(ignored=True)
    labels[0][labels[0] == 2] = 1  # the first crop lacks an organ
    keep = (labels != IGNORED)[:, 0]
    flat = torch.cat([z[:, k] for z, k in zip(logits, keep, strict=True)], dim=1)  # (C, voxels)
    truth = torch.cat([y[0][k] for y, k in zip(labels, keep, strict=True)])
    p, hot = flat.softmax(0), torch.nn.functional.one_hot(truth, 3).T.double()
    dice = (2 * (p * hot).sum(1) + 1e-5) / (p.sum(1) + hot.sum(1) + 1e-5)
    cross_entropy = -(weight[truth] * flat.log_softmax(0).gather(0, truth[None])[0]).sum() / weight[truth].sum()
    expected = 1 - dice[1:].mean() + cross_entropy
    torch.testing.assert_close(AnnotatedDiceCELoss(**options)(logits, labels), expected)
    # a crop of which nothing is annotated leaves the loss of the other
    labels[1] = IGNORED
    alone = DiceCELoss(**options)(logits[:1, :, :2], labels[:1, :, :2])
    torch.testing.assert_close(AnnotatedDiceCELoss(**options)(logits, labels), alone)
    nothing = AnnotatedDiceCELoss(**options)(logits.requires_grad_(), torch.full_like(labels, IGNORED))
    nothing.backward()
    assert (nothing.item(), logits.grad.abs().max().item()) == (0, 0)


def test_no_gradient_reaches_what_was_not_annotated():
    logits, labels = batch(ignored=True)
    logits.requires_grad_()
    AnnotatedDiceCELoss(**OPTIONS)(logits, labels).backward()
    ignored = (labels == IGNORED).expand_as(logits)
    assert logits.grad[ignored].abs().max() == 0
    assert logits.grad[~ignored].abs().min() > 0


def test_a_sample_without_annotated_voxels_costs_nothing_and_has_a_gradient():
    logits, labels = batch(ignored=False)
    logits.requires_grad_()
    loss = AnnotatedDiceCELoss(**OPTIONS)(logits, torch.full_like(labels, IGNORED))
    loss.backward()
    assert (loss.item(), logits.grad.abs().max().item()) == (0, 0)


@pytest.mark.parametrize("filled", [0, 1, 2])
def test_dice_is_that_of_the_annotated_voxels_whatever_is_predicted_elsewhere(filled):
    logits, labels = batch(ignored=True)
    prediction, label = logits[0].argmax(0, keepdim=True), labels[0]
    prediction[:, 2:] = filled
    item = AnnotatedVoxelsd(["pred", "label"])({"pred": prediction, "label": label})
    metric = DiceMetric(include_background=False, num_classes=3)
    metric([item["pred"]], [item["label"]])
    cut = DiceMetric(include_background=False, num_classes=3)
    cut([prediction[:, :2]], [label[:, :2]])
    torch.testing.assert_close(metric.aggregate(), cut.aggregate())


def test_annotated_class_maps_stay_as_they_are():
    item = {"pred": torch.ones(1, 2, 2, 2), "label": torch.zeros(1, 2, 2, 2)}
    assert AnnotatedVoxelsd(["pred", "label"])(item) == item


@pytest.mark.parametrize("items", [training_items, validation_items])
def test_a_config_that_counts_every_voxel_refuses_a_list_that_ignores(tmp_path, items):
    scans = [{"image": f"{i}.nii.gz", "label": f"l{i}.nii.gz", "fold": i} for i in range(2)]
    document = {"name": "a", "labels": {"0": "background", "1": "liver"}, "ignore": 3, "training": scans}
    data_list = load_data_list(write_json(tmp_path / "list.json", document))
    with pytest.raises(UserError, match='"ignore" in a; use spleen_unetr_segmentation'):
        items(data_list, fold=0)
    assert len(items(data_list, fold=0, partly_annotated=True)) == 1


@pytest.mark.parametrize("ignored", [False, True])
def test_a_loss_that_has_seen_the_labels_on_the_host_does_not_ask_the_device_and_is_the_same(ignored, monkeypatch):
    logits, labels = batch(ignored=ignored)
    loss = AnnotatedDiceCELoss(**OPTIONS)
    expected = loss(logits, labels)
    loss.look_at(labels)
    assert loss.complete is not ignored
    asked = []
    monkeypatch.setattr(
        torch.Tensor, "all", lambda tensor, original=torch.Tensor.all: asked.append(1) or original(tensor)
    )
    assert torch.equal(loss(logits, labels), expected)
    assert not asked
    other, others = batch(ignored=not ignored)  # of which it has not been told
    assert torch.equal(loss(other, others), AnnotatedDiceCELoss(**OPTIONS)(other, others))
