"""Trainings that are killed, at chosen and at random moments, and continue as if not interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from monai_cl.data import read_results
from monai_cl.engines import EXIT_SAVED
from monai_cl.engines.checkpoints.checkpoint_file import checkpoints_in
from monai_cl.engines.checkpoints.run_lock import RunLock
from tests.bundles.conftest import PRETRAINING, SPLEEN, config_files, words
from tests.bundles.launcher import Finished, Running
from tests.bundles.moments import held_at
from tests.bundles.workflow import refusal, run_workflow
from tests.soak.soak import SLOW_DISK, Soak, differences

pytestmark = pytest.mark.timeout(600)
OF_SPLEEN = {"label_fraction": 0.5, "fold": 1, "learning_rate": 0.003}


@pytest.fixture
def start(launcher, training_options, tmp_path) -> Callable[..., Running]:
    """``start(bundle, output_dir, prelude=…, **options)``: a training that keeps running."""

    def begin(bundle: str, output_dir: Path, *, prelude: str = "", **options: object) -> Running:
        files = "['" + "','".join(config_files(bundle, "train")) + "']"
        chosen = words({**training_options(bundle, **options), "output_dir": str(output_dir)})
        return launcher.start("monai.bundle", "run", "--config_file", files, *chosen, cwd=tmp_path, prelude=prelude)

    return begin


@pytest.fixture
def stop_at(start, tmp_path) -> Callable[..., Finished]:
    """``stop_at(moment, number, with_signal, bundle, output_dir, **options)``: ended when it has come to a moment."""

    def begin(moment: str, number: int, with_signal: int, bundle: str, output_dir: Path, **options: object) -> Finished:
        flag, go = tmp_path / "held", tmp_path / "held.go"
        flag.unlink(missing_ok=True)
        running = start(bundle, output_dir, prelude=held_at(moment, flag, number=number), **options)
        until = time.monotonic() + 240
        while not flag.exists() and time.monotonic() < until and running.lives():
            time.sleep(0.02)
        running.send(with_signal)
        if with_signal != signal.SIGKILL:
            go.touch()
        finished = running.wait()
        assert flag.exists(), f"it did not come to that moment\n{finished.out[-1000:]}\n{finished.err[-3000:]}"
        return finished

    return begin


def resumed_at(finished: Finished) -> int:
    """The iteration a run went on from, 0 for a fresh start."""
    text = finished.out + finished.err
    return int(text.split(" at iteration ")[1].split()[0]) if "resumed" in text else 0


# one after the other in one folder: moment, the how-manieth time, iterations in the whole checkpoints that are left
PRETRAINING_DEATHS = [
    ("before the step", 1, []),
    ("half written", 1, []),
    ("before the rename", 1, []),
    ("after the rename", 1, [2]),
    ("after the step", 2, [2]),
    ("half written", 1, [2]),
    ("before the results", 1, [4, 2]),
    ("half written", 1, [4, 2]),  # model.pt, after the last checkpoint
]


@pytest.mark.slow
def test_a_pretraining_killed_at_one_moment_after_another_is_the_uninterrupted_one(
    start, stop_at, pretraining, tmp_path
):
    run = tmp_path / "run"
    for moment, number, left in PRETRAINING_DEATHS:
        finished = stop_at(moment, number, signal.SIGKILL, PRETRAINING, run, preset="hybrid")
        assert finished.status == -signal.SIGKILL
        assert [path.name for path in checkpoints_in(run)] == [f"checkpoint_iteration={i}.pt" for i in left], moment
    assert list(run.glob(".tmp-*.pt-*")), "no death fell into a write"
    finished = start(PRETRAINING, run, preset="hybrid").wait().check()
    assert resumed_at(finished) == 4
    assert differences(pretraining, run) == []
    assert sorted(path.name for path in run.iterdir()) == sorted(path.name for path in pretraining.iterdir())


FINE_TUNING_DEATHS = [
    ("in a validation", 1, []),
    ("after the rename", 1, []),  # of model.pt: the best is written, its checkpoint is not
    ("half written", 2, []),  # the checkpoint after that
    ("in a validation", 2, [2]),
    ("half written", 1, [2]),
]


@pytest.mark.slow
def test_a_fine_tuning_killed_at_one_moment_after_another_is_the_uninterrupted_one(
    start, stop_at, spleen, encoder, tmp_path
):
    run, options = tmp_path / "spleen", {"pretrained_encoder": str(encoder), **OF_SPLEEN}
    for moment, number, left in FINE_TUNING_DEATHS:
        finished = stop_at(moment, number, signal.SIGKILL, SPLEEN, run, **options)
        assert finished.status == -signal.SIGKILL
        assert [path.name for path in checkpoints_in(run)] == [f"checkpoint_iteration={i}.pt" for i in left], moment
    start(SPLEEN, run, **options).wait().check()
    assert differences(spleen, run) == []
    assert read_results(run)["best"] == read_results(spleen)["best"]


def test_sigterm_saves_in_the_middle_of_an_epoch_and_says_so(start, stop_at, pretraining, tmp_path):
    run = tmp_path / "run"
    # the third step is the first of the second epoch
    finished = stop_at("before the step", 3, signal.SIGTERM, PRETRAINING, run, preset="hybrid")
    assert finished.status == EXIT_SAVED == 75
    assert "SIGTERM: saved at iteration 3" in finished.out + finished.err
    assert [path.name for path in checkpoints_in(run)] == ["checkpoint_iteration=3.pt", "checkpoint_iteration=2.pt"]
    finished = start(PRETRAINING, run, preset="hybrid").wait().check()
    assert resumed_at(finished) == 3
    assert differences(pretraining, run) == []


def test_sigterm_in_a_validation_is_obeyed_and_the_validation_made_up_for(start, stop_at, spleen, encoder, tmp_path):
    run, options = tmp_path / "spleen", {"pretrained_encoder": str(encoder), **OF_SPLEEN}
    finished = stop_at("in a validation", 1, signal.SIGTERM, SPLEEN, run, **options)
    assert finished.status == EXIT_SAVED
    content = torch.load(checkpoints_in(run)[0], weights_only=True)
    assert (content["iteration"], content["pending"], content["best_metric"]) == (2, True, None)
    start(SPLEEN, run, **options).wait().check()
    assert differences(spleen, run) == []


def test_sigterm_to_all_processes_of_a_job_leaves_the_loaders_workers_to_the_trainer(start, pretraining, tmp_path):
    run, flag = tmp_path / "run", tmp_path / "held"
    # Slurm signals the whole group, workers included
    alone = "import os, signal\nos.setsid()\n"
    slow = "import torch\nat(2, torch.optim.AdamW, 'step', before=lambda *a: (mark(), time.sleep(5)))\n"
    mark = f"mark = lambda: pathlib.Path({str(flag)!r}).touch()\n"
    prelude = alone + held_at("before the results", flag) + mark + slow
    running = start(PRETRAINING, run, prelude=prelude, preset="hybrid", num_workers=2)
    until = time.monotonic() + 240
    while not flag.exists() and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGTERM)
    finished = running.wait()
    assert finished.status == EXIT_SAVED, finished.err[-3000:]
    assert checkpoints_in(run)[0].name == "checkpoint_iteration=2.pt"
    start(PRETRAINING, run, preset="hybrid").wait().check()
    assert differences(pretraining, run) == []


@pytest.mark.filterwarnings("default")  # of a training in this process
def test_two_runs_in_one_folder_are_refused(start, training_options, tmp_path, monkeypatch):
    run, flag = tmp_path / "run", tmp_path / "held"
    running = start(PRETRAINING, run, prelude=held_at("before the step", flag, number=1), iterations=2)
    until = time.monotonic() + 240
    while not flag.exists() and time.monotonic() < until:
        time.sleep(0.02)
    monkeypatch.setitem(RunLock.acquire.__kwdefaults__, "patience", 0.5)
    try:
        with pytest.raises(RuntimeError) as second:
            run_workflow(PRETRAINING, "train", **training_options(PRETRAINING), output_dir=str(run))
    finally:
        running.send(signal.SIGKILL)
        running.wait()
    assert f"{run}: another run is writing there" in refusal(second)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_soak_of_two_minutes_loses_nothing(launcher, tmp_path):
    result = Soak(tmp_path / "soak", seed=int(time.time()), launcher=launcher).run(2)
    assert result["lost"] == []
    assert result["counts"]["kills"] > 0
    assert result["counts"]["trainings finished"] > 0


@pytest.mark.slow
def test_an_interpreter_of_its_own_killed_at_a_random_moment_continues(training_options, pretraining, tmp_path):
    run = tmp_path / "run"
    options = words({**training_options(PRETRAINING, preset="hybrid"), "output_dir": str(run)})
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", *config_files(PRETRAINING, "train")]
    code = (
        SLOW_DISK + "import runpy, sys\nsys.argv = sys.argv[1:]\nrunpy.run_module('monai.bundle', run_name='__main__')"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code, *command[2:], *options], cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 240
    while not run.is_dir() and time.monotonic() < until:  # made when the training begins
        time.sleep(0.01)
    time.sleep(1)  # other moments are the soak's
    first.kill()
    first.wait()
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, encoding="utf-8", timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert differences(pretraining, run) == []
