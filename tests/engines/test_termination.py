"""SIGTERM in this process: the run saves, leaves with its status, and goes on to the same end."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import torch
from ignite.engine import Events

from monai_cl.engines import EXIT_SAVED
from monai_cl.engines.termination import Preempted, Termination
from tests.engines.runs import TinyRun, same


def terminate_at(run: TinyRun, iteration: int) -> None:
    """The system's signal, in the middle of a step."""
    step = run._step

    def stepping(engine, positions):
        if engine.state.iteration == iteration:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(engine, positions)

    run.engine._process_function = stepping


@pytest.mark.parametrize("scores", [None, [0.3, 0.2, 0.5, 0.4]])
@pytest.mark.parametrize("iteration", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("interval", [1, 3])
def test_a_run_ended_by_sigterm_at_any_step_goes_on_to_the_same_end(tmp_path, iteration, scores, interval):
    whole = TinyRun(tmp_path / "whole", scores=scores, interval=interval).go(epochs=4)
    cut = TinyRun(tmp_path / "cut", scores=scores, interval=interval)
    terminate_at(cut, iteration)
    with pytest.raises(Preempted) as left:
        cut.go(epochs=4)
    assert left.value.code == EXIT_SAVED
    resumed = TinyRun(tmp_path / "cut", scores=scores, interval=interval, seed=99).go(epochs=4)
    assert resumed.seen == whole.seen[2 * iteration :]  # no sample twice, none left out
    assert same(resumed.weights, whole.weights)
    models = [torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "cut")]
    assert same(*models)


def test_in_the_last_step_there_is_nothing_to_leave(tmp_path):
    run = TinyRun(tmp_path)
    terminate_at(run, 4)
    run.go(epochs=2)
    assert (tmp_path / "model.pt").is_file()


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_the_signal_is_given_back(tmp_path, ends):
    before = signal.getsignal(signal.SIGTERM)
    run = TinyRun(tmp_path)
    if ends == "badly":
        run.engine._process_function = lambda engine, batch: 1 / 0
        with pytest.raises(ZeroDivisionError):
            run.go(epochs=1)
    else:
        run.go(epochs=1)
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_error_of_its_own_saves_nothing(tmp_path):
    run = TinyRun(tmp_path)
    run.engine._process_function = lambda engine, batch: 1 / 0
    with pytest.raises(ZeroDivisionError):
        run.go(epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_that_the_signal_brought_about_saves_where_the_state_is_whole(tmp_path):
    run = TinyRun(tmp_path / "cut")

    def fail(engine) -> None:  # as a collective does when the other processes have left already
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("Connection closed by peer")

    run.engine.add_event_handler(Events.GET_BATCH_STARTED(once=3), fail)
    with pytest.raises(Preempted):
        run.go(epochs=4)
    whole = TinyRun(tmp_path / "whole").go(epochs=4)
    resumed = TinyRun(tmp_path / "cut").go(epochs=4)
    assert resumed.seen == whole.seen[6:]
    assert same(resumed.weights, whole.weights)


def test_outside_the_main_thread_signals_are_left_alone():
    before, termination = signal.getsignal(signal.SIGTERM), Termination()
    thread = threading.Thread(target=termination.watch)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    assert not termination.requested
