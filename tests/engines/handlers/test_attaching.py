"""What is done when a run fails: everything that was asked for, and the error goes on."""

from __future__ import annotations

import os
import signal

import pytest
from ignite.engine import Engine

from monai_cl.engines.checkpoints.termination import Preempted
from monai_cl.engines.handlers.attaching import on_exception
from tests.engines.runs import TinyRun


def failing() -> Engine:
    """An engine that fails at the end of an epoch, as in a validation: Ignite reports this once."""
    engine = Engine(lambda engine, batch: None)
    engine.add_event_handler("EPOCH_COMPLETED", lambda: 1 / 0)
    return engine


def test_all_are_called_last_one_first_and_the_error_goes_on():
    engine, called = failing(), []
    for name in "abc":
        on_exception(engine, lambda engine, error, name=name: called.append((name, type(error))))
    with pytest.raises(ZeroDivisionError):
        engine.run([0])
    assert called == [(name, ZeroDivisionError) for name in "cba"]


@pytest.mark.parametrize("error", [KeyError, SystemExit, KeyboardInterrupt])
def test_one_that_raises_keeps_no_other_from_being_called_and_its_error_is_the_one_that_goes_on(error):
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
