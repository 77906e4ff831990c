"""Real runs that are given a model and none of its settings: their results are those of runs that were given all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from monai_cl.data import read_results
from monai_cl.networks import read_about
from tests.bundles.conftest import SPLEEN, TINY, config_files, words
from tests.bundles.slice_runs import CLASSIFICATION

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(launcher, training_options, tmp_path_factory):
    """``run(names, output_dir, **options)``: the spleen's bundle without any of the settings a model carries."""

    def start(names: tuple[str, ...], output_dir: Path, **options: object):
        own = training_options(SPLEEN) if names[0] == "train" else {}
        chosen = {key: value for key, value in own.items() if key not in TINY} | options
        files = "['" + "','".join(config_files(SPLEEN, *names)) + "']"
        line = words({**chosen, "output_dir": str(output_dir)})
        return launcher.run(
            "monai.bundle", "run", "--config_file", files, *line, cwd=tmp_path_factory.mktemp("elsewhere")
        )

    return start


def same_weights(one: Path, other: Path) -> bool:
    states = [torch.load(folder / "model.pt", weights_only=True) for folder in (one, other)]
    return all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_a_fine_tuning_takes_the_encoders_settings_and_keeps_what_it_is(run, spleen, encoder, tmp_path):
    options = {"label_fraction": 0.5, "fold": 1, "learning_rate": 0.003}
    run(("train",), tmp_path / "run", pretrained_encoder=str(encoder), **options).check()
    assert same_weights(spleen, tmp_path / "run")
    results, about = read_results(tmp_path / "run"), read_about(encoder)
    assert results["config"]["spacing"] == TINY["spacing"]
    kept = results["encoder"]
    assert kept["sha256"] == hashlib.sha256(encoder.read_bytes()).hexdigest()
    assert (kept["preset"], kept["training"]) == ("hybrid", about["training"])
    assert sum(kept["tensors"].values()) == len(torch.load(encoder, weights_only=True))
    model = read_about(tmp_path / "run" / "model.pt")
    assert model["encoder"]["training"]["scans"] == about["training"]["scans"]
    assert model["preprocessing"] == about["preprocessing"]


def test_an_evaluation_takes_the_models_settings(run, evaluation, spleen, tmp_path):
    done = run(("train", "evaluate"), tmp_path / "out", checkpoint=str(spleen / "model.pt"), fold=1)
    done.check()
    first, second = (read_results(folder) for folder in (evaluation, tmp_path / "out" / "evaluation"))
    assert first["metrics"] == second["metrics"]
    assert second["encoder"]["tensors"] == read_results(spleen)["encoder"]["tensors"]


def test_an_inference_takes_the_models_settings(run, infer, spleen, cohort, tmp_path):
    scan = next((cohort / "synthetic_spleen").rglob("images/*.nii.gz"))
    infer(SPLEEN, tmp_path / "given", datalist=[str(scan)]).check()
    run(("inference",), tmp_path / "carried", checkpoint=str(spleen / "model.pt"), datalist=[str(scan)]).check()
    given, carried = (nib.load(next((tmp_path / name).glob("*_seg.nii.gz"))) for name in ("given", "carried"))
    assert np.array_equal(np.asanyarray(given.dataobj), np.asanyarray(carried.dataobj))


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (("train",), {"spacing": [4, 4, 4]}, "expected the spacing it was trained with, [8, 8, 8] mm, found [4, 4, 4]"),
        (("train", "evaluate"), {"window": [0, 100]}, "expected the window it was trained with"),
        (("inference",), {"organs": ["liver"]}, "expected the organs it was trained with, [spleen], found [liver]"),
    ],
)
def test_a_contradiction_ends_the_process_in_one_line(names, options, message, run, encoder, spleen, cohort, tmp_path):
    file = {"pretrained_encoder": str(encoder)} if names == ("train",) else {"checkpoint": str(spleen / "model.pt")}
    more = {"dataset_dir": str(cohort)} if names == ("inference",) else {}
    if names == ("inference",):
        more = {"datalist": [str(next((cohort / "synthetic_spleen").rglob("images/*.nii.gz")))]}
    done = run(names, tmp_path / "out", **file, **more, **options)
    assert done.status != 0
    assert message in done.last_error_line
    assert not list((tmp_path / "out").glob("**/*.nii.gz"))


def test_a_probe_takes_the_settings_of_its_encoder_of_slices(slice_run, slice_options, wsp, probe, tmp_path):
    given = slice_options(CLASSIFICATION)
    own = {key: value for key, value in given.items() if key not in ("image_size", "width")}
    workflow = ConfigWorkflow(
        config_file=config_files(CLASSIFICATION, "train"),
        logging_file=False,
        workflow_type="train",
        **{**own, "encoder": str(wsp / "model.pt"), "output_dir": str(tmp_path)},
    )
    workflow.initialize()
    workflow.run()
    assert same_weights(probe, tmp_path)
    assert read_results(tmp_path)["metrics"] == read_results(probe)["metrics"]
    assert read_results(tmp_path)["encoder"]["tensors"] == {"backbone": 10, "mean": 1, "std": 1}
