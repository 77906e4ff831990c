"""A batch in parts is the same step: in loss, gradients, curves and after a resume; where it is not, it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import nn

from monai_cl.data import PositionSampler
from monai_cl.engines import (
    AnnotatedDiceCELoss,
    Checkpoints,
    ClassifierLoss,
    LossDiagnostics,
    MeanTeacherLoss,
    MixCLDiagnostics,
    RunRecorder,
    StepGuard,
    accumulated_step,
    batch_preparation,
)
from monai_cl.engines.checkpoints.termination import Preempted
from monai_cl.errors import UserError
from monai_cl.losses import HybridLoss, KnownLabelsLoss, MethodLoss, MixCLLoss, SimCLRLoss, SwappedPredictionLoss
from monai_cl.transforms.label_table import IGNORED

# Ignite warns of MONAI's way to attach a scheduler
pytestmark = pytest.mark.filterwarnings("default")
BATCH, STEPS = 4, 4
DICE = {"to_onehot_y": True, "softmax": True}


class Crops(torch.utils.data.Dataset):
    """By position; some voxels of every third are not annotated."""

    def __getitem__(self, position: int) -> dict[str, Any]:
        drawn = torch.Generator().manual_seed(position)
        label = torch.randint(0, 3, (1, 4, 4, 4), generator=drawn)
        if position % 3 == 0:
            label[:, :2] = IGNORED
        return {"image": torch.randn(1, 4, 4, 4, generator=drawn).double(), "label": label}


class Pairs(torch.utils.data.Dataset):
    """What `MixCLPrepareBatch` would make of pairs, but sample by sample."""

    def __getitem__(self, position: int) -> dict[str, Any]:
        drawn = torch.Generator().manual_seed(position)
        return {
            "views": torch.randn(3, 1, 4, 4, 4, generator=drawn).double(),
            "labels": torch.randint(0, 2, (2, 1, 4, 4, 4), generator=drawn),
            "voxels": torch.randint(0, 64, (2, 9), generator=drawn),
            "voxel_labels": torch.randint(0, 3, (2, 9), generator=drawn),
            "hidden": torch.randperm(64, generator=drawn).reshape(1, 4, 4, 4) < 24,
            "dataset": position % 2,
        }


class Scans(torch.utils.data.Dataset):
    """Of the batches' parts, some know more labels than others, and some none of a head."""

    def __getitem__(self, position: int) -> dict[str, Any]:
        drawn = torch.Generator().manual_seed(position)
        known = {
            "target": torch.tensor(float(position % 2) if position % 4 else -1.0),
            "findings": torch.randint(-1, 2, (3,), generator=drawn).float(),
            "slice_findings": torch.full((4,), -1.0 if position % 4 < 2 else 1.0),
        }
        return {"image": torch.randn(1, 1, 4, 4, 4, generator=drawn).double(), "label": position % 2, **known}


def of_scans(batch: dict[str, torch.Tensor], *_: Any, **__: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    return batch["image"][:, 0], {name: batch[name] for name in ("target", "findings", "slice_findings")}


def of_patients(batch: dict[str, torch.Tensor], *_: Any, **__: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """One view of each, as `SlicePrepareBatch` makes them."""
    return batch["image"], {"label": batch["label"]}


def stacked(batch: dict[str, torch.Tensor], *_: Any, **__: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """View after view, as the trainer's batch has them."""
    views, labels = (batch[name].transpose(0, 1).flatten(0, 1) for name in ("views", "labels"))
    targets = {f"{name}{k + 1}": batch[name][:, k] for name in ("voxels", "voxel_labels") for k in (0, 1)}
    return views, {**targets, "labels": labels, "clean": views, "hidden": batch["hidden"], "dataset": batch["dataset"]}


class Net(nn.Module):
    """No statistics over the batch; ``encoder_parameters`` as `MixCLNet`."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task, self.body = task, nn.Conv3d(1, 5, 3, padding=1)

    def encoder_parameters(self) -> list[nn.Parameter]:
        return list(self.body.parameters())

    def forward(self, image: torch.Tensor) -> Any:
        if self.task == "patients":
            return {"embedding": self.body(image.flatten(0, 1)).tanh().mean((1, 2, 3, 4)).view(-1, 1, 1)}
        z = self.body(image).tanh()
        if self.task == "organs":
            return z[:, :3]
        if self.task == "scans":
            return {
                "target": z[:, :1].mean((2, 3, 4)),
                "findings": z[:, 1:4].mean((2, 3, 4)),
                "slice_findings": z[:, 4, :, 0, 0],
            }
        return {"levels": [z, z], "segmentation": z, "reconstruction": z[:, :1]}


MIXCL = {"identity_weight": 0.0, "label_weight": 1.0, "reconstruction_weight": 0.5, "supervised_weight": 1.0}
# data, loss, what makes the batch
TASKS: dict[str, tuple[Callable, Callable, Callable]] = {
    "organs": (Crops, lambda: AnnotatedDiceCELoss(**DICE), batch_preparation),
    "mixcl": (Pairs, lambda: MixCLLoss(**MIXCL, class_counts=[2, 3]), lambda loss: stacked),
    "scans": (Scans, lambda: KnownLabelsLoss(weights={"findings": 2.0}), lambda loss: of_scans),
    "patients": (Scans, ClassifierLoss, lambda loss: of_patients),
}


def trained(
    folder: Path, *, parts: int, task: str = "organs", epochs: int = 2, during: Callable[[Any], None] | None = None
) -> tuple[dict[str, torch.Tensor], RunRecorder]:
    """Two steps an epoch; ``during`` is called with the checkpoints' handler in every forward."""
    torch.manual_seed(0)
    network = Net(task).double()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5, momentum=0.9)
    make_data, make_loss, make_batches = TASKS[task]
    loss = make_loss()
    recorder = RunRecorder(
        kind="pretraining", bundle="b", output_dir=folder, seed=0, data_list={}, interval=1, tensorboard=False
    )
    sampler = PositionSampler(batch_size=BATCH)
    saved = {"network": network, "optimizer": optimizer, "recorder": recorder}
    checkpoints = Checkpoints(save=saved, output_dir=folder, sampler=sampler)
    if during is not None:
        network.register_forward_hook(lambda *_: during(checkpoints))
    guard = StepGuard(network=network, optimizer=optimizer, output_dir=folder, recorder=recorder)
    more = [MixCLDiagnostics(network=network, loss=loss, recorder=recorder, every=2)] if task == "mixcl" else []
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        epoch_length=2,
        train_data_loader=torch.utils.data.DataLoader(make_data(), sampler=sampler, batch_size=BATCH),
        network=network,
        optimizer=optimizer,
        loss_function=loss,
        prepare_batch=make_batches(loss),
        iteration_update=accumulated_step(parts, loss=loss, batch_size=BATCH, network=network),
        train_handlers=[guard, *more, LossDiagnostics(recorder=recorder), recorder, checkpoints],
        decollate=False,
    )
    trainer.run()
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}, recorder


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_is_the_batch_at_once(tmp_path, task, parts):
    whole, curves = trained(tmp_path / "whole", parts=1, task=task)
    divided, others = trained(tmp_path / "divided", parts=parts, task=task)
    torch.manual_seed(0)
    start = Net(task).double().state_dict()
    for name, tensor in whole.items():
        assert (tensor - start[name]).abs().max() > 0.001
        torch.testing.assert_close(divided[name], tensor, rtol=0, atol=1e-10)
    assert others.curves.keys() == curves.curves.keys()
    for name, points in curves.curves.items():
        if not name.startswith(("encoder_gradient", "effective_rank")):  # of the first part
            assert [value for _, value in others.curves[name]] == pytest.approx([v for _, v in points], abs=1e-10), name
        assert [iteration for iteration, _ in others.curves[name]] == [iteration for iteration, _ in points]


@pytest.mark.parametrize("task", ["organs", "scans", "patients"])
def test_a_resumed_run_is_the_uninterrupted_run_to_the_last_bit(tmp_path, task):
    whole, record = trained(tmp_path / "whole", parts=2, task=task)
    trained(tmp_path / "cut", parts=2, epochs=1, task=task)
    resumed, again = trained(tmp_path / "cut", parts=2, task=task)
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())
    assert again.curves == record.curves


def test_a_run_that_is_stopped_between_two_parts_saves_whole_steps_and_goes_on_the_same(tmp_path):
    calls = []

    def stop(checkpoints: Checkpoints) -> None:
        calls.append(1)
        if len(calls) == 5:  # the first part of the third step
            checkpoints._termination.requested = True

    whole, record = trained(tmp_path / "whole", parts=2, epochs=2)
    with pytest.raises(Preempted):
        trained(tmp_path / "cut", parts=2, epochs=2, during=stop)
    assert len(calls) == 6
    assert (tmp_path / "cut" / "checkpoint_iteration=3.pt").is_file()
    resumed, again = trained(tmp_path / "cut", parts=2, epochs=2)
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())
    assert again.curves == record.curves


def refusal(parts: Any, loss: nn.Module) -> str:
    with pytest.raises(UserError) as caught:
        accumulated_step(parts, loss=loss, batch_size=BATCH)
    return str(caught.value)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: MixCLLoss(), "the identity term correlates channels over the whole batch"),
        (lambda: AnnotatedDiceCELoss(**DICE, batch=True), "Dice is of all crops of a batch together"),
        (lambda: AnnotatedDiceCELoss(**DICE, weight=torch.tensor([0.1, 1.0, 1.0])), "the classes have weights"),
        (
            lambda: MeanTeacherLoss(AnnotatedDiceCELoss(**DICE), Net("organs"), weight=1.0, labelled=2, seed=0),
            "the mean teacher's batch holds labelled and unlabelled crops (unlabelled_weight)",
        ),
        (lambda: SimCLRLoss(), "SimCLRLoss is not known to be a mean over samples"),
        (lambda: MethodLoss(SimCLRLoss()), "SimCLRLoss is not known to be a mean over samples"),
        (lambda: MethodLoss(HybridLoss(SwappedPredictionLoss())), "clustering compares the samples of a batch"),
    ],
)
def test_a_loss_over_the_whole_batch_is_refused(make, reason):
    text = refusal(2, make())
    assert text.startswith("accumulate: ")
    assert reason in text
    assert "--accumulate 1" in text
    assert accumulated_step(1, loss=make(), batch_size=BATCH) is None


@pytest.mark.parametrize("parts", [0, 3, 8, 2.0, "two"])
def test_parts_that_do_not_divide_the_batch_are_refused(parts):
    assert f"expected a divisor of batch_size=4, found {parts!r}" in refusal(parts, AnnotatedDiceCELoss(**DICE))


def test_the_log_says_that_batch_norm_sees_a_part(caplog):
    normed = nn.Sequential(nn.Conv3d(1, 2, 3), nn.SyncBatchNorm(2), nn.BatchNorm3d(2))
    for parts, network in ((1, normed), (2, Net("organs")), (2, None)):
        accumulated_step(parts, loss=ClassifierLoss(), batch_size=BATCH, network=network)
    assert not caplog.messages
    accumulated_step(2, loss=ClassifierLoss(), batch_size=BATCH, network=normed)
    (message,) = caplog.messages
    assert "batch norm (2 layers), whose statistics are of a part of 2 samples, not of the batch of 4" in message
