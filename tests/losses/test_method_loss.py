"""A loss says what it takes, and is fed that by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from monai_cl.losses import GatheredLoss, MethodLoss


class Weighted(nn.Module):
    """Sum of two outputs, each weighted by a target."""

    outputs, targets, gathers = ("first", "second"), ("one", "two"), False

    def forward(self, first, second, one, two):
        return (first * one + second * two).sum()


OUTPUTS = {"second": torch.tensor([2.0]), "unused": None, "first": torch.tensor([1.0])}
TARGETS = {"two": torch.tensor([100.0]), "more": None, "one": torch.tensor([10.0])}


def test_outputs_and_targets_are_given_in_the_order_the_loss_names_them():
    assert MethodLoss(Weighted())(OUTPUTS, TARGETS) == 1 * 10 + 2 * 100


def test_what_a_loss_takes_can_be_of_the_instance():
    loss = Weighted()
    loss.targets = ("two", "one")  # such as labels that a config names
    method = MethodLoss(loss)
    assert method.targets == ("two", "one")
    assert method(OUTPUTS, TARGETS) == 1 * 100 + 2 * 10


def test_a_loss_over_pairs_is_gathered_and_a_mean_is_not():
    loss = Weighted()
    assert MethodLoss(loss).loss is loss
    loss.gathers = True
    assert isinstance(MethodLoss(loss).loss, GatheredLoss)


def test_what_is_lacking_is_named():
    with pytest.raises(ValueError, match="Weighted needs targets one, two, got one"):
        MethodLoss(Weighted())(OUTPUTS, {"one": None})
    with pytest.raises(ValueError, match="Weighted needs outputs first, second, got none"):
        MethodLoss(Weighted())({}, TARGETS)
    with pytest.raises(ValueError, match="loss must have the attributes outputs, targets and gathers, outputs is miss"):
        MethodLoss(nn.L1Loss())
