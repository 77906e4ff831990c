"""Weights as shares of the encoder's gradient: by value, of terms of any size, resumed, and beside a schedule."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from torch import nn

from monai_cl.engines import BalancedTerms
from monai_cl.engines.handlers.attaching import kept_states
from monai_cl.engines.handlers.balanced_terms import balance
from monai_cl.errors import UserError
from monai_cl.losses import MixCLLoss

WEIGHTS = {"identity_weight": 1.0, "label_weight": 2.0, "reconstruction_weight": 0.0, "supervised_weight": 0.5}


class Encoder(nn.Module):
    """Three numbers, of which two terms make gradients of lengths 3 and 400."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def encoder_parameters(self) -> list[nn.Parameter]:
        return [self.weight]


def terms_of(network: Encoder, lengths: tuple[float, ...]) -> dict[str, torch.Tensor]:
    unit = torch.tensor([2 / 3, 2 / 3, 1 / 3])
    names = ("identity", "label", "supervised")
    return {name: length * (network.weight @ unit) for name, length in zip(names, lengths)}


def loss() -> MixCLLoss:
    return MixCLLoss(**WEIGHTS, class_counts=[2])


def run(lengths: list[tuple[float, ...]], *, every: int = 1, state=None, first: int = 0, curves=None):
    """A trainer in whose iteration i the terms have gradients of lengths[i]; the loss and the handler behind it."""
    network, made = Encoder(), loss()
    engine = Engine(lambda engine, number: engine.fire_event(IterationEvents.LOSS_COMPLETED))
    engine.register_events(*IterationEvents)

    @engine.on(Events.ITERATION_STARTED)
    def _(engine: Engine) -> None:
        made.terms = terms_of(network, lengths[engine.state.iteration - 1])

    record = SimpleNamespace(add=lambda name, iteration, value: curves.append((name, iteration, float(value))))
    handler = BalancedTerms(network=network, loss=made, every=every, recorder=None if curves is None else record)
    handler.attach(engine)
    if state is not None:
        handler.load_state_dict(copy.deepcopy(state))
        engine.load_state_dict({"iteration": first, "max_epochs": 1, "epoch_length": len(lengths)})
    engine.run(range(len(lengths)), max_epochs=1, epoch_length=len(lengths))
    return made, handler, engine


def pulls(made: MixCLLoss, lengths: tuple[float, ...]) -> list[float]:
    """Length of each weighted term's gradient."""
    return [made.weights[n] * float(f) * length for (n, f), length in zip(made.balance.items(), lengths)]


def test_gradients_become_as_long_as_the_weights_say_and_keep_their_order_of_magnitude():
    made, _, _ = run([(3.0, 400.0, 0.2)])
    found = pulls(made, (3.0, 400.0, 0.2))
    mean = (3.0**1 * 400.0**2 * 0.2**0.5) ** (1 / 3.5)
    assert found == pytest.approx([1 * mean, 2 * mean, 0.5 * mean], rel=1e-5)


def test_equal_gradients_change_nothing_and_a_term_without_one_neither():
    weights = torch.tensor([1.0, 5.0, 0.1])
    assert torch.allclose(balance(torch.full((3,), 7.0), weights), torch.ones(3))
    assert torch.allclose(balance(torch.tensor([2.0, 0.0, 2.0]), weights), torch.ones(3))
    assert torch.equal(balance(torch.zeros(3), weights), torch.ones(3))
    assert balance(torch.tensor([1e-12, 1.0, 1.0]), weights)[0] == 1000


def test_the_loss_takes_the_factors():
    made = loss()
    made.terms = {}
    made.balance = {"identity": torch.tensor(3.0), "label": torch.tensor(0.25)}
    made.factors["label"] = 2.0  # of a schedule
    z = torch.randn(3, 4, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    outputs = {"levels": [z[:2], z], "segmentation": torch.zeros(3, 2, 4, 4, 4)}
    some = torch.arange(8)[None]
    targets = {
        **{"voxels1": some, "voxels2": some, "voxel_labels1": some % 2, "voxel_labels2": some % 2},
        **{"labels": torch.zeros(2, 1, 4, 4, 4, dtype=torch.long), "dataset": torch.zeros(1, dtype=torch.long)},
    }
    total = made(outputs, targets)
    expected = 3 * made.terms["identity"] + 2.0 * 2.0 * 0.25 * made.terms["label"] + 0.5 * made.terms["supervised"]
    assert torch.isclose(total, expected)


def test_it_measures_now_and_then_and_one_odd_step_does_not_decide():
    curves: list[tuple[str, int, float]] = []
    lengths = [(1.0, 1.0, 1.0)] * 10 + [(100.0, 1.0, 1.0)]
    made, _, _ = run(lengths, every=5, curves=curves)
    assert sorted({iteration for _, iteration, _ in curves}) == [1, 6, 11]
    assert {name for name, _, _ in curves} == {"balance/identity", "balance/label", "balance/supervised"}
    ratio = float(made.balance["label"] / made.balance["identity"])
    assert ratio == pytest.approx(100 ** (1 / (1 + 0.8 + 0.64)), rel=1e-5)  # the newest of three


def test_a_resumed_run_is_the_same_run():
    lengths = [(1.0 + i, 2.0, 5.0 / (1 + i)) for i in range(6)]
    whole, _, _ = run(lengths)
    _, half, engine = run(lengths[:3])
    assert kept_states(engine)["balanced_terms"] is half
    resumed, _, _ = run(lengths, state=half.state_dict(), first=3)
    assert all(torch.equal(whole.balance[name], resumed.balance[name]) for name in whole.balance)


def test_without_an_interval_nothing_happens_and_a_wrong_one_is_refused():
    made, _, engine = run([(3.0, 400.0, 0.2)], every=0)
    assert made.balance == {}
    assert "balanced_terms" not in kept_states(engine)
    for wrong in (-1, 2.5, True):
        with pytest.raises(UserError, match=f"balance_every: expected an integer >= 0, iterations, found {wrong}"):
            BalancedTerms(network=Encoder(), loss=loss(), every=wrong)
