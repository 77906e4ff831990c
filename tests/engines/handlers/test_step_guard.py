"""Nothing that is nan or infinite reaches the weights, and who it came from is written down."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.handlers import LrScheduleHandler

from monai_cl.compat import attached_handlers
from monai_cl.engines import AfterStep, Checkpoints, RunRecorder, StepGuard, cosine_schedule
from monai_cl.engines.handlers.step_guard import batch_samples
from monai_cl.errors import UserError

NAN, INF = math.nan, math.inf


class Samples(torch.utils.data.Dataset):
    """Sample i is full of ``values[i]``."""

    def __init__(self, values: Sequence[float]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = torch.full((1, 4), float(self.values[index])) + torch.arange(4) / 10
        return {"image": image, "label": torch.zeros(1), "id": f"case_{index}", "position": index}


class Guarded:
    """A training on ``values``, ``batch`` of them a step, with batch norm, a guard and more handlers around it."""

    def __init__(
        self,
        folder: Path,
        values: Sequence[float],
        *,
        batch: int = 1,
        loss=None,
        more: Sequence = (),
        before: Sequence = (),
        **options: Any,
    ) -> None:
        torch.manual_seed(0)
        self.network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
        self.network.append(torch.nn.Linear(3, 1))
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.1)
        schedule = cosine_schedule(self.optimizer, iterations=len(values) // batch + 1)
        self.recorder = RunRecorder(
            kind="pretraining", bundle="b", output_dir=folder, seed=0, data_list={"path": "l.json"}, interval=1,
            tensorboard=False,
        )  # fmt: skip
        self.guard = StepGuard(
            network=self.network, optimizer=self.optimizer, output_dir=folder, recorder=self.recorder, **options
        )
        self.states: list[dict[str, torch.Tensor]] = []
        loader = torch.utils.data.DataLoader(Samples(values), batch_size=batch)
        self.trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=1,
            train_data_loader=loader,
            network=self.network,
            optimizer=self.optimizer,
            loss_function=loss or (lambda prediction, label: (prediction - 1).square().mean()),
            train_handlers=[
                *before,
                self.guard,
                *more,
                LrScheduleHandler(schedule, print_lr=False, epoch_level=False),
                self.recorder,
                Checkpoints(save={"network": self.network}, output_dir=folder),
            ],
            decollate=False,
        )
        self.trainer.add_event_handler("ITERATION_COMPLETED", lambda: self.states.append(self.state()))

    def state(self) -> dict[str, torch.Tensor]:
        return {name: tensor.clone() for name, tensor in self.network.state_dict().items()}

    def moments(self) -> list[torch.Tensor]:
        return [value.clone() for state in self.optimizer.state.values() for value in state.values()]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "non_finite.jsonl").read_text(encoding="utf-8").splitlines()]


# batch norm needs two samples of its own; the 3rd step has the bad one
GOOD_BAD = [1, 2, 3, 4, NAN, 6, 7, 8]


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_bad_sample_stops_the_run_before_the_weights_change(tmp_path, bad):
    run = Guarded(tmp_path, [1, 2, 3, 4, bad, 6, 7, 8], batch=2)
    with pytest.raises(UserError, match=r"non_finite\.jsonl: iteration 3 gave loss nan; it came from case_4, case_5\."):
        run.trainer.run()
    weights = {name: tensor for name, tensor in run.state().items() if "running" not in name and "num" not in name}
    assert len(run.states) == 2
    assert same(weights, run.states[-1])
    (row,) = rows(tmp_path)
    assert (row["iteration"], row["action"], row["loss"]) == (3, "stopped", "nan")
    assert row["samples"] == [
        {"id": "case_4", "position": 4, "finite": False},
        {"id": "case_5", "position": 5, "finite": True},
    ]
    assert "1.weight" in row["parameters"]


def test_a_bad_sample_can_be_ignored_as_if_it_had_not_been_there(tmp_path):
    run = Guarded(tmp_path / "a", GOOD_BAD, batch=2, non_finite="skip")
    run.trainer.run()
    assert same(run.states[2], run.states[1]), "weights or running statistics moved"
    assert not same(run.states[3], run.states[2])
    assert all(torch.isfinite(tensor).all() for tensor in [*run.state().values(), *run.moments()])
    assert [(row["iteration"], row["action"]) for row in rows(tmp_path / "a")] == [(3, "skipped")]
    assert run.recorder.curves["skipped_steps"] == [[3, 1.0]]
    assert [point[0] for point in run.recorder.curves["loss"]] == [1, 2, 4]
    assert all(math.isfinite(value) for _, value in run.recorder.curves["loss"])


def test_a_gradient_that_is_not_finite_counts_though_the_loss_is(tmp_path):
    # the square root's slope at 0 is infinite
    run = Guarded(tmp_path, [1, 2, 3, 4], batch=2, loss=lambda p, _: (p - p.detach()).abs().sqrt().mean())
    with pytest.raises(UserError, match=r"iteration 1 gave a gradient of norm (nan|inf); it came from case_0, case_1"):
        run.trainer.run()
    assert rows(tmp_path)[0]["loss"] == 0.0


def test_a_loss_that_is_not_finite_counts_though_the_gradient_is(tmp_path):
    run = Guarded(tmp_path, [1, 2], batch=2, loss=lambda p, _: p.mean() + math.inf)
    with pytest.raises(UserError, match="iteration 1 gave loss inf"):
        run.trainer.run()
    assert rows(tmp_path)[0]["parameters"] == []


def test_ten_bad_steps_in_a_row_stop_even_a_run_that_skips(tmp_path):
    run = Guarded(tmp_path, [NAN] * 40, batch=2, non_finite="skip")
    before = run.state()
    with pytest.raises(UserError, match="iteration 10 gave loss nan, after 10 such steps in a row"):
        run.trainer.run()
    assert [row["action"] for row in rows(tmp_path)] == ["skipped"] * 9 + ["stopped"]
    weights = {name: tensor for name, tensor in before.items() if "running" not in name and "num" not in name}
    assert same(weights, run.state())


def test_a_good_step_between_bad_ones_restarts_the_count(tmp_path):
    run = Guarded(tmp_path, ([NAN] * 18 + [1, 2]) * 2, batch=2, non_finite="skip")
    run.trainer.run()
    assert run.guard.skipped == 18


def with_scaler(run: Guarded, scale: float) -> torch.amp.GradScaler:
    """Give a training AMP's loss scaler, at work on the CPU; MONAI makes its own when it starts."""
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    run.trainer.amp = True
    run.trainer.add_event_handler(Events.STARTED, lambda: setattr(run.trainer, "scaler", scaler))
    return scaler


# autocast to CUDA, and MONAI's own scaler, warn on a CPU
on_cpu = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


def resumed(folder: Path, values: Sequence[float]) -> Guarded:
    """A run of two epochs that was interrupted after the first, about to continue."""
    Guarded(folder, values, batch=2, non_finite="skip").trainer.run()
    run = Guarded(folder, values, batch=2, non_finite="skip")
    run.trainer.state.max_epochs = 2
    return run


def test_a_resumed_run_continues_counting_the_steps_that_were_left_out(tmp_path):
    run = resumed(tmp_path, GOOD_BAD)
    run.trainer.run()
    assert run.recorder.curves["skipped_steps"] == [[7, 2.0]]


def test_a_resumed_run_continues_counting_bad_steps_in_a_row(tmp_path):
    Guarded(tmp_path, [1, 2] + [NAN] * 12, batch=2, non_finite="skip").trainer.run()
    run = Guarded(tmp_path, [NAN] * 14, batch=2, non_finite="skip")
    run.trainer.state.max_epochs = 2
    with pytest.raises(UserError, match="iteration 11 gave loss nan, after 10 such steps in a row"):
        run.trainer.run()


def test_a_checkpoint_from_before_the_counters_were_kept_is_restored(tmp_path):
    run = resumed(tmp_path, GOOD_BAD)
    (file,) = tmp_path.glob("checkpoint_iteration=*.pt")
    content = torch.load(file, weights_only=True)
    del content["handlers"]
    torch.save(content, file)
    run.trainer.run()
    assert run.guard.skipped == 1


class Target:
    """What `AfterStep` calls."""

    def __init__(self) -> None:
        self.moves = 0

    def after_step(self) -> None:
        self.moves += 1


def test_a_target_does_not_move_in_a_step_that_is_left_out(tmp_path):
    target, moved = Target(), []
    run = Guarded(tmp_path, GOOD_BAD, batch=2, non_finite="skip", more=[AfterStep(network=target)])
    run.trainer.add_event_handler("ITERATION_COMPLETED", lambda: moved.append(target.moves))
    run.trainer.run()
    assert moved == [1, 2, 2, 3]


@on_cpu
def test_a_target_does_not_move_where_the_scaler_leaves_the_step_out(tmp_path):
    target = Target()
    run = Guarded(tmp_path, [1, 2, 3, 4, 5, 6], batch=2, more=[AfterStep(network=target)])
    with_scaler(run, 3e38)
    run.trainer.run()
    assert run.guard.skipped >= 1
    assert target.moves == 3 - run.guard.skipped


def test_gradients_are_clipped_to_the_norm_asked_for_and_recorded_before(tmp_path):
    seen = []
    run = Guarded(tmp_path, [1, 2, 3, 4], batch=2, gradient_clip=0.01)

    def look(*_) -> None:
        seen.append(float(torch.stack([p.grad.square().sum() for p in run.network.parameters()]).sum().sqrt()))

    run.optimizer.register_step_pre_hook(look)
    run.trainer.run()
    recorded = [value for _, value in run.recorder.curves["gradient_norm"]]
    assert all(value > 0.05 for value in recorded)
    assert seen == pytest.approx([0.01, 0.01], rel=1e-4)


class Frozen:
    """Drops the gradient of the last layer before each step, as prototypes that are frozen."""

    def __init__(self) -> None:
        self.network: torch.nn.Module | None = None

    def before_step(self) -> None:
        for parameter in self.network[3].parameters():
            parameter.grad = None


@pytest.mark.parametrize("first", ["guard", "freezing"])
@pytest.mark.parametrize("scale", [None, pytest.param(4.0, marks=on_cpu)])
def test_gradients_that_are_dropped_before_the_step_are_not_clipped_with_the_others(tmp_path, first, scale):
    frozen = Frozen()
    run = Guarded(tmp_path / "a", [1, 2, 3, 4], batch=2, gradient_clip=0.01, more=[AfterStep(network=frozen)])
    frozen.network = run.network
    if first == "freezing":
        run = Guarded(tmp_path / "b", [1, 2, 3, 4], batch=2, gradient_clip=0.01, before=[AfterStep(network=frozen)])
        frozen.network = run.network
    # the same without them: the last layer is no part of what is trained
    alone = Guarded(tmp_path / "c", [1, 2, 3, 4], batch=2, gradient_clip=0.01)
    for parameter in alone.network[3].parameters():
        parameter.requires_grad_(False)
    for each in (run, alone):
        if scale is not None:
            with_scaler(each, scale)
        each.trainer.run()
    assert run.recorder.curves["gradient_norm"] == alone.recorder.curves["gradient_norm"]
    assert all(same(one, other) for one, other in zip(run.states, alone.states, strict=True))


def test_a_dropped_gradient_that_is_not_finite_stops_nothing(tmp_path):
    frozen = Frozen()
    run = Guarded(tmp_path, [1, 2, 3, 4], batch=2, more=[AfterStep(network=frozen)])
    frozen.network = run.network
    run.network[3].weight.register_hook(lambda gradient: gradient * NAN)
    run.trainer.run()
    assert all(torch.isfinite(tensor).all() for tensor in run.state().values())


def test_a_training_that_goes_on_is_checked_once_a_step(tmp_path):
    run = Guarded(tmp_path, [1, 2, 3, 4], batch=2)
    run.trainer.run()
    run.trainer.state.max_epochs = 2
    run.trainer.run()
    assert len(run.states) == 4
    assert attached_handlers(run.trainer, IterationEvents.BACKWARD_COMPLETED) == [run.guard]


def test_a_large_clip_changes_nothing(tmp_path):
    one, other = Guarded(tmp_path / "a", [1, 2, 3, 4], batch=2), None
    one.trainer.run()
    other = Guarded(tmp_path / "b", [1, 2, 3, 4], batch=2, gradient_clip=1e6)
    other.trainer.run()
    assert same(one.state(), other.state())


@on_cpu
def test_with_bfloat16_a_bad_gradient_is_not_an_overflow(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda.amp, "GradScaler", lambda: torch.amp.GradScaler("cpu"))  # as on a GPU
    run = Guarded(tmp_path, [1, 2, 3, 4], batch=2, loss=lambda p, _: (p - p.detach()).abs().sqrt().mean())
    run.trainer.amp, run.trainer.amp_kwargs = True, {"dtype": torch.bfloat16}
    with pytest.raises(UserError, match=r"iteration 1 gave a gradient of norm (nan|inf); it came from case_0, case_1"):
        run.trainer.run()
    assert rows(tmp_path)[0]["action"] == "stopped"


@on_cpu
@pytest.mark.parametrize("values", [[1, 2, 3, 4], GOOD_BAD])
def test_with_a_loss_scaler_the_steps_are_those_without(tmp_path, values):
    plain = Guarded(tmp_path / "a", values, batch=2, non_finite="skip", gradient_clip=0.5)
    plain.trainer.run()
    scaled = Guarded(tmp_path / "b", values, batch=2, non_finite="skip", gradient_clip=0.5)
    with_scaler(scaled, 4.0)
    scaled.trainer.run()
    for one, other in zip(plain.states, scaled.states, strict=True):
        assert all(torch.allclose(one[name].float(), other[name].float(), atol=1e-6) for name in one)
    assert scaled.guard.skipped == plain.guard.skipped


@on_cpu
def test_a_loss_that_is_not_finite_is_ignored_by_a_scaler_whatever_the_gradient(tmp_path):
    run = Guarded(tmp_path, [1, 2], batch=2, loss=lambda p, _: p.mean() + math.inf, non_finite="skip")
    scaler, before = with_scaler(run, 4.0), run.state()
    run.trainer.run()
    assert same({name: before[name] for name in ("1.weight", "3.weight")}, run.state())
    assert scaler.get_scale() < 4.0


@on_cpu
def test_an_overflow_of_the_scale_is_the_scalers_to_handle_even_where_bad_steps_stop(tmp_path):
    run = Guarded(tmp_path, [1, 2, 3, 4, 5, 6], batch=2)
    scaler = with_scaler(run, 3e38)
    run.trainer.run()
    assert run.guard.skipped >= 1
    assert scaler.get_scale() < 3e38
    assert not (tmp_path / "non_finite.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"non_finite": "ignore"}, "non_finite: expected stop or skip, found 'ignore'"),
        ({"gradient_clip": 0}, "gradient_clip: expected a number above 0, or null, found 0"),
        ({"gradient_clip": -1.0}, "gradient_clip: expected a number above 0, or null, found -1.0"),
        ({"gradient_clip": math.nan}, "gradient_clip: expected a number above 0, or null, found nan"),
    ],
)
def test_options_out_of_range_are_refused(tmp_path, options, message):
    network = torch.nn.Linear(1, 1)
    with pytest.raises(UserError, match=message):
        StepGuard(network=network, optimizer=torch.optim.SGD(network.parameters()), output_dir=tmp_path, **options)


def test_samples_of_a_pair_of_patches_are_named_by_both_ids():
    batch = {
        "image1": torch.zeros(2, 1, 2), "image2": torch.tensor([[[0.0, NAN]], [[0.0, 1.0]]]),
        "id1": ["a", "b"], "id2": ["c", "d"], "dataset": torch.tensor([0, 1]), "position": torch.tensor([6, 7]),
        "voxels1": torch.zeros(2, 9),
    }  # fmt: skip
    assert batch_samples(batch) == [
        {"id1": "a", "id2": "c", "dataset": 0, "position": 6, "finite": False},
        {"id1": "b", "id2": "d", "dataset": 1, "position": 7, "finite": True},
    ]
    assert batch_samples([1, 2]) == []
