"""The pace and the record of a run with meta-labels, on a network that trains for real."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.inferers import SimpleInferer
from torch import nn

from monai_cl.engines import MetaLabelDiagnostics, MetaLabelPace, RunRecorder
from monai_cl.losses import MetaLabelLoss, MethodLoss, self_paced_loss

pytestmark = pytest.mark.filterwarnings("ignore:.*lr_scheduler.*:UserWarning")
LABELS = {"label_position": torch.tensor([0, 0, 1, 1]), "label_patient": torch.tensor([0, 1, 0, 1])}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(3, 4)

    def forward(self, images):
        z = self.encoder(images)
        return {"embedding_position": z, "embedding_patient": z}


def train(folder: Path, meta_labels: dict, *, epochs: int = 2, start: int = 0) -> tuple[RunRecorder, list[float]]:
    """Two iterations an epoch; returns the recorder and the γ of position in each."""
    torch.manual_seed(0)
    batches = [{"image": torch.randn(4, 2, 3), "label": LABELS}] * 2
    network, loss = Net(), MetaLabelLoss(meta_labels)
    recorder = RunRecorder(
        kind="pretraining", bundle="b", output_dir=folder, seed=0, data_list={}, interval=1, tensorboard=False
    )
    gammas: list[float] = []

    class Watch:
        def attach(self, engine):
            engine.add_event_handler(
                Events.ITERATION_COMPLETED, lambda: gammas.append(loss.diagnostics["gamma/position"])
            )

    pace = MetaLabelPace(loss=loss, iterations=4, epoch_length=2)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=batches,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        loss_function=MethodLoss(loss),
        inferer=SimpleInferer(),
        prepare_batch=lambda batch, *_, **__: (batch["image"], batch["label"]),
        train_handlers=[
            pace,
            MetaLabelDiagnostics(network=network, loss=loss, recorder=recorder, every=2),
            recorder,
            Watch(),
        ],
        decollate=False,
    )
    trainer.state.iteration, trainer.state.epoch = 2 * start, start
    trainer.run()
    return recorder, gammas


META = {"position": {"gamma": [4, 60]}, "patient": {"weight": 0.1, "gamma": [4, 50]}}


def test_the_pace_is_that_of_the_epoch_also_for_a_run_that_enters_later(tmp_path):
    expected = [4.0, 4.0, 4 + 56 * 0.5**0.5, 4 + 56 * 0.5**0.5]
    assert train(tmp_path / "whole", META)[1] == pytest.approx(expected)
    assert train(tmp_path / "rest", META, start=1)[1] == train(tmp_path / "again", META)[1][2:]


def test_every_label_is_recorded_and_so_is_whether_they_agree(tmp_path):
    curves = train(tmp_path, META)[0].curves
    for quantity in ("meta_label", "mean_weight", "gamma", "minimum", "mean_pair_loss", "floor", "positives"):
        assert len(curves[f"{quantity}/position"]) == len(curves[f"{quantity}/patient"]) == 4
    torch.manual_seed(0)
    images, net = torch.randn(4, 2, 3), Net()
    gradients = {}
    for name, labels in LABELS.items():
        value, _ = self_paced_loss(net.encoder(images), labels, gamma=4)
        gradients[name] = torch.cat([g.flatten() for g in torch.autograd.grad(value, list(net.parameters()))])
    assert [iteration for iteration, _ in curves["gradient_cosine/position,patient"]] == [1, 3]
    assert curves["encoder_gradient/position"][0][1] == pytest.approx(
        float(gradients["label_position"].norm()), rel=1e-4
    )
    assert curves["encoder_gradient/patient"][0][1] == pytest.approx(
        0.1 * float(gradients["label_patient"].norm()), rel=1e-4
    )
    cosine = torch.cosine_similarity(*gradients.values(), dim=0)
    assert curves["gradient_cosine/position,patient"][0][1] == pytest.approx(float(cosine), abs=1e-4)


def test_a_label_that_is_switched_off_is_not_warned_of(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        train(tmp_path, {"position": {"gamma": [1e-3, 2e-3 + 50], "weight": 0}, "patient": {}}, epochs=1)
    assert not [record.message for record in caplog.records if "no pair had a weight above 0" in record.message]


def test_a_label_without_a_pair_that_counts_is_warned_of_once(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        train(tmp_path, {"position": {"gamma": [1e-3, 2e-3 + 50]}, "patient": {}}, epochs=1)
    said = [record.message for record in caplog.records if "no pair had a weight above 0" in record.message]
    assert len(said) == 1
    assert said[0].startswith("meta_labels.position: no pair had a weight above 0 in epoch 1: gamma is 0.00")
