"""A user's mistake ends with one line that names it, and leaves nothing partly written.

More cases are in the table of bad input: see `tests.bad_input` and `test_bad_runs`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from monai_cl.data import read_results
from tests.bundles.conftest import BUNDLES, PRETRAINING, SPLEEN, config_files, words


@pytest.fixture
def broken_list(cohort, tmp_path):
    """``broken_list(change)``: the spleen's list after ``change(document)``, and its root."""

    def make(change, name: str = "spleen.json") -> dict[str, str]:
        document = json.loads((cohort / name).read_text(encoding="utf-8"))
        change(document)
        path = tmp_path / "broken.json"
        path.write_text(json.dumps(document))
        return {"data_list": str(path), "dataset_dir": str(cohort)}

    return make


def check(finished, *parts: str) -> None:
    """It failed, its last line is the error, and holds every part."""
    assert finished.status != 0
    assert finished.last_error_line.startswith("error: "), finished.err[-3000:]
    for part in parts:
        assert part in finished.last_error_line, finished.last_error_line
    assert "Traceback" not in finished.err.splitlines()[-1]


MISTAKES = {
    "patch size": ({"patch_size": [50, 50, 50]}, ["multiples of 16", "[50, 50, 50]"]),
    "several data sets": ({"data_list": "PRETRAINING"}, ["pretraining.json", "expected one data set, found 4"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_an_option_is_one_line(train, cohort, tmp_path, mistake):
    options, parts = MISTAKES[mistake]
    if options.get("data_list") == "PRETRAINING":
        options = {"data_list": str(cohort / "pretraining.json")}
    check(train(SPLEEN, tmp_path / "run", **options), *parts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"foreground_probability": 1.5}, ["foreground_probability", "1.5"]),
    ],
)
def test_a_mistake_in_an_option_of_the_pretraining_is_one_line(train, tmp_path, options, parts):
    check(train(PRETRAINING, tmp_path / "run", **options), *parts)
    assert not (tmp_path / "run").exists()


def test_an_empty_list_is_one_line(train, broken_list, tmp_path):
    options = broken_list(lambda document: document.update(training=[]))
    check(train(SPLEEN, tmp_path / "run", **options), "broken.json")
    assert not (tmp_path / "run").exists()


def test_a_gap_in_the_organs_ids_is_one_line(train, broken_list, tmp_path):
    options = broken_list(
        lambda document: document.update(labels={"0": "background", "2": "spleen"}, label_map={"1": 2})
    )
    check(train(SPLEEN, tmp_path / "run", **options), "broken.json", "[0, 2]", "label_map")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("bundle", [SPLEEN, PRETRAINING])
def test_a_missing_scan_is_named(train, broken_list, tmp_path, bundle):
    def change(document):
        (document["datasets"][0] if "datasets" in document else document)["training"][2]["image"] = "images/gone.nii.gz"

    name = "spleen.json" if bundle == SPLEEN else "pretraining.json"
    options = {**broken_list(change, name), "store_dir": str(tmp_path / "store")}
    check(train(bundle, tmp_path / "run", **options), "gone.nii.gz")
    assert not (tmp_path / "run").exists()


def test_a_damaged_scan_is_named(train, cohort, tmp_path):
    damaged = shutil.copytree(cohort, tmp_path / "cohort")
    scan = damaged / "synthetic_spleen" / "images" / "spleen_0002.nii.gz"
    content = bytearray(scan.read_bytes())
    content[len(content) // 2] ^= 0xFF
    scan.write_bytes(content)
    options = {"dataset_dir": str(damaged), "data_list": str(damaged / "spleen.json")}
    check(train(SPLEEN, tmp_path / "run", store_dir=str(tmp_path / "store"), **options), "spleen_0002")
    assert not (tmp_path / "run").exists()


def test_no_json_is_named_as_such(train, tmp_path):
    (tmp_path / "list.json").write_text("{'training': ")
    check(train(SPLEEN, tmp_path / "run", data_list=str(tmp_path / "list.json")), "list.json")
    assert not (tmp_path / "run").exists()


def test_an_encoder_of_another_size_is_refused(train, encoder, tmp_path):
    finished = train(SPLEEN, tmp_path / "run", pretrained_encoder=str(encoder), feature_size=8)
    check(finished, str(encoder), "the feature size it was trained with, 4, found 8", "leave --feature_size out")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def seen(cohort, tmp_path) -> dict[str, object]:
    """Options of a fine-tuning on a data set that the encoder was pre-trained on."""
    (first, *_) = json.loads((cohort / "pretraining.json").read_text(encoding="utf-8"))["datasets"]
    (tmp_path / "seen.json").write_text(json.dumps(first), encoding="utf-8")
    return {"data_list": str(tmp_path / "seen.json"), "fold": 1}


def test_validating_on_scans_that_the_encoder_was_trained_on_is_refused(train, encoder, seen, tmp_path):
    finished = train(SPLEEN, tmp_path / "run", pretrained_encoder=str(encoder), **seen)
    check(finished, str(encoder), "trained on the scans liver_0001 (with their labels)", "--allow_overlap True")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_where_it_is_allowed_results_and_report_say_so(train, launcher, encoder, seen, tmp_path):
    run, page = tmp_path / "run", tmp_path / "report.html"
    train(SPLEEN, run, pretrained_encoder=str(encoder), allow_overlap="true", iterations=2, **seen).check()
    overlap = read_results(run)["data_list"]["overlap"]
    assert (overlap["weights"], overlap["scans"], overlap["scored"]) == (str(encoder), ["liver_0001"], 1)
    launcher.run("monai_cl", "report", run, "--output", page, cwd=tmp_path).check()
    top = page.read_text(encoding="utf-8").partition("<main")[0]
    assert "Not a test on unseen data: run, seed 0" in top
    assert "liver_0001" in top
    # the model knows what its encoder knows
    check(train(SPLEEN, run, "evaluate", **seen), "run/model.pt", "liver_0001", "--allow_overlap True")


def test_a_file_that_is_not_an_encoder_is_refused(train, tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    check(train(SPLEEN, tmp_path / "run", pretrained_encoder=str(tmp_path / "other.pt")), "other.pt", "no")
    assert not (tmp_path / "run").exists()


def test_resuming_with_another_network_is_refused_and_the_run_is_unharmed(train, spleen, tmp_path):
    run = shutil.copytree(spleen, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    check(train(SPLEEN, run, feature_size=8, iterations=6), "checkpoint_iteration=4.pt", "trained with, 4, found 8")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_fresh_start_in_a_finished_run_is_refused_and_the_run_is_unharmed(train, spleen, tmp_path):
    run = shutil.copytree(spleen, tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    check(train(SPLEEN, run, resume="none"), "checkpoint_iteration=4.pt", "--resume auto")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_evaluating_or_inferring_without_a_model_is_one_line(train, infer, cohort, tmp_path):
    check(train(SPLEEN, tmp_path / "run", "evaluate"), "run/model.pt", "no such checkpoint")
    images = str(cohort / "synthetic_spleen" / "images")
    check(infer(SPLEEN, tmp_path / "maps", checkpoint="/nowhere.pt", dataset_dir=images), "/nowhere.pt")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "maps").exists()


def test_inference_with_another_network_or_without_volumes_is_one_line(infer, cohort, tmp_path):
    images = str(cohort / "synthetic_spleen" / "images")
    check(infer(SPLEEN, tmp_path / "maps", feature_size=8, dataset_dir=images), "model.pt", "trained with, 4, found 8")
    (tmp_path / "empty").mkdir()
    check(infer(SPLEEN, tmp_path / "maps", dataset_dir=str(tmp_path / "empty")), "empty", "expected volumes")
    check(infer(SPLEEN, tmp_path / "maps", datalist=["/nowhere/a.nii.gz"]), "/nowhere/a.nii.gz")
    assert not (tmp_path / "maps").exists()


def test_a_folder_that_cannot_be_written_is_one_line(train, tmp_path):
    (tmp_path / "file").write_text("")
    check(train(SPLEEN, tmp_path / "file" / "run"), "file")


def test_a_real_process_ends_like_that_too(training_options, tmp_path):
    options = {**training_options(SPLEEN, data_list="/nowhere/list.json"), "output_dir": str(tmp_path / "run")}
    command = ["-m", "monai.bundle", "run", "--config_file", *config_files(SPLEEN, "train"), *words(options)]
    done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=280)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "/nowhere/list.json" in last
    assert not (tmp_path / "run").exists()


def test_bundles_lie_where_the_tests_look():
    assert all(Path(file).is_file() for file in config_files(SPLEEN, "train", "evaluate", "inference"))
    assert BUNDLES.name == "bundles"
