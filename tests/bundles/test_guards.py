"""What goes wrong in the middle of a training ends with one line that names sample, key or folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest

from monai_cl.engines.checkpoints.checkpoint_file import checkpoints_in, read_checkpoint
from tests.bundles.conftest import PRETRAINING, SPLEEN, config_files, words
from tests.bundles.launcher import Finished
from tests.bundles.moments import held_at


@pytest.fixture
def run_with(launcher, training_options, tmp_path) -> Callable[..., Finished]:
    """``run_with(code, bundle, **options)``: a training in ``tmp_path/run`` with ``step(number, do)`` at hand."""

    def run(code: str, bundle: str, **options: object) -> Finished:
        files = "['" + "','".join(config_files(bundle, "train")) + "']"
        chosen = words({**training_options(bundle, **options), "output_dir": str(tmp_path / "run")})
        step = (
            "import torch, shutil\n"
            "def step(number, do): at(number, torch.optim.AdamW, 'step', after=lambda *a: do())\n"
            "def fail(error): raise error\n"
        )
        prelude = held_at("before the results", tmp_path / "never", number=99) + step + code
        started = launcher.start("monai.bundle", "run", "--config_file", files, *chosen, cwd=tmp_path, prelude=prelude)
        return started.wait()

    return run


def check(finished: Finished, *parts: str) -> None:
    """It failed, and its last line has every part."""
    assert finished.status == 1
    assert finished.last_error_line.startswith("error: "), finished.err[-3000:]
    for part in parts:
        assert part in finished.last_error_line, finished.last_error_line


@pytest.mark.parametrize("bundle", [SPLEEN, PRETRAINING])
def test_a_training_that_diverges_stops_and_names_its_samples(train, tmp_path, bundle):
    finished = train(bundle, tmp_path / "run", learning_rate=1e30, iterations=8)
    check(finished, "run/non_finite.jsonl: iteration ", "it came from", "_000", "--gradient_clip", "--non_finite skip")
    (row,) = map(json.loads, (tmp_path / "run" / "non_finite.jsonl").read_text(encoding="utf-8").splitlines())
    assert row["action"] == "stopped"
    assert all(sample["finite"] for sample in row["samples"])
    assert row["samples"][0]["position"] == (row["iteration"] - 1) * len(row["samples"])


def test_gradients_of_a_bundle_are_clipped_by_key(train, tmp_path):
    train(SPLEEN, tmp_path / "run", gradient_clip=0.001, iterations=2).check()
    curves = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))["curves"]
    assert curves["gradient_norm"][0][1] > 0.001  # as it was before clipping


def test_lack_of_memory_names_the_keys_to_lower(run_with):
    error = "torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')"
    finished = run_with(f"step(1, lambda: fail({error}))", SPLEEN, iterations=2)
    check(finished, "for training: lower --batch_size (now 2) or --patch_size (now [32, 32, 32])")


def test_lack_of_memory_in_a_validation_names_the_windows(run_with):
    code = (
        "import monai.engines\n"
        "error = MemoryError('Unable to allocate 9 GiB')\n"
        "at(1, monai.engines.SupervisedEvaluator, '_iteration', before=lambda *a: fail(error))"
    )
    check(run_with(code, SPLEEN, iterations=2), "for validating: lower --validate#inferer#sw_batch_size (now 4)")


def test_a_store_that_vanishes_is_named_and_what_was_saved_stays(run_with, cohort, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(cohort.parent / "store", store)
    finished = run_with(f"step(3, lambda: shutil.rmtree({str(store)!r}))", SPLEEN, store_dir=str(store), iterations=8)
    check(finished, f"{store}: the store has vanished", "--resume auto")
    # a chunk that is in memory may carry it a step further
    assert read_checkpoint(checkpoints_in(tmp_path / "run")[0])["iteration"] in (2, 4)


def test_a_scan_that_vanishes_before_its_validation_is_named(run_with, cohort, tmp_path):
    data = shutil.copytree(cohort, tmp_path / "data")
    images = data / "synthetic_spleen" / "images"
    options = {"dataset_dir": str(data), "data_list": str(data / "spleen.json"), "store_dir": str(tmp_path / "store")}
    finished = run_with(f"step(2, lambda: shutil.rmtree({str(images)!r}))", SPLEEN, fold=1, **options)
    check(finished, "images/spleen_0001.nii.gz")


def test_an_output_folder_that_vanishes_is_named(run_with, tmp_path):
    run = tmp_path / "run"
    finished = run_with(f"step(3, lambda: shutil.rmtree({str(run)!r}))", PRETRAINING, iterations=4)
    check(finished, str(run), "--resume auto")
