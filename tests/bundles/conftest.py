"""One tiny synthetic cohort, and one run of every step on it, shared by all tests of the bundles."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_cl.data import read_results, write_cohort

# fixtures
from tests.bundles.cine_runs import cine, cine_options, cine_run  # noqa: F401
from tests.bundles.head_runs import head_options, head_pretrained, head_run, head_trained, heads  # noqa: F401
from tests.bundles.joined_runs import agents, start_agents, torchrun  # noqa: F401
from tests.bundles.launcher import Finished
from tests.bundles.modality_runs import both_list, both_spleen, mr_list, mr_spleen  # noqa: F401
from tests.bundles.slice_runs import probe, scans, slice_cohort, slice_options, slice_run, wsp  # noqa: F401
from tests.bundles.workflow import BUNDLES, config_files, words

__all__ = ["BUNDLES"]

PRETRAINING, SPLEEN, ORGANS = "mixcl_ct_pretraining", "spleen_unetr_segmentation", "btcv_unetr_segmentation"
SPACING = [8.0, 8.0, 8.0]
NETWORK = {"patch_size": [32, 32, 32], "feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
TINY = {"spacing": SPACING, **NETWORK}


def without_model(value: object) -> object:
    """What a key is where no file of weights says otherwise: the default of ``from_model`` in its expression."""
    match = re.fullmatch(
        r'\$monai_cl\.engines\.from_model\(@\w+, "\w+", (.*)\)', value if isinstance(value, str) else ""
    )
    return ast.literal_eval(match[1]) if match else value


@pytest.fixture(scope="session")
def cohort(tmp_path_factory) -> Path:
    """Five synthetic cases a data set at 8 mm."""
    folder = tmp_path_factory.mktemp("synthetic") / "cohort"
    write_cohort(folder, cases=5, spacing=8, progress=False)
    return folder


@pytest.fixture(scope="session")
def training_options(cohort) -> Callable[..., dict[str, object]]:
    """Options of a tiny training; whatever is given replaces them."""

    def options(bundle: str, **more: object) -> dict[str, object]:
        data_list = {PRETRAINING: "pretraining.json", SPLEEN: "spleen.json", ORGANS: "target.json"}[bundle]
        own = {"dataset_dir": str(cohort), "data_list": str(cohort / data_list)}
        own |= {"store_dir": str(cohort.parent / "store"), "prepare_workers": 1, "num_workers": 0, **TINY}
        return {**own, "iterations": 4, "epoch_length": 2, **more}

    return options


@pytest.fixture(scope="session")
def train(launcher, training_options, tmp_path_factory) -> Callable[..., Finished]:
    """``train(bundle, output_dir, **options)``: a training as a process of its own, in an empty folder elsewhere."""

    def run(bundle: str, output_dir: str | Path, *overlays: str, **options: object) -> Finished:
        files = "['" + "','".join(config_files(bundle, "train", *overlays)) + "']"
        chosen = words({**training_options(bundle, **options), "output_dir": str(output_dir)})
        cwd = tmp_path_factory.mktemp("cwd")
        finished = launcher.run("monai.bundle", "run", "--config_file", files, *chosen, cwd=cwd)
        assert not any(cwd.iterdir()), "a run left something in the current folder"
        return finished

    return run


@pytest.fixture(scope="session")
def pretraining(training_options, tmp_path_factory) -> Path:
    """A finished pre-training: four iterations in two epochs, every term on. Look, do not touch.

    By an interpreter of its own, which has imported nothing before: the launcher's has.
    """
    folder = tmp_path_factory.mktemp("runs") / "pretraining"
    options = words({**training_options(PRETRAINING, preset="hybrid"), "output_dir": str(folder)})
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", *config_files(PRETRAINING, "train")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    cwd = tmp_path_factory.mktemp("cwd")
    done = subprocess.run(
        [*command, *options], cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=280
    )
    Finished(done.returncode, done.stdout, done.stderr).check()
    return folder


@pytest.fixture(scope="session")
def encoder(launcher, pretraining) -> Path:
    """Its exported encoder."""
    path = pretraining.parent / "encoder.pt"
    launcher.run("monai_cl", "export_encoder", pretraining / "model.pt", "--output", path, cwd=path.parent).check()
    return path


@pytest.fixture(scope="session")
def spleen(train, encoder) -> Path:
    """A finished fine-tuning from that encoder: four iterations, validated after every second on an LPS volume."""
    folder = encoder.parent / "spleen"
    train(SPLEEN, folder, pretrained_encoder=str(encoder), label_fraction=0.5, fold=1, learning_rate=0.003).check()
    return folder


@pytest.fixture(scope="session")
def organs(train, encoder) -> Path:
    """A finished fine-tuning of several organs from scratch."""
    folder = encoder.parent / "organs"
    train(ORGANS, folder, iterations=2, overlay_cases=1, learning_rate=0.003).check()
    return folder


@pytest.fixture(scope="session")
def evaluation(train, spleen, encoder) -> Path:
    """The best model of that run evaluated on its fold once more, alone."""
    train(SPLEEN, spleen, "evaluate", fold=1).check()
    return spleen / "evaluation"


@pytest.fixture(scope="session")
def infer(launcher, spleen, tmp_path_factory) -> Callable[..., Finished]:
    """``infer(bundle, output_dir, **options)``: inference with the spleen's model, unless given another."""

    def run(bundle: str, output_dir: str | Path, **options: object) -> Finished:
        chosen = words({**TINY, "checkpoint": str(spleen / "model.pt"), **options, "output_dir": str(output_dir)})
        file = config_files(bundle, "inference")[0]
        return launcher.run("monai.bundle", "run", "--config_file", file, *chosen, cwd=tmp_path_factory.mktemp("cwd"))

    return run


@pytest.fixture(scope="session")
def spleen_maps(infer, cohort, spleen) -> Path:
    """Label maps of every case of the spleen's data set."""
    folder = spleen.parent / "spleen maps"
    infer(SPLEEN, folder, dataset_dir=str(cohort / "synthetic_spleen" / "images")).check()
    return folder


@pytest.fixture(scope="session")
def organ_maps(infer, cohort, organs) -> Path:
    """The label map of the case that the organs' run validated on."""
    names = read_results(organs)["data_list"]["datasets"]["synthetic_target"]["labels"][1:]
    case = cohort / "synthetic_target" / "images" / "target_0000.nii.gz"
    folder = organs.parent / "organ maps"
    infer(ORGANS, folder, checkpoint=str(organs / "model.pt"), organs=names, datalist=[str(case)]).check()
    return folder
