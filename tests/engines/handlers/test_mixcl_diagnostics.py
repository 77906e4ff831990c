"""What a MixCL run shows of itself, on a network that trains for real."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from monai.engines import SupervisedTrainer
from monai.inferers import SimpleInferer

from monai_cl.engines import MixCLDiagnostics, MixCLPrepareBatch, RunRecorder
from monai_cl.engines.handlers.mixcl_diagnostics import slice_row
from monai_cl.losses import MixCLLoss
from monai_cl.networks import MixCLNet

SIZE = 32
pytestmark = pytest.mark.filterwarnings("ignore:.*lr_scheduler.*:UserWarning")


def batches(count: int) -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    label = torch.zeros(1, 1, SIZE, SIZE, SIZE, dtype=torch.uint8)
    voxels = torch.arange(16)[None] * 40

    def one(position: int) -> dict:
        images = {f"image{i}": torch.rand(1, 1, SIZE, SIZE, SIZE, generator=generator) for i in (1, 2)}
        more = {f"label{i}": label for i in (1, 2)} | {f"voxels{i}": voxels for i in (1, 2)}
        more |= {f"voxel_labels{i}": torch.arange(16)[None] % 2 for i in (1, 2)}
        return {**images, **more, "position": torch.tensor([position]), "dataset": torch.tensor([0])}

    return [one(position) for position in range(count)]


def train(folder: Path, iterations: int = 2, *, weights: dict | None = None, **options) -> RunRecorder:
    """A training with diagnostics; returns its recorder."""
    weights = (
        {"identity_weight": 1.0, "label_weight": 0.5, "reconstruction_weight": 0.0} if weights is None else weights
    )
    torch.manual_seed(0)
    network = MixCLNet(
        img_size=SIZE, feature_size=4, hidden_size=12, mlp_dim=12, num_heads=2, levels=[0, 1],
        reconstruct=weights["reconstruction_weight"] > 0,
    )  # fmt: skip
    loss = MixCLLoss(**weights, identity_levels=[0, 1])
    recorder = RunRecorder(
        kind="pretraining", bundle="b", output_dir=folder, seed=0, data_list={}, interval=1,
        tensorboard=options.pop("tensorboard", False),
    )  # fmt: skip
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=batches(iterations),
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.01),
        loss_function=loss,
        inferer=SimpleInferer(),
        prepare_batch=MixCLPrepareBatch(seed=0),
        train_handlers=[MixCLDiagnostics(network=network, loss=loss, recorder=recorder, **options), recorder],
        decollate=False,
    )
    trainer.run()
    return recorder


def test_terms_are_logged_before_their_weights_and_add_up_to_the_loss(tmp_path):
    curves = train(tmp_path).curves
    for place in range(2):
        identity, label, loss = (curves[name][place][1] for name in ("identity", "label", "loss"))
        assert loss == pytest.approx(identity + 0.5 * label, rel=1e-5)
    assert "reconstruction" not in curves


def test_gradient_norms_are_those_of_the_weighted_terms(tmp_path):
    one = train(tmp_path / "one", 1).curves
    weights = {"identity_weight": 1.0, "label_weight": 5.0, "reconstruction_weight": 0.0}
    ten = train(tmp_path / "ten", 1, weights=weights).curves
    assert ten["encoder_gradient/label"][0][1] == pytest.approx(10 * one["encoder_gradient/label"][0][1], rel=1e-4)
    assert ten["encoder_gradient/identity"][0][1] == pytest.approx(one["encoder_gradient/identity"][0][1], rel=1e-4)


def test_gradient_norms_and_ranks_come_every_so_often(tmp_path):
    curves = train(tmp_path, 3, every=2).curves
    assert [point[0] for point in curves["encoder_gradient/identity"]] == [1, 3]
    assert [point[0] for point in curves["effective_rank/level1"]] == [1, 3]
    assert all(1 <= value <= 16 for _, value in curves["effective_rank/level1"])
    assert [point[0] for point in curves["identity"]] == [1, 2, 3]


def test_zero_switches_them_off(tmp_path):
    curves = train(tmp_path, 1, every=0).curves
    assert not any(name.startswith(("encoder_gradient", "effective_rank")) for name in curves)


def test_looking_does_not_change_the_training(tmp_path):
    seen, unseen = train(tmp_path / "a", 3, every=1), train(tmp_path / "b", 3, every=0)
    assert seen.curves["loss"] == unseen.curves["loss"]


def test_views_and_reconstructions_are_pictures_in_tensorboard(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    weights = {"identity_weight": 1.0, "label_weight": 0.0, "reconstruction_weight": 1.0}
    monkeypatch.setattr(MixCLDiagnostics, "images_every", 1)
    train(tmp_path, 2, weights=weights, tensorboard=True)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    pictures = events.Images("view, reconstruction, truth")
    assert [picture.step for picture in pictures] == [1, 2]
    assert (pictures[0].width, pictures[0].height) == (4 * SIZE, 3 * SIZE)
    assert all(math.isfinite(event.value) for event in events.Scalars("loss"))


def test_a_row_of_slices_shows_anterior_up_and_evenly_spaced_heights():
    volume = torch.zeros(2, 3, 8)
    volume[0, 2, :] = torch.arange(8)  # the most anterior voxels of the first column
    row = slice_row(volume, slices=4)
    assert row.shape == (3, 8)
    assert row[0].tolist() == [1, 0, 3, 0, 5, 0, 7, 0]
    assert not row[1:].any()
