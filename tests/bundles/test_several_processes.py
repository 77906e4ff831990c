"""Data-parallel training under torchrun: it writes once, measures every case once, ends when a process dies."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from monai_cl.data import read_results
from tests.bundles.conftest import ORGANS, PRETRAINING, config_files, words
from tests.bundles.test_pretraining_run import same, weights
from tests.bundles.torchrun import Agents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def pretrained_by_two(start_agents, tmp_path_factory) -> Callable[[int], Path]:
    """``pretrained_by_two(machines)``: the run of `pretraining` by two processes, made once. Look, do not touch."""
    place, made = tmp_path_factory.mktemp("pretrained"), {}

    def run(machines: int) -> Path:
        if machines not in made:
            for done in start_agents(place, PRETRAINING, str(machines), machines=machines, preset="hybrid").wait():
                done.check()
            made[machines] = place / str(machines)
        return made[machines]

    return run


@pytest.mark.parametrize("machines", [1, 2])
def test_pretraining_in_two_processes_writes_once(pretrained_by_two, machines, pretraining):
    run = pretrained_by_two(machines)
    assert {path.name for path in run.iterdir()} == {path.name for path in pretraining.iterdir()}
    assert len(list((run / "tensorboard").iterdir())) == 1
    assert read_results(run)["iterations"] == 4
    assert not any(name.startswith("module.") for name in weights(run / "model.pt"))


def test_two_processes_see_two_different_samples_a_step(pretrained_by_two, pretraining):
    assert not same(weights(pretrained_by_two(1) / "model.pt"), weights(pretraining / "model.pt"))


def test_a_batch_over_two_processes_is_that_batch_in_one(torchrun, train, tmp_path):
    # reconstruction is a mean over samples: gradients of two halves average to those of the whole
    options = {"preset": "reconstruction", "iterations": 2, "views": {"probability": 0.0}}
    done, run = torchrun(PRETRAINING, "two", **options)
    assert done.status == 0, done.err[-4000:]
    train(PRETRAINING, tmp_path / "one", batch_size=2, **options).check()
    one, two = weights(tmp_path / "one" / "model.pt"), weights(run / "model.pt")
    assert one.keys() == two.keys()
    for name in one:
        assert torch.allclose(one[name], two[name], atol=3e-5), name


def test_a_fine_tuning_of_one_process_continues_in_two(torchrun, train, tmp_path):
    options = {"epoch_length": 2, "fold": 0}
    train(ORGANS, tmp_path / "run", iterations=2, batch_size=2, **options).check()
    done, run = torchrun(ORGANS, "run", iterations=4, batch_size=1, **options)
    assert done.status == 0, done.err[-4000:]
    assert (run / "checkpoint_iteration=4.pt").is_file()
    results = read_results(run)
    assert results["iterations"] == 4
    assert [iteration for iteration, _ in results["curves"]["mean_dice"]] == [2, 4]


def test_an_uneven_share_of_cases_is_measured_as_by_one_process(torchrun, train, cohort, tmp_path):
    document = json.loads((cohort / "target.json").read_text(encoding="utf-8"))
    for number, item in enumerate(document["training"]):
        item["fold"] = int(number >= 3)  # fold 0 has three cases: two for one process, one for the other
    (tmp_path / "list.json").write_text(json.dumps(document))
    options = {"iterations": 2, "fold": 0, "data_list": str(tmp_path / "list.json"), "learning_rate": 0}
    done, run = torchrun(ORGANS, "two", batch_size=1, **options)
    assert done.status == 0, done.err[-4000:]
    train(ORGANS, tmp_path / "one", batch_size=2, **options).check()
    two, one = (read_results(folder)["metrics"] for folder in (run, tmp_path / "one"))
    assert two["mean_dice"] == pytest.approx(one["mean_dice"], abs=1e-6)
    assert {case["id"]: case["dice"] for case in two["per_case"]} == {
        case["id"]: case["dice"] for case in one["per_case"]
    }


def test_a_users_error_in_several_processes_ends_all_of_them(torchrun):
    done, run = torchrun(PRETRAINING, "run", data_list="/nowhere/list.json")
    assert done.status != 0
    assert "error: " in done.err
    assert "/nowhere/list.json" in done.err
    assert not run.exists()


def test_two_machines_learn_what_two_processes_on_one_do(pretrained_by_two):
    # so do two runs of one command: these are two runs
    one, two = pretrained_by_two(1), pretrained_by_two(2)
    assert same(weights(one / "model.pt"), weights(two / "model.pt"))
    assert read_results(one)["curves"] == read_results(two)["curves"]


def test_processes_of_different_configs_are_refused(training_options, free_port, tmp_path):
    files = "['" + "','".join(config_files(PRETRAINING, "train", "multi_gpu_train")) + "']"
    port, ended = free_port(), []
    for machine, size in enumerate((1, 2)):
        chosen = words({**training_options(PRETRAINING, batch_size=size), "output_dir": str(tmp_path / "run")})
        arguments = ["--config_file", files, *chosen]
        # each is one of two machines, and has been given another command
        ended.append(Agents(arguments, tmp_path / str(machine), port, machines=2, processes=1, only=machine))
    found = [done for one in ended for done in one.wait(300)]
    for done in found:
        assert done.status != 0
        assert "error: config key batch_size: process 1 (on " in done.err
        assert "start every machine with the same config files and options" in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("machines", [1, 2])
def test_a_process_that_dies_ends_the_others_and_the_run_continues_when_started_again(machines, agents, tmp_path):
    run = agents(PRETRAINING, "run", machines=machines, iterations=400, epoch_length=2)
    run.when(lambda: (tmp_path / "run" / "checkpoint_iteration=2.pt").exists())
    os.kill(run.process(1), signal.SIGKILL)
    began = time.monotonic()
    found = run.wait(120)
    assert time.monotonic() - began < 100
    for done in found:
        assert done.status != 0
    said = "".join(done.err for done in found)
    if machines == 2:  # on one machine torchrun ends the others at once, mostly before they miss it
        lost = r"error: process 0 of 2 \(on \S+\) lost another one, which has ended or hangs"
        assert re.search(lost, found[0].err), said[-4000:]
    assert "SIGKILL" in said  # torchrun reports how it ended
    before = max(int(path.stem.split("=")[1]) for path in (tmp_path / "run").glob("checkpoint_iteration=*.pt"))
    for done in agents(PRETRAINING, "run", machines=machines, iterations=before + 2, epoch_length=2).wait():
        done.check()
    assert read_results(tmp_path / "run")["iterations"] == before + 2


def test_sigterm_saves_two_processes_at_the_same_step_and_the_run_continues_as_if_nothing_had_been(agents, tmp_path):
    options = {"iterations": 40, "epoch_length": 4, "preset": "reconstruction"}
    run = agents(PRETRAINING, "cut", **options)
    run.when(lambda: (tmp_path / "cut" / "checkpoint_iteration=4.pt").exists())
    run.agents[0].send_signal(signal.SIGTERM)
    (done,) = run.wait(120)
    assert done.status == 1  # torchrun's own
    assert "SIGTERM: saved at iteration" in done.out + done.err
    assert not (tmp_path / "cut" / "model.pt").exists()
    for folder in ("cut", "whole"):
        agents(PRETRAINING, folder, **options).wait()[0].check()
    cut, whole = (tmp_path / name for name in ("cut", "whole"))
    assert same(weights(cut / "model.pt"), weights(whole / "model.pt"))
    curves = [read_results(folder)["curves"] for folder in (cut, whole)]
    assert curves[0] == curves[1]


def test_a_process_that_hangs_is_given_up_after_the_time_out(agents, tmp_path):
    run = agents(PRETRAINING, "run", machines=2, iterations=400, epoch_length=2, process_timeout=30)  # of the start too
    run.when(lambda: (tmp_path / "run" / "checkpoint_iteration=2.pt").exists())
    os.kill(run.process(1), signal.SIGSTOP)
    began = time.monotonic()
    run.agents[0].wait(200)
    assert 20 < time.monotonic() - began < 180
    said = run.err(0).read_text(encoding="utf-8")
    assert re.search(r"error: process 0 of 2 \(on \S+\) lost another one, .*([Tt]imed out|timeout)", said), said[-4000:]
    assert (tmp_path / "run" / "checkpoint_iteration=2.pt").exists()


def test_processes_that_the_config_does_not_join_are_refused(agents, tmp_path):
    (done,) = agents(PRETRAINING, "run", joined=False).wait()
    assert done.status != 0
    assert "add the bundle's configs/multi_gpu_train.yaml as the last of --config_file, or run without" in done.err
    assert not (tmp_path / "run").exists()


def test_fine_tuning_over_two_processes_is_that_of_one(torchrun, train, tmp_path):
    # plain gradient descent: AdamW's first steps have the size of the learning rate, however small a gradient is
    options = {"iterations": 2, "fold": 0, "learning_rate": 0.01, "optimizer#_target_": "torch.optim.SGD"}
    done, run = torchrun(ORGANS, "two", batch_size=1, **options)
    done.check()
    train(ORGANS, tmp_path / "one", batch_size=2, **options).check()
    one, two = weights(tmp_path / "one" / "model.pt"), weights(run / "model.pt")
    assert one.keys() == two.keys()
    for name in one:
        assert torch.allclose(one[name], two[name], atol=1e-6), name
    metrics = [read_results(folder)["metrics"] for folder in (tmp_path / "one", run)]
    assert metrics[0]["mean_dice"] == pytest.approx(metrics[1]["mean_dice"], abs=1e-3)
    losses = [read_results(folder)["curves"]["loss"][-1] for folder in (tmp_path / "one", run)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    # four cases in two halves, one with the fifth: both ways of sharing, and every case is measured once
    results = read_results(run)
    assert [case["id"] for case in results["metrics"]["per_case"]] == ["target_0000"]
    assert list(results["metrics"]["dice"]) == results["data_list"]["datasets"]["synthetic_target"]["labels"][1:]


def test_an_evaluation_over_two_processes_is_that_of_one(agents, train, organs, cohort, tmp_path):
    document = json.loads((cohort / "target.json").read_text(encoding="utf-8"))
    for number, item in enumerate(document["training"]):
        item["fold"] = int(number >= 3)  # fold 0 has three cases: two for one process, one for the other
    (tmp_path / "list.json").write_text(json.dumps(document))
    options = {"fold": 0, "data_list": str(tmp_path / "list.json"), "checkpoint": str(organs / "model.pt")}
    options["allow_overlap"] = True  # of the three, the model has seen some
    train(ORGANS, tmp_path / "one", "evaluate", **options).check()
    (done,) = agents(ORGANS, "two", "evaluate", "multi_gpu_train", **options).wait()
    done.check()
    one, two = (read_results(tmp_path / name / "evaluation")["metrics"] for name in ("one", "two"))
    assert len(one["per_case"]) == 3
    assert one["mean_dice"] == pytest.approx(two["mean_dice"], abs=1e-6)
    assert {c["id"]: c["dice"] for c in one["per_case"]} == {c["id"]: c["dice"] for c in two["per_case"]}
