"""Options of the command line: epochs, nested keys, a file of options; from any folder, with MONAI's strict parsing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_cl.data import read_results
from tests.bundles.conftest import BUNDLES, ORGANS, PRETRAINING, SPLEEN, words
from tests.bundles.launcher import Finished
from tests.bundles.slice_runs import CLASSIFICATION
from tests.bundles.slice_runs import PRETRAINING as SLICES

STRICT = {"MONAI_FAIL_ON_DUPLICATE_CONFIG": "1"}


@pytest.fixture(scope="module")
def tiny(training_options, slice_options) -> Callable[..., dict[str, object]]:
    """What makes a training of any bundle tiny, without its length."""

    def options(bundle: str, **more: object) -> dict[str, object]:
        given = slice_options(bundle) if bundle in (SLICES, CLASSIFICATION) else training_options(bundle)
        return {**{key: value for key, value in given.items() if key not in ("iterations", "epoch_length")}, **more}

    return options


@pytest.fixture
def run(launcher, tmp_path) -> Callable[..., Finished]:
    """``run("train.yaml", options, cwd=…)`` of a copy of a bundle, which its results are left in."""

    def start(bundle: Path, config: str, options: dict[str, object], *more: str, cwd: Path) -> Finished:
        file = os.path.relpath(bundle / "configs" / config, cwd)
        arguments = ("run", *more, "--config_file", file, *words(options))
        return launcher.run("monai.bundle", *arguments, cwd=cwd, env=STRICT)

    return start


@pytest.mark.parametrize(
    "bundle", [PRETRAINING, SPLEEN, SLICES, CLASSIFICATION, pytest.param(ORGANS, marks=pytest.mark.slow)]
)
def test_a_copied_bundle_runs_from_any_folder_for_the_epochs_asked_for(run, tiny, bundle, tmp_path):
    copied = Path(shutil.copytree(BUNDLES / bundle, tmp_path / "a place" / bundle))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    more = ("finetune",) if bundle == CLASSIFICATION else ()
    options = tiny(bundle, epochs=2, epoch_length=1, **({"overlay_cases": 0} if bundle in (SPLEEN, ORGANS) else {}))
    run(copied, "train.yaml", options, *more, cwd=elsewhere).check()
    results = read_results(copied / "models")
    assert results["iterations"] == 2
    assert results["config"]["epochs"] == 2
    assert not any(elsewhere.iterdir())
    assert {path.name for path in copied.iterdir()} <= {"configs", "docs", "LICENSE", "models"}


def test_a_nested_key_is_reached_by_hash_signs_or_colons(run, tiny, tmp_path):
    nested = {"optimizer#lr": 0.5, "train::trainer::max_epochs": 1, "train#recorder#name": "mine"}
    nested |= {"train#random_transforms#0#prob": 0.0, "validate#inferer#overlap": 0.25}
    options = tiny(SPLEEN, epochs=2, epoch_length=1, overlay_cases=0, output_dir=str(tmp_path / "run"), **nested)
    run(BUNDLES / SPLEEN, "train.yaml", options, cwd=tmp_path).check()
    results = read_results(tmp_path / "run")
    assert (results["iterations"], results["name"]) == (1, "mine")
    config = results["config"]
    assert (config["optimizer"]["lr"], config["validate"]["inferer"]["overlap"]) == (0.5, 0.25)
    assert config["train"]["random_transforms"][0]["prob"] == 0
    (_, rate), *_ = results["curves"]["learning_rate"]
    assert rate == 0.5


def test_a_file_of_options_counts_as_the_command_line_does(launcher, tiny, tmp_path):
    given = {"config_file": str(BUNDLES / SPLEEN / "configs" / "train.yaml"), **tiny(SPLEEN, overlay_cases=0)}
    file = tmp_path / "options.json"
    file.write_text(json.dumps({**given, "epochs": 3, "epoch_length": 1, "output_dir": str(tmp_path / "run")}))
    launcher.run("monai.bundle", "run", "--args_file", file, "--epochs", 1, cwd=tmp_path).check()
    results = read_results(tmp_path / "run")
    assert (results["iterations"], results["config"]["epochs"]) == (1, 1)
    assert results["config"]["feature_size"] == given["feature_size"]
    file.write_text(json.dumps({**given, "epcohs": 3}))
    refused = launcher.run("monai.bundle", "run", "--args_file", file, cwd=tmp_path)
    assert refused.last_error_line.endswith("has no key 'epcohs'; did you mean --epochs?")


def test_a_repeated_key_is_refused_when_monai_is_asked_to(run, tiny, tmp_path):
    copied = Path(shutil.copytree(BUNDLES / SPLEEN, tmp_path / SPLEEN))
    with (copied / "configs" / "train.yaml").open("a") as stream:
        stream.write("seed: 1\n")
    refused = run(copied, "train.yaml", tiny(SPLEEN), cwd=tmp_path)
    assert refused.status != 0
    assert "Duplicate key: `seed`" in refused.err
