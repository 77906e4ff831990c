"""The order of a trainer's handlers; and on failure all is done that was asked for, and the error goes on."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.engines import Evaluator
from monai.handlers import LrScheduleHandler, ValidationHandler

from monai_cl.engines import AfterStep, Checkpoints, CollapseWatch, ListedOutput, LossProgress, RunRecorder
from monai_cl.engines.checkpoints.termination import Preempted
from monai_cl.engines.handlers import attaching
from monai_cl.engines.handlers.attaching import on_exception
from tests.engines.runs import TinyRun


def failing() -> Engine:
    """An engine that fails at the end of an epoch, as in a validation: Ignite reports this once."""
    engine = Engine(lambda engine, batch: None)
    engine.add_event_handler("EPOCH_COMPLETED", lambda: 1 / 0)
    return engine


def test_all_are_called_last_one_first_and_the_error_is_raised():
    engine, called = failing(), []
    for name in "abc":
        on_exception(engine, lambda engine, error, name=name: called.append((name, type(error))))
    with pytest.raises(ZeroDivisionError):
        engine.run([0])
    assert called == [(name, ZeroDivisionError) for name in "cba"]


@pytest.mark.parametrize("error", [KeyError, SystemExit, KeyboardInterrupt])
def test_one_that_raises_keeps_no_other_from_being_called_and_its_error_is_the_one_that_is_raised(error):
    engine, called = failing(), []

    def turn(engine: Engine, found: BaseException) -> None:
        raise error("b") from found

    on_exception(engine, lambda engine, found: called.append("a"))
    on_exception(engine, turn)
    on_exception(engine, lambda engine, found: called.append("c"))
    with pytest.raises(error) as raised:
        engine.run([0])
    assert called == ["c", "a"]
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


def test_after_sigterm_in_a_validation_that_fails_the_recorder_closes_its_files_too(tmp_path):
    run, closed = TinyRun(tmp_path, interval=2), []
    run.engine = engine = Engine(run._step)
    on_exception(engine, lambda engine, error: closed.append(True))  # as the recorder, before the checkpoints

    @engine.on("EPOCH_COMPLETED")
    def validate(engine: Engine) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise OSError("the loader has lost its workers")

    run.checkpoints.attach(engine)
    with pytest.raises(Preempted):
        run.go(epochs=4)
    assert closed
    assert (tmp_path / "checkpoint_iteration=2.pt").is_file()


def handlers(folder: Path) -> dict[str, Any]:
    """One of each turn, and one that may stand anywhere."""
    network = torch.nn.Linear(1, 1)
    recorder = RunRecorder(kind="pretraining", bundle="b", output_dir=folder, seed=0, data_list={}, tensorboard=False)
    made = [
        AfterStep(network=network),
        CollapseWatch(recorder=recorder),
        recorder,
        Checkpoints(save={"network": network}, output_dir=folder),
        ListedOutput(),
        LossProgress("test"),
    ]
    return {type(handler).__name__: handler for handler in made}


@pytest.mark.parametrize(
    "order",
    [
        ("AfterStep", "CollapseWatch", "RunRecorder", "Checkpoints", "LossProgress", "ListedOutput"),
        ("LossProgress", "CollapseWatch", "AfterStep", "RunRecorder", "Checkpoints", "ListedOutput"),
        ("RunRecorder", "ListedOutput", "LossProgress"),
    ],
)
def test_handlers_are_attached_turn_by_turn(tmp_path, order):
    engine, there = Engine(lambda engine, batch: None), handlers(tmp_path)
    for name in order:
        there[name].attach(engine)


@pytest.mark.parametrize(
    ("order", "late", "others"),
    [
        # the checkpoint would hold the target of the step before
        (("Checkpoints", "AfterStep"), "AfterStep", "Checkpoints"),
        # a measurement would be one point late
        (("RunRecorder", "CollapseWatch"), "CollapseWatch", "RunRecorder"),
        # the record of a resumed run would lack an iteration
        (("CollapseWatch", "Checkpoints", "RunRecorder"), "RunRecorder", "Checkpoints"),
        # the output would have another form
        (("Checkpoints", "ListedOutput", "CollapseWatch"), "CollapseWatch", "Checkpoints, ListedOutput"),
    ],
)
def test_a_handler_that_comes_too_late_is_refused(tmp_path, order, late, others):
    engine, there = Engine(lambda engine, batch: None), handlers(tmp_path)
    *first, last = order
    for name in first:
        there[name].attach(engine)
    with pytest.raises(ValueError, match=f"the handler {late} must be attached before {others}: correct the order"):
        there[last].attach(engine)


def monai_handlers() -> dict[str, Any]:
    network = torch.nn.Linear(1, 1)
    schedule = torch.optim.lr_scheduler.StepLR(torch.optim.SGD(network.parameters(), lr=1), 1)
    validator = object.__new__(Evaluator)  # is not run
    return {
        "LrScheduleHandler": LrScheduleHandler(schedule, print_lr=False, epoch_level=False),
        "ValidationHandler": ValidationHandler(interval=2, validator=validator),
    }


@pytest.mark.parametrize("late", ["LrScheduleHandler", "ValidationHandler"])
def test_a_schedule_or_validation_of_monai_after_the_checkpoints_is_refused_at_the_start(tmp_path, late):
    engine, there = Engine(lambda engine, batch: None), handlers(tmp_path) | monai_handlers()
    for name in ("RunRecorder", "Checkpoints", late):
        there[name].attach(engine)
    with pytest.raises(ValueError, match=f"the handler {late} must be attached before Checkpoints: correct the order"):
        engine.run([0])


def test_a_schedule_and_a_validation_of_monai_before_the_checkpoints_are_accepted(tmp_path):
    engine, there = Engine(lambda engine, batch: None), handlers(tmp_path) | monai_handlers()
    for name in ("LrScheduleHandler", "ValidationHandler", "RunRecorder", "Checkpoints"):
        there[name].attach(engine)
    attaching._check_turns_of_others(engine)
