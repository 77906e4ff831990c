"""Factors on the weights of a loss: by iteration, resumed, in every loss that has them, and what is refused."""

from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from monai_cl.engines import LossSchedule, MeanTeacherLoss
from monai_cl.errors import UserError
from monai_cl.losses import (
    ConsistencyLoss,
    EntropyLoss,
    HybridLoss,
    MethodLoss,
    MixCLLoss,
    SliceSegmentationLoss,
    SummedLoss,
)

RAMP = {"unlabelled": [[2, 0.0], [6, 1.0]]}


class Clustering(nn.Module):
    """Stands for a clustering: the mean of its input."""

    outputs, targets, gathers = ("scores",), (), False

    def forward(self, scores: torch.Tensor) -> torch.Tensor:
        return scores.mean()


def summed(weights=(1.0, 0.5)) -> SummedLoss:
    return SummedLoss([SliceSegmentationLoss(), EntropyLoss()], weights)


def factors_of_a_run(loss, schedule, *, iterations, first=0):
    """The factor of ``unlabelled`` in each iteration."""
    trainer, seen = Engine(lambda engine, batch: seen.append(loss.factors["unlabelled"])), []
    LossSchedule(loss=MethodLoss(loss), schedule=schedule).attach(trainer)
    trainer.state.epoch_length = iterations
    if first:
        trainer.load_state_dict({"iteration": first, "max_epochs": 1, "epoch_length": iterations})
    trainer.run(range(iterations), max_epochs=1, epoch_length=iterations)
    return seen


def test_a_factor_is_linear_between_its_points_and_stays_outside_of_them():
    assert factors_of_a_run(summed(), RAMP, iterations=9) == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1]


def test_a_resumed_run_continues_where_it_was():
    whole = factors_of_a_run(summed(), RAMP, iterations=9)
    assert factors_of_a_run(summed(), RAMP, iterations=9, first=4) == whole[4:]


def test_without_a_schedule_the_weights_stay():
    assert factors_of_a_run(summed(), {}, iterations=3) == [1, 1, 1]
    assert factors_of_a_run(summed(), None, iterations=1) == [1]


def test_of_a_sum_all_terms_but_the_first_are_scheduled():
    torch.manual_seed(0)
    outputs = {"logits": torch.randn(2, 3, 4, 4), "logits_unlabelled": torch.randn(2, 3, 4, 4)}
    targets = {"mask": torch.randint(0, 3, (2, 4, 4))}
    loss = summed()
    loss.factors["unlabelled"] = 0.25
    total = MethodLoss(loss)(outputs, targets)
    first, other = loss.terms.values()
    torch.testing.assert_close(total, first + 0.125 * other)


def test_of_a_hybrid_clustering_and_labels_have_one_each():
    loss = HybridLoss(Clustering(), alpha=2.0, beta=3.0)
    scores, logits, labels = torch.tensor([1.0, 3.0]), torch.zeros(2, 1), torch.tensor([1, 0])
    loss.factors.update(clustering=0.5, supervised=0.1)
    found = loss(scores, logits, labels)
    torch.testing.assert_close(found, 0.5 * 2 * scores.mean() + 0.1 * 3 * torch.tensor(2.0).log())


def test_of_mixcl_each_weight_has_one():
    loss = MixCLLoss(identity_weight=0, label_weight=0, reconstruction_weight=2.0)
    assert loss.factors == {"reconstruction": 1.0}
    outputs = {"reconstruction": torch.ones(3, 1, 4, 4, 4)}
    targets = {"clean": torch.zeros(3, 1, 4, 4, 4)}
    whole = loss(outputs, targets)
    loss.factors["reconstruction"] = 0.25
    torch.testing.assert_close(loss(outputs, targets), whole / 4)
    assert whole > 0


def test_of_a_mean_teacher_its_consistency_has_one():
    network = nn.Conv3d(1, 2, 1)
    loss = MeanTeacherLoss(nn.MSELoss(), network, weight=10.0, labelled=1, seed=0)
    targets = {"label": torch.zeros(1, 2, 2, 2, 2), "expected": torch.full((1, 2, 2, 2, 2), 0.5)}
    logits = torch.randn(2, 2, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    loss.factors["unlabelled"] = 0.0
    without = loss(logits, targets)
    loss.factors["unlabelled"] = 0.5
    torch.testing.assert_close(loss(logits, targets) - without, 5 * loss.diagnostics["loss/consistency"])


@pytest.mark.parametrize(
    ("loss", "schedule", "message"),
    [
        (summed(), {"consistency": [[0, 1]]}, r"terms of this loss \(unlabelled\), found consistency"),
        (summed((1.0, 0.0)), RAMP, "none: this method has one term alone"),
        (SliceSegmentationLoss(), RAMP, "found unlabelled"),
        (ConsistencyLoss(), RAMP, "found unlabelled"),
        (MixCLLoss(label_weight=0), {"label": [[0, 1]]}, r"\(identity, reconstruction\), found label"),
        (summed(), {"unlabelled": [[5, 1], [5, 0]]}, "iterations ascending"),
        (summed(), {"unlabelled": [[-1, 1]]}, "ascending from 0"),
        (summed(), {"unlabelled": [[0, -1]]}, "factors of at least 0"),
        (summed(), {"unlabelled": [[0, float("nan")]]}, "factors of at least 0"),
        (summed(), {"unlabelled": []}, "loss_schedule: unlabelled: expected points"),
        (summed(), {"unlabelled": 0.5}, r"such as \[\[0, 0.0\], \[500, 1.0\]\]"),
        (summed(), {"unlabelled": [0, 1]}, "loss_schedule: unlabelled"),
    ],
)
def test_what_is_no_schedule_of_this_loss_is_refused(loss, schedule, message):
    with pytest.raises(UserError, match=message):
        LossSchedule(loss=loss, schedule=schedule)
