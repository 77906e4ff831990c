"""Scalars of a training stay on their device until a point of the curves is made, and are the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from monai.engines import SupervisedTrainer

from monai_cl.engines import CollapseWatch, LossDiagnostics, LossProgress, RunRecorder, StepGuard
from monai_cl.engines.handlers.unread import UnreadScalars, stack_scalars

STEPS = 7


@contextmanager
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The numbers that were asked for by each read of a tensor while this lasts."""
    asked: list[int] = []
    with monkeypatch.context() as patch:
        for name in ("item", "tolist", "__float__", "__int__", "__bool__"):
            original = getattr(torch.Tensor, name)

            def noted(tensor, *args, _original=original):
                asked.append(tensor.numel())
                return _original(tensor, *args)

            patch.setattr(torch.Tensor, name, noted)
        yield asked


class Loss(torch.nn.Module):
    """Its diagnostics are known beforehand: in step k k/3, and nan in the third."""

    def __init__(self) -> None:
        super().__init__()
        self.diagnostics: dict[str, float | torch.Tensor] = {}
        self.step = 0

    def forward(self, outputs, label):
        self.step += 1
        value = torch.tensor(torch.nan if self.step == 3 else self.step / 3)
        self.diagnostics = {"third": value, "host": self.step / 3, "half": torch.tensor([0.5], dtype=torch.bfloat16)}
        return (outputs["embedding"] - 1).square().mean()


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, image):
        return {"embedding": self.layer(image)}


def trained(folder: Path, *, interval: int, watch_every: int = 100) -> tuple[SupervisedTrainer, RunRecorder]:
    """A training with all handlers that look at every step."""
    torch.manual_seed(0)
    network = Net()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    recorder = RunRecorder(
        kind="pretraining", bundle="b", output_dir=folder, seed=0, data_list={}, interval=interval, tensorboard=False
    )
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[{"image": torch.randn(5, 4), "label": torch.zeros(5)} for _ in range(STEPS)],
        network=network,
        optimizer=optimizer,
        loss_function=Loss(),
        train_handlers=[
            StepGuard(network=network, optimizer=optimizer, output_dir=folder, recorder=recorder, gradient_clip=1.0),
            CollapseWatch(recorder=recorder, keys=("embedding",), every=watch_every),
            LossDiagnostics(recorder=recorder),
            recorder,
            LossProgress("training"),
        ],
        decollate=False,
    )
    return trainer, recorder


def test_a_step_is_read_once_and_the_logs_once_an_interval(tmp_path, monkeypatch):
    trainer, recorder = trained(tmp_path, interval=3)
    with reads(monkeypatch) as asked:
        trainer.run()
    # loss, norm, and whether each is bad in any process; five quantities of three steps, and of the last step
    assert asked == [4, 4, 4, 15, 4, 4, 4, 15, 4, 5]
    assert [point[0] for point in recorder.curves["loss"]] == [3, 6, 7]


def test_a_collapse_is_measured_by_one_read(tmp_path, monkeypatch):
    trainer, _ = trained(tmp_path, interval=100, watch_every=5)
    with reads(monkeypatch) as asked:
        trainer.run()
    assert asked == [4, 4, 4, 4, 4, 2, 4, 4, 5 * STEPS]


def test_points_are_means_of_the_numbers_that_the_steps_had(tmp_path):
    trainer, recorder = trained(tmp_path / "once", interval=3)
    trainer.run()
    each, of_each = trained(tmp_path / "each", interval=1)
    each.run()
    singles = {name: dict(points) for name, points in of_each.curves.items()}
    assert singles["third"] == {k: float(torch.tensor(k / 3)) for k in (1, 2, 4, 5, 6, 7)}
    assert singles["host"] == {k: k / 3 for k in range(1, 8)}
    assert singles["half"] == dict.fromkeys(range(1, 8), 0.5)
    for name, points in recorder.curves.items():
        for start, (stop, value) in zip((0, 3, 6), points, strict=True):
            steps = [singles[name][k] for k in range(start + 1, int(stop) + 1) if k in singles[name]]
            assert value == sum(steps) / len(steps), name


def test_a_state_between_two_points_has_what_was_not_read_yet(tmp_path):
    trainer, recorder = trained(tmp_path, interval=100)
    states = []
    trainer.add_event_handler("ITERATION_COMPLETED", lambda: states.append(recorder.state_dict()))
    trainer.run()
    assert [len(state["sums"]["loss"]) for state in states] == list(range(1, STEPS + 1))
    assert states[-1]["sums"]["host"] == [k / 3 for k in range(1, 8)]


def test_a_scalar_is_kept_as_it_was_and_passed_on_once():
    unread, read = UnreadScalars(), []
    value = torch.tensor([2.5], dtype=torch.float64, requires_grad=True)
    unread.append([read.append], stack_scalars([value], value.device))
    with torch.no_grad():
        value.mul_(2)
    unread.append([read.append, read.append], stack_scalars([value, 7], value.device))
    unread.read()
    unread.read()
    assert read == [2.5, 5.0, 7.0]


def test_numbers_of_the_host_keep_their_digits():
    assert stack_scalars([0.1, torch.tensor(3), torch.tensor([0.1])], torch.device("cpu")).tolist() == [
        0.1,
        3.0,
        float(torch.tensor(0.1)),
    ]
