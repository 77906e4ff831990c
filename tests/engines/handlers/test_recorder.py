"""Run records: curves that survive a resume, Dice as MONAI reduces it, and what ends up in ``results.json``."""

from __future__ import annotations

import json
import math
import re
import time
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from monai.metrics import DiceMetric
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from monai_cl.data.records.results import read_results
from monai_cl.engines import RunRecorder, dice_metrics, evaluate
from monai_cl.errors import UserError


def recorder(folder: Path, **options) -> RunRecorder:
    """A recorder of a run on no data."""
    given = {"kind": "pretraining", "bundle": "b", "output_dir": folder, "seed": 3, "data_list": {"path": "l.json"}}
    return RunRecorder(**{**given, **options})


def engine_of(recorder: RunRecorder, *, start: int = 0) -> Engine:
    """Its training: the loss of iteration k is k. It resumes where ``start`` says."""
    engine = Engine(lambda engine, batch: {"loss": torch.tensor(float(engine.state.iteration))})
    engine.state.device = torch.device("cpu")

    @engine.on(Events.STARTED)
    def resume(engine: Engine) -> None:
        engine.state.iteration, engine.state.epoch = start, start

    recorder.attach(engine)
    return engine


def train(recorder: RunRecorder, iterations: int, *, start: int = 0) -> None:
    engine_of(recorder, start=start).run(range(iterations), max_epochs=iterations, epoch_length=1)


def validation(details: list[list[float]], ids: list[str]) -> Engine:
    """An evaluator that leaves ``details`` in its state, one case a batch."""
    evaluator = Engine(lambda engine, batch: None)
    evaluator.state.metric_details = {"val_mean_dice": torch.tensor(details)}
    evaluator.state.device = torch.device("cpu")
    evaluator.state.dataloader = [[{"id": name, "patient": f"patient of {name}"}] for name in ids]
    return evaluator


def test_a_point_is_the_mean_since_the_last_one(tmp_path):
    record = recorder(tmp_path, interval=2, tensorboard=False)
    train(record, 4)
    assert record.curves["loss"] == [[2, 1.5], [4, 3.5]]


def test_the_last_iterations_make_a_point_too(tmp_path):
    train(recorder(tmp_path, interval=10, tensorboard=False), 13)
    assert read_results(tmp_path)["curves"]["loss"] == [[10, 5.5], [13, 12.0]]


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5])
def test_curves_of_a_resumed_run_are_those_of_the_whole_run(tmp_path, cut):
    train(whole := recorder(tmp_path / "whole", interval=3, tensorboard=False), 6)
    first = recorder(tmp_path / "first", interval=3, tensorboard=False)
    states = []
    engine = engine_of(first)
    # as a checkpoint does, at the end of an epoch
    engine.add_event_handler(Events.EPOCH_COMPLETED(once=cut), lambda: states.append(first.state_dict()))
    engine.run(range(cut), max_epochs=cut, epoch_length=1)
    resumed = recorder(tmp_path / "resumed", interval=3, tensorboard=False)
    resumed.load_state_dict(states[0])
    train(resumed, 6, start=cut)
    assert resumed.curves == whole.curves


def test_a_state_is_plain_and_does_not_change_with_the_run(tmp_path):
    record = recorder(tmp_path, interval=1, tensorboard=False)
    record.add("loss", 1, 0.5)
    state = record.state_dict()
    torch.save(state, tmp_path / "state.pt")
    record.add("loss", 2, 0.4)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["curves"] == state["curves"] == {"loss": [[1, 0.5]]}


def test_time_before_the_interruption_counts(tmp_path):
    record = recorder(tmp_path, tensorboard=False)
    record.load_state_dict({**record.state_dict(), "seconds": 1000.0})
    train(record, 1)
    assert 1000 < read_results(tmp_path)["wall_seconds"] < 1060


def test_a_run_says_how_much_of_its_time_validations_took_before_an_interruption_too(tmp_path, capsys):
    evaluator = validation([[0.5]], ["a"])
    record = recorder(tmp_path, kind="segmentation", evaluator=evaluator, organs=["spleen"], tensorboard=False)
    record.load_state_dict({**record.state_dict(), "seconds": 1e6, "validation_seconds": 7e5})
    engine = engine_of(record)
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, lambda: time.sleep(0.02))
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run(evaluator.state.dataloader, max_epochs=1))
    engine.run(range(2), max_epochs=2, epoch_length=1)
    assert record.state_dict()["validation_seconds"] >= 7e5 + 0.04
    assert re.search(r"\ntook 10000\d\d s, 70% of it in validations \(--val_interval\)\n", capsys.readouterr().out)


def test_the_learning_rate_is_a_curve(tmp_path):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.25)
    record = recorder(tmp_path, interval=1, tensorboard=False, optimizer=optimizer)
    train(record, 2)
    assert record.curves["learning_rate"] == [[1, 0.25], [2, 0.25]]


def test_the_rate_recorded_is_that_of_the_step_whatever_the_schedule_has_done_since(tmp_path):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    record = recorder(tmp_path, interval=1, tensorboard=False, optimizer=optimizer)
    trainer = Engine(lambda engine, batch: {"loss": torch.zeros(())})
    trainer.state.device = torch.device("cpu")

    @trainer.on(Events.ITERATION_COMPLETED)
    def schedule(engine):  # attached before the recorder, as in the bundles
        optimizer.param_groups[0]["lr"] /= 2

    record.attach(trainer)
    trainer.run([0, 1, 2])
    assert record.curves["learning_rate"] == [[1, 0.5], [2, 0.25], [3, 0.125]]


def test_results_say_what_ran(tmp_path):
    train(recorder(tmp_path / "my run", tensorboard=False), 2)
    results = read_results(tmp_path / "my run")
    assert results["schema"] == 1
    assert (results["kind"], results["bundle"], results["name"], results["seed"]) == ("pretraining", "b", "my run", 3)
    assert (results["iterations"], results["initialisation"], results["device"]) == (2, "scratch", "cpu")
    assert results["versions"].keys() >= {"monai", "torch", "monai_cl", "python"}
    assert results["data_list"] == {"path": "l.json"}


def test_a_run_in_the_current_folder_is_named_after_it(tmp_path, monkeypatch):
    (tmp_path / "spleen").mkdir()
    monkeypatch.chdir(tmp_path / "spleen")
    assert recorder(Path(".")).name == "spleen"


def test_a_loss_that_is_nan_is_null_in_the_file(tmp_path):
    record = recorder(tmp_path, tensorboard=False)
    record.add("loss", 1, math.nan)
    train(record, 1)
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["curves"]["loss"][0] == [1, None]


def test_tensorboard_shows_the_same_curve(tmp_path):
    train(recorder(tmp_path, interval=1), 3)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_only_the_writer_writes(tmp_path):
    train(recorder(tmp_path / "run", is_writer=False, interval=1), 2)
    assert not (tmp_path / "run").exists()


def test_an_error_in_training_is_raised_and_leaves_no_results(tmp_path):
    record = recorder(tmp_path, interval=1)
    engine = engine_of(record)

    @engine.on(Events.ITERATION_COMPLETED(once=2))
    def fail() -> None:
        raise UserError("case 7: damaged")

    with pytest.raises(UserError, match="case 7"):
        engine.run(range(3), max_epochs=1)
    assert not (tmp_path / "results.json").exists()
    assert record._writer is None


@pytest.mark.parametrize("interval", [0, -1])
def test_an_interval_below_one_is_refused(tmp_path, interval):
    with pytest.raises(ValueError, match=f"interval must be >= 1, got {interval}"):
        recorder(tmp_path, interval=interval)


def test_dice_of_an_absent_organ_is_none_and_counts_nowhere():
    details = torch.tensor([[0.5, math.nan], [0.7, 0.9]])
    metrics = dice_metrics(details, [{"id": "a", "patient": "p"}, {"id": "b", "patient": "q"}], ["spleen", "liver"])
    assert metrics["per_case"][0] == {"id": "a", "patient": "p", "dice": {"spleen": 0.5, "liver": None}}
    assert metrics["dice"] == pytest.approx({"spleen": 0.6, "liver": 0.9})
    assert metrics["mean_dice"] == pytest.approx((0.5 + (0.7 + 0.9) / 2) / 2)


def test_without_any_organ_there_is_no_mean():
    metrics = dice_metrics(torch.full((1, 2), math.nan), [{"id": "a", "patient": "a"}], ["spleen", "liver"])
    assert metrics["mean_dice"] is None
    assert metrics["dice"] == {"spleen": None, "liver": None}


@pytest.mark.parametrize("seed", range(5))
def test_mean_dice_is_that_of_monais_metric(seed):
    generator = torch.Generator().manual_seed(seed)
    # sparse labels of five classes: in some cases an organ is absent, in the second all are
    truth = torch.randint(0, 6, (4, 1, 6), generator=generator).clamp_max(4)
    truth[1] = 0
    prediction = torch.randint(0, 5, (4, 1, 6), generator=generator)
    metric = DiceMetric(include_background=False, num_classes=5)
    metric(y_pred=prediction[..., None, None], y=truth[..., None, None])
    cases = [{"id": str(i), "patient": str(i)} for i in range(4)]
    ours = dice_metrics(metric.get_buffer(), cases, ["a", "b", "c", "d"])
    assert ours["mean_dice"] == pytest.approx(metric.aggregate().item(), abs=1e-6)
    metric.reduction = "mean_batch"
    for value, theirs in zip(ours["dice"].values(), metric.aggregate().tolist()):
        # a class that no case has is nan or 0 with MONAI's reductions, depending on the version
        assert value is None or value == pytest.approx(theirs, abs=1e-6)


def test_a_case_that_two_processes_measured_counts_once():
    details = torch.tensor([[0.5], [0.9], [0.5]])
    cases = [{"id": name, "patient": name} for name in ("a", "b", "a")]
    metrics = dice_metrics(details, cases, ["spleen"])
    assert [case["id"] for case in metrics["per_case"]] == ["a", "b"]
    assert metrics["mean_dice"] == pytest.approx(0.7)
    assert metrics["dice"]["spleen"] == pytest.approx(0.7)


def test_cases_of_all_processes_belong_to_the_rows_of_the_metric(tmp_path, monkeypatch):
    # MONAI's metric has the rows of every process; this one validated the second half
    evaluator = validation([[0.1], [0.2], [0.3]], ["c"])
    others = [{"id": "a", "patient": "p"}, {"id": "b", "patient": "q"}]
    monkeypatch.setattr("monai_cl.engines.handlers.recorder.gather", lambda cases: others + cases)
    record = recorder(tmp_path, kind="segmentation", organs=["spleen"], is_writer=False)
    record.attach_evaluation(evaluator)
    evaluator.run(evaluator.state.dataloader, max_epochs=1)
    found = {case["id"]: case["dice"]["spleen"] for case in record.metrics["per_case"]}
    assert found == pytest.approx({"a": 0.1, "b": 0.2, "c": 0.3})


def test_another_number_of_organs_is_refused():
    with pytest.raises(ValueError, match=r"a column for each of \['spleen'\], got 2 columns"):
        dice_metrics(torch.zeros(1, 2), [{"id": "a", "patient": "a"}], ["spleen"])


def test_validations_become_curves_and_the_best_is_noted(tmp_path):
    evaluator = validation([[0.5, 0.7], [math.nan, 0.3]], ["a", "b"])
    record = recorder(tmp_path, kind="segmentation", evaluator=evaluator, organs=["spleen", "liver"], tensorboard=False)
    engine = engine_of(record)
    tables = iter([[[0.5, 0.7], [math.nan, 0.3]], [[0.1, 0.1], [math.nan, 0.1]]])

    @engine.on(Events.EPOCH_COMPLETED)
    def validate() -> None:
        evaluator.state.metric_details["val_mean_dice"] = torch.tensor(next(tables))
        evaluator.run(evaluator.state.dataloader, max_epochs=1)

    engine.run(range(2), max_epochs=2, epoch_length=1)
    results = read_results(tmp_path)
    assert [point[0] for point in results["curves"]["mean_dice"]] == [1, 2]
    assert [point[1] for point in results["curves"]["mean_dice"]] == pytest.approx([0.45, 0.1])
    assert [point[1] for point in results["curves"]["dice/liver"]] == pytest.approx([0.5, 0.1])
    assert results["best"]["iteration"] == 1
    assert results["best"]["mean_dice"] == pytest.approx(0.45)
    # metrics are those of the last validation
    assert results["metrics"]["mean_dice"] == pytest.approx(0.1)
    assert [case["patient"] for case in results["metrics"]["per_case"]] == ["patient of a", "patient of b"]


class Pictures:
    """Pictures that are there already."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files


def test_evaluation_alone_writes_its_results(tmp_path):
    picture = tmp_path / "evaluation" / "overlays" / "a.png"
    evaluator = validation([[0.5]], ["a"])
    record = recorder(
        tmp_path / "evaluation", kind="segmentation", organs=["spleen"], name="spleen", pictures=Pictures([picture])
    )
    evaluator.run = lambda: Engine.run(evaluator, evaluator.state.dataloader, max_epochs=1)
    evaluate(evaluator, record)
    results = read_results(tmp_path / "evaluation")
    assert results["metrics"]["dice"] == {"spleen": 0.5}
    assert results["overlays"] == ["overlays/a.png"]
    # nothing was trained
    assert results["curves"] == {}
    assert "iterations" not in results
    assert [path.name for path in (tmp_path / "evaluation").iterdir()] == ["results.json"]


def test_tensorboard_does_not_show_twice_what_a_killed_run_had_shown_already(tmp_path):
    first, states = recorder(tmp_path, interval=1), []
    engine = engine_of(first)
    engine.add_event_handler(Events.EPOCH_COMPLETED(once=3), lambda: states.append(first.state_dict()))
    engine.run(range(5), max_epochs=5, epoch_length=1)  # killed after its fifth step; the checkpoint is of its third
    resumed = recorder(tmp_path, interval=1)
    resumed.load_state_dict(states[0])
    train(resumed, 6, start=3)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(i, float(i)) for i in range(1, 7)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 4}, "another seed (4, but it was started with 3)"),
        ({"data_list": {"sha256": "b"}}, "another data_list"),
    ],
)
def test_resuming_with_another_seed_or_data_list_is_warned_of(tmp_path, caplog, change, words):
    options = {"tensorboard": False, "data_list": {"sha256": "a"}}
    state = recorder(tmp_path, **options).state_dict()
    recorder(tmp_path, **options).load_state_dict(state)
    assert not caplog.messages
    recorder(tmp_path, **{**options, **change}).load_state_dict(state)
    assert words in caplog.messages[0]


@pytest.mark.parametrize(
    ("started", "own", "message"),
    [
        (3, 2, "expected the target that the run was started with, stage >= 3, found stage >= 2"),
        (3, None, "started with, stage >= 3, found target"),
        (None, 2, "started with, target, found stage >= 2"),
        (3, 3, None),
        (None, None, None),
    ],
)
def test_resuming_with_another_grade_of_the_patients_is_refused(tmp_path, started, own, message):
    def of(value):
        entry = {} if value is None else {"target": {"field": "stage", "positive_from": value}}
        return recorder(tmp_path, tensorboard=False, data_list={"sha256": "a", **entry})

    state = of(started).state_dict()
    if message is None:
        return of(own).load_state_dict(state)
    with pytest.raises(UserError, match=f"{message}; use another output_dir"):
        of(own).load_state_dict(state)


def test_what_is_not_finite_does_not_count_in_a_mean(tmp_path):
    record = recorder(tmp_path, interval=2, tensorboard=False)
    engine = engine_of(record)
    losses = iter([1.0, math.nan, math.inf, 3.0, math.nan, math.nan])
    engine._process_function = lambda engine, batch: {"loss": torch.tensor(next(losses))}
    engine.run(range(6), max_epochs=6, epoch_length=1)
    assert record.curves["loss"] == [[2, 1.0], [4, 3.0]]
