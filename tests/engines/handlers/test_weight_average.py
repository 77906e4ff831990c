"""The average of a training's weights: its values, what is deployed of it, and that a resumed run continues it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from torch import nn

from monai_cl.data import PositionSampler
from monai_cl.engines import Checkpoints, WeightAverage
from monai_cl.errors import UserError
from monai_cl.networks.foreign.reading import read_weights

pytestmark = pytest.mark.filterwarnings("default")


class Points(torch.utils.data.Dataset):
    def __getitem__(self, position: int) -> dict[str, torch.Tensor]:
        drawn = torch.Generator().manual_seed(position)
        return {"image": torch.randn(3, generator=drawn), "label": torch.randn(2, generator=drawn)}


def trained(
    folder: Path, *, momentum: float, epochs: int = 3, skipped: tuple[int, ...] = ()
) -> tuple[WeightAverage, list[dict[str, torch.Tensor]]]:
    """Two steps an epoch on a linear layer and batch norm; also the weights behind each step of this call."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    averaged = WeightAverage(network, momentum=momentum)
    sampler, seen = PositionSampler(batch_size=4), []
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        epoch_length=2,
        train_data_loader=torch.utils.data.DataLoader(Points(), sampler=sampler, batch_size=4),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.5),
        loss_function=nn.MSELoss(),
        train_handlers=[_Seen(network, seen, skipped), averaged],
        decollate=False,
    )
    save = {"network": network, "optimizer": trainer.optimizer}
    Checkpoints(save=save, output_dir=folder, sampler=sampler, deployed=averaged.network).attach(trainer)
    trainer.run()
    return averaged, seen


class _Seen:
    """Notes the weights behind each step, and tells of some that they were left out."""

    def __init__(self, network: nn.Module, seen: list[dict[str, torch.Tensor]], skipped: tuple[int, ...]) -> None:
        self.network, self.seen, self.skipped = network, seen, skipped

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note)

    def _note(self, engine: Engine) -> None:
        engine.state.step_skipped = engine.state.iteration in self.skipped
        self.seen.append({name: tensor.clone() for name, tensor in self.network.state_dict().items()})


def expected(seen: list[dict[str, torch.Tensor]], momentum: float) -> dict[str, torch.Tensor]:
    mean: dict[str, Any] = {}
    for t, weights in enumerate(seen):
        m = min(1 - 1 / (t + 1), momentum)
        for name, tensor in weights.items():
            mean[name] = m * mean[name] + (1 - m) * tensor if t and tensor.is_floating_point() else tensor
    return mean


@pytest.mark.parametrize("momentum", [0.6, 0.999])
def test_model_pt_and_what_is_read_from_a_checkpoint_are_the_average(tmp_path, momentum):
    averaged, seen = trained(tmp_path, momentum=momentum)
    assert len(seen) == 6
    own = averaged.network.state_dict()
    for name, tensor in expected(seen, momentum).items():
        torch.testing.assert_close(own[name], tensor, msg=name)
    assert (own["0.weight"] - seen[-1]["0.weight"]).abs().max() > 1e-3
    for file in ("model.pt", "checkpoint_iteration=6.pt"):
        read = read_weights(tmp_path / file)
        assert all(torch.equal(read[name], tensor) for name, tensor in own.items()), file
    # a plain mean, as long as 1 - 1/(t + 1) is below the momentum
    mean = torch.stack([weights["0.weight"] for weights in seen]).mean(0)
    assert torch.allclose(own["0.weight"], mean, atol=1e-6) == (momentum == 0.999)


def test_a_step_that_was_left_out_does_not_count(tmp_path):
    averaged, seen = trained(tmp_path, momentum=0.999, skipped=(2, 3))
    kept = [weights for k, weights in enumerate(seen, start=1) if k not in (2, 3)]
    torch.testing.assert_close(averaged.network.state_dict(), expected(kept, 0.999))


def test_the_training_itself_does_not_notice_and_none_is_the_network_itself(tmp_path):
    _, with_it = trained(tmp_path / "a", momentum=0.9)
    without, plain = trained(tmp_path / "b", momentum=0.0)
    assert without.network is without.trained
    for one, other in zip(with_it, plain):
        assert all(torch.equal(one[name], other[name]) for name in one)
    content = torch.load(tmp_path / "b" / "checkpoint_iteration=6.pt", weights_only=True)
    assert "weight_average" not in content["handlers"]
    assert torch.equal(torch.load(tmp_path / "b" / "model.pt", weights_only=True)["0.weight"], plain[-1]["0.weight"])


def test_a_resumed_run_has_the_average_of_the_uninterrupted_one(tmp_path):
    whole, _ = trained(tmp_path / "whole", momentum=0.9)
    trained(tmp_path / "cut", momentum=0.9, epochs=1)
    resumed, seen = trained(tmp_path / "cut", momentum=0.9)
    assert len(seen) == 4
    assert int(resumed.steps) == 6
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], tensor), name


def test_a_run_of_before_continues_with_an_average_of_the_steps_from_there(tmp_path):
    trained(tmp_path, momentum=0.0, epochs=1)
    resumed, seen = trained(tmp_path, momentum=0.999)
    torch.testing.assert_close(resumed.network.state_dict(), expected(seen, 0.999))


def test_a_run_that_goes_on_without_the_average_says_so(tmp_path, caplog):
    trained(tmp_path, momentum=0.9, epochs=1)
    trained(tmp_path, momentum=0.9, epochs=2)
    assert "is not continued" not in caplog.text
    trained(tmp_path, momentum=0.0)
    assert "checkpoint_iteration=4.pt: its weight_average is not continued: this run is without it" in caplog.text


@pytest.mark.parametrize("momentum", [-0.1, 1.0, 2.0, float("nan")])
def test_another_momentum_is_refused(momentum):
    with pytest.raises(UserError, match="weight_average: expected a number from 0"):
        WeightAverage(nn.Linear(1, 1), momentum=momentum)
