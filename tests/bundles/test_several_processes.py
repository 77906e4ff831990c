"""Data-parallel training under torchrun: it runs, writes once, and measures every case once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import torch

from monai_cl.data import read_results
from tests.bundles.conftest import ORGANS, PRETRAINING, config_files, words
from tests.bundles.test_pretraining_run import same, weights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def torchrun(training_options, tmp_path):
    """``torchrun(bundle, **options)``: two processes on the CPU."""

    def run(bundle: str, folder: str, *overlays: str, **options: object):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        files = "['" + "','".join(config_files(bundle, "train", "multi_gpu_train", *overlays)) + "']"
        chosen = words({**training_options(bundle, **options), "output_dir": str(tmp_path / folder)})
        launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={port}"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(
            [*launch, "-m", "monai.bundle", "run", "--config_file", files, *chosen],
            cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=800,
        )  # fmt: skip
        return done, tmp_path / folder

    return run


def test_pretraining_in_two_processes_writes_once_and_is_repeatable(torchrun):
    found = []
    for folder in ("one", "two"):
        done, run = torchrun(PRETRAINING, folder, preset="hybrid")
        assert done.returncode == 0, done.stderr[-4000:]
        names = sorted(path.name for path in run.iterdir())
        assert names == [
            "checkpoint_iteration=2.pt",
            "checkpoint_iteration=4.pt",
            "model.pt",
            "results.json",
            "tensorboard",
        ]
        assert len(list((run / "tensorboard").iterdir())) == 1
        assert read_results(run)["iterations"] == 4
        found.append(weights(run / "model.pt"))
    assert same(*found)
    assert not any(name.startswith("module.") for name in found[0])


def test_two_processes_see_two_different_samples_a_step(torchrun, train, tmp_path):
    done, run = torchrun(PRETRAINING, "two", iterations=2)
    assert done.returncode == 0, done.stderr[-4000:]
    train(PRETRAINING, tmp_path / "one", iterations=2).check()
    assert not same(weights(run / "model.pt"), weights(tmp_path / "one" / "model.pt"))


def test_a_batch_over_two_processes_is_that_batch_in_one(torchrun, train, tmp_path):
    # reconstruction is a mean over samples: gradients of two halves average to those of the whole
    options = {"preset": "reconstruction", "iterations": 2, "views": {"probability": 0.0}}
    done, run = torchrun(PRETRAINING, "two", **options)
    assert done.returncode == 0, done.stderr[-4000:]
    train(PRETRAINING, tmp_path / "one", batch_size=2, **options).check()
    one, two = weights(tmp_path / "one" / "model.pt"), weights(run / "model.pt")
    assert one.keys() == two.keys()
    for name in one:
        assert torch.allclose(one[name], two[name], atol=3e-5), name


def test_fine_tuning_in_two_processes_measures_every_case_once(torchrun):
    # four cases in two halves, one with the fifth: both ways of sharing
    done, run = torchrun(ORGANS, "run", iterations=2, batch_size=1, fold=0)
    assert done.returncode == 0, done.stderr[-4000:]
    results = read_results(run)
    assert [case["id"] for case in results["metrics"]["per_case"]] == ["target_0000"]
    assert list(results["metrics"]["dice"]) == results["data_list"]["datasets"]["synthetic_target"]["labels"][1:]


def test_an_uneven_share_of_cases_is_measured_as_by_one_process(torchrun, train, cohort, tmp_path):
    import json

    document = json.loads((cohort / "target.json").read_text())
    for number, item in enumerate(document["training"]):
        item["fold"] = int(number >= 3)  # fold 0 has three cases: two for one process, one for the other
    (tmp_path / "list.json").write_text(json.dumps(document))
    options = {"iterations": 2, "fold": 0, "data_list": str(tmp_path / "list.json"), "learning_rate": 0}
    done, run = torchrun(ORGANS, "two", batch_size=1, **options)
    assert done.returncode == 0, done.stderr[-4000:]
    train(ORGANS, tmp_path / "one", batch_size=2, **options).check()
    two, one = (read_results(folder)["metrics"] for folder in (run, tmp_path / "one"))
    assert two["mean_dice"] == pytest.approx(one["mean_dice"], abs=1e-6)
    assert {case["id"]: case["dice"] for case in two["per_case"]} == {
        case["id"]: case["dice"] for case in one["per_case"]
    }


def test_a_users_error_in_several_processes_ends_all_of_them(torchrun):
    done, run = torchrun(PRETRAINING, "run", data_list="/nowhere/list.json")
    assert done.returncode != 0
    assert "error: " in done.stderr
    assert "/nowhere/list.json" in done.stderr
    assert not run.exists()
