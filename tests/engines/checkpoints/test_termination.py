"""SIGTERM or Ctrl-C in this process: the run saves, exits with its status, and continues to the same result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
import torch
from ignite.engine import Events

from monai_cl.engines import EXIT_SAVED
from monai_cl.engines.checkpoints.termination import Preempted, Termination
from tests.engines.runs import TinyRun, same


def terminate_at(run: TinyRun, iteration: int, number: signal.Signals = signal.SIGTERM) -> None:
    """The system's signal, in the middle of a step."""
    step = run._step

    def stepping(engine, positions):
        if engine.state.iteration == iteration:
            os.kill(os.getpid(), number)
        return step(engine, positions)

    run.engine._process_function = stepping


@pytest.mark.parametrize("scores", [None, [0.3, 0.2, 0.5, 0.4]])
@pytest.mark.parametrize("iteration", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("interval", [1, 3])
def test_a_run_ended_by_sigterm_at_any_step_continues_to_the_same_end(tmp_path, iteration, scores, interval):
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


@pytest.fixture
def foreground():
    """Ctrl-C as in a terminal; a test in the background of a shell would ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("foreground")
@pytest.mark.parametrize("iteration", [1, 4])
def test_a_run_ended_by_ctrl_c_says_how_to_go_on_and_continues_to_the_same_end(tmp_path, iteration, caplog, capfd):
    whole = TinyRun(tmp_path / "whole").go(epochs=4)
    cut = TinyRun(tmp_path / "cut")
    terminate_at(cut, iteration, signal.SIGINT)
    with pytest.raises(Preempted) as left:
        cut.go(epochs=4)
    assert left.value.code == EXIT_SAVED
    assert "Ctrl-C: finishing this iteration, then saving; press it again to end at once" in capfd.readouterr().err
    assert f"Ctrl-C: saved at iteration {iteration}; the same command with --resume auto continues" in caplog.text
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    resumed = TinyRun(tmp_path / "cut").go(epochs=4)
    assert resumed.seen == whole.seen[2 * iteration :]
    assert same(resumed.weights, whole.weights)


def test_an_orderly_stop_is_no_error_in_the_log_and_a_fault_is_one_also_beside_it(tmp_path, caplog):
    run = TinyRun(tmp_path / "validating", scores=[0.1, 0.2])
    run.engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: run.evaluator.run([0, 1, 2]))
    run.evaluator.add_event_handler(Events.ITERATION_STARTED, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Preempted):
        run.go(epochs=2)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []

    def failing(engine):
        os.kill(os.getpid(), signal.SIGTERM)
        raise OSError("the disk is gone")

    run = TinyRun(tmp_path / "failing")
    run.engine.add_event_handler(Events.ITERATION_COMPLETED(once=2), failing)
    with pytest.raises(Preempted):
        run.go(epochs=2)
    assert "the disk is gone" in "".join(r.getMessage() for r in caplog.records if r.levelname == "ERROR")


@pytest.mark.usefixtures("foreground")
@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_second_ctrl_c_ends_at_once_unless_it_is_the_first_one_handed_on(tmp_path, monkeypatch, seconds):
    monkeypatch.setattr("monai_cl.engines.checkpoints.termination._SAME_SECONDS", seconds)
    run = TinyRun(tmp_path)
    step = run._step

    def stepping(engine, positions):
        if engine.state.iteration == 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return step(engine, positions)

    run.engine._process_function = stepping
    with pytest.raises(Preempted if seconds else KeyboardInterrupt):
        run.go(epochs=4)
    assert (tmp_path / "checkpoint_iteration=2.pt").is_file() == bool(seconds)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_job_in_the_background_ignores_ctrl_c_as_before(tmp_path, foreground):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run = TinyRun(tmp_path)
    terminate_at(run, 1, signal.SIGINT)
    run.go(epochs=2)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


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


def test_several_processes_have_saved_before_they_validate(tmp_path, monkeypatch):
    monkeypatch.setattr("monai_cl.engines.checkpoints.checkpoint.world_size", lambda: 2)
    scores = [0.1, 0.4, 0.2]
    cut = TinyRun(tmp_path / "cut", scores=scores)
    # after the last step of an epoch, before its validation, in which SIGKILL may find a process waiting for others
    cut.engine.add_event_handler(Events.ITERATION_COMPLETED(once=4), lambda engine: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cut.go(epochs=3)
    content = torch.load(tmp_path / "cut" / "checkpoint_iteration=4.pt", weights_only=True)
    assert (content["pending"], content["best_metric"]) == (True, 0.1)
    whole, resumed = (TinyRun(tmp_path / name, scores=scores).go(epochs=3) for name in ("whole", "cut"))
    assert resumed.seen == whole.seen[8:]
    assert same(*(torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "cut")))


def test_a_process_that_writes_nothing_does_not_say_that_the_run_is_saved(tmp_path, caplog):
    for folder, is_writer in (("other", False), ("first", True)):
        run = TinyRun(tmp_path / folder, is_writer=is_writer)
        terminate_at(run, 3)
        with pytest.raises(Preempted):
            run.go(epochs=4)
        assert ("SIGTERM: saved at iteration 3" in caplog.text) is is_writer


def test_outside_the_main_thread_signals_are_left_alone():
    before, termination = signal.getsignal(signal.SIGTERM), Termination()
    thread = threading.Thread(target=termination.watch)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
    assert not termination.requested


HANGING = """
import sys, time
from pathlib import Path
import torch
from monai_cl.engines.checkpoints.termination import Preempted, Termination, ignore_sigterm_in_worker

class Stalled(torch.utils.data.Dataset):
    def __len__(self):
        return 9

    def __getitem__(self, number):
        if number > 1:  # a network disk that does not answer
            Path(sys.argv[1]).touch()
            time.sleep(600)
        return number

if __name__ == "__main__":
    Termination().watch()
    samples = iter(torch.utils.data.DataLoader(
        Stalled(), num_workers=1, worker_init_fn=ignore_sigterm_in_worker, multiprocessing_context=sys.argv[2]
    ))
    next(samples)
    while not Path(sys.argv[1]).exists():
        time.sleep(0.01)
    raise Preempted
"""


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_a_worker_that_hangs_does_not_keep_a_run_from_leaving(tmp_path, start):
    (tmp_path / "hanging.py").write_text(HANGING, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "hanging.py"), str(tmp_path / "stalled"), start]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == EXIT_SAVED, done.stderr
