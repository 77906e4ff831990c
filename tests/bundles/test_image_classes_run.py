"""Classes of images of several modalities: an encoder of any, fine-tuned, evaluated, and told from a file."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_cl.data import read_results
from monai_cl.engines import embed, list_slices, modality_slices, read_list
from monai_cl.networks import read_about
from tests.bundles.test_clustering_run import BUNDLE as CLUSTERING
from tests.bundles.test_clustering_run import NETWORK, SMALL
from tests.bundles.workflow import refusal, run_workflow

BUNDLE = "cirrhosis_classification"
SCALES = {"CT": "hounsfield", "MR": "percentiles", "US": "percentiles"}

pytestmark = pytest.mark.filterwarnings("default")


def probabilities(folder: Path) -> dict[str, float]:
    """Patient -> probability, as a run has written them."""
    with (folder / "patients.csv").open(encoding="utf-8") as file:
        return {row["patient"]: float(row["probability"]) for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """CT and MR of two slices, pictures of ultrasound; six of each to train, two to validate, two to test."""
    folder = tmp_path_factory.mktemp("classes") / "cohort"
    folder.mkdir()
    rng, parts = np.random.default_rng(0), {"training": [], "validation": [], "test": []}
    for number in range(30):
        modality, turn = ("CT", "MR", "US")[number % 3], number // 3
        name = f"{number:02d}.png" if modality == "US" else f"{number:02d}.nii.gz"
        if modality == "US":
            Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(folder / name)
        else:
            voxels = rng.integers(0, 9000, (32, 32, 2)) if modality == "MR" else rng.integers(-1000, 400, (32, 32, 2))
            if modality == "MR":  # as above a head: slices without anything, in training and after it
                voxels = np.concatenate([np.zeros((32, 32, 1)), voxels], axis=2)
            nib.save(nib.Nifti1Image(voxels.astype(np.int16), np.eye(4)), folder / name)
        item = {"image": name, "patient": f"p{number}", "modality": modality, "target": turn % 2}
        parts["training" if turn < 6 else "validation" if turn < 8 else "test"].append(item)
    (folder / "images.json").write_text(json.dumps({"name": "tiny", "targets": {"0": "round", "1": "long"}, **parts}))
    return folder


@pytest.fixture(scope="module")
def run(images) -> Callable[..., ConfigWorkflow]:
    """``run(bundle, "train", …)``: a workflow run in this process, in one thread."""
    data = {"dataset_dir": str(images), "data_list": str(images / "images.json")}
    work = {"store_dir": str(images.parent / "store"), "num_workers": 0, "prepare_workers": 1, "device": "cpu"}
    short = {"batch_size": 6, "iterations": 2, "epoch_length": 1, "learning_rate": 1e-3, "fraction": 1.0}

    def start(bundle: str, *names: str, **more: object) -> ConfigWorkflow:
        own = SMALL | {"batch_size": 6} if bundle == CLUSTERING else short | {"window": [-160.0, 240.0]}
        given = {**own, **data, **work} if names[0] == "train" else {"grad_cam": 0}
        return run_workflow(bundle, *names, **{**NETWORK, **given, **more})

    return start


@pytest.fixture(scope="module")
def encoder(run, images) -> Path:
    """A pre-training by clustering on all three."""
    folder = images.parent / "clustering"
    run(CLUSTERING, "train", output_dir=str(folder))
    return folder / "model.pt"


@pytest.fixture(scope="module")
def tuned(run, images, encoder) -> Path:
    """Its encoder fine-tuned on the classes, validated on the list's own items."""
    folder = images.parent / "tuned"
    run(BUNDLE, "train", run_id="finetune", encoder=str(encoder), fold="none", output_dir=str(folder))
    return folder


def test_slices_of_several_modalities_have_the_values_of_pre_training(images):
    lists = read_list(images / "images.json", data_root=images)
    options = {"store": images.parent / "values", "size": 32, "fraction": 1.0, "window": [-160.0, 240.0]}
    own = list_slices(lists, organ=None, by_modality=True, labelled=True, **options)
    pretraining = modality_slices(lists, **options)
    assert len(own) == len(pretraining) == 6 * 2 + 6 * 2 + 6
    for one, other in zip(own, pretraining):
        assert (one["patient"], one["label"]) == (other["patient"], other["label"])
        assert np.array_equal(one["image"], other["image"])
    first = next(item for item in own if item["patient"] == "p0")["image"]  # a CT
    hu = np.asanyarray(nib.load(images / "00.nii.gz").dataobj)[..., 0]
    assert np.sort(first.ravel()) == pytest.approx(np.sort(np.clip((hu.ravel() + 160) / 400, 0, 1)), abs=1e-3)


def test_an_encoder_of_any_modality_is_fine_tuned_and_validated_on_the_items_of_the_list(images, tuned, encoder):
    results = read_results(tuned)
    assert results["data_list"]["path"] == str(images / "images.json")
    assert sorted(probabilities(tuned)) == sorted(f"p{number}" for number in range(18, 24))
    about = read_about(tuned / "model.pt")
    assert about["preprocessing"]["modality"] == read_about(encoder)["preprocessing"]["modality"] == SCALES
    assert results["encoder"]["file"] == results["initialisation"] == str(encoder)


def test_what_an_evaluation_says_of_a_test_image_inference_says_of_its_file(run, images, tuned, tmp_path):
    run(BUNDLE, "train", "evaluate", split="test", output_dir=str(tuned), evaluation_dir=str(tmp_path / "test"))
    scored = probabilities(tmp_path / "test")
    assert sorted(scored) == [f"p{number}" for number in range(24, 30)]
    for number, modality in ((24, "CT"), (25, "MR"), (26, "US")):
        name = f"{number}.png" if modality == "US" else f"{number}.nii.gz"
        out = tmp_path / modality
        given = {"datalist": [str(images / name)], "checkpoint": str(tuned / "model.pt"), "output_dir": str(out)}
        run(BUNDLE, "inference", modality=modality, **given)
        (found,) = (json.loads(file.read_text()) for file in out.glob("*.json"))
        assert found["probability"] == pytest.approx(scored[f"p{number}"], abs=1e-5)


def test_the_pictures_of_a_folder_need_no_modality(run, images, tuned, tmp_path):
    (folder := tmp_path / "pictures").mkdir()
    named = {"checkpoint": str(tuned / "model.pt"), "dataset_dir": str(folder), "output_dir": str(tmp_path / "out")}
    for number in (26, 29):
        shutil.copy(images / f"{number}.png", folder)
    run(BUNDLE, "inference", **named)
    found = {file.stem: json.loads(file.read_text())["probability"] for file in (tmp_path / "out").glob("*.json")}
    run(BUNDLE, "train", "evaluate", split="test", output_dir=str(tuned), evaluation_dir=str(tmp_path / "test"))
    scored = probabilities(tmp_path / "test")
    assert found == pytest.approx({name: scored[f"p{name}"] for name in ("26", "29")}, abs=1e-5)


def test_a_scan_that_does_not_say_what_it_is_is_asked_for(run, images, tuned, tmp_path):
    with pytest.raises(RuntimeError) as caught:
        run(BUNDLE, "inference", datalist=[str(images / "25.nii.gz")], checkpoint=str(tuned / "model.pt"),
            output_dir=str(tmp_path))  # fmt: skip
    assert "does not state its modality; name it: --modality CT or --modality MR or --modality US" in refusal(caught)


def test_an_encoder_of_other_modalities_is_refused(run, images, tmp_path):
    run(CLUSTERING, "train", modalities=["CT"], output_dir=str(tmp_path / "ct"))
    options = {"encoder": str(tmp_path / "ct" / "model.pt"), "fold": "none", "output_dir": str(tmp_path / "tuned")}
    with pytest.raises(RuntimeError) as caught:
        run(BUNDLE, "train", run_id="finetune", **options)
    assert "expected the modality it was trained with, CT, found CT by hounsfield, MR by percentiles" in refusal(caught)


def test_without_validation_items_a_fold_is_asked_for(run, images, tmp_path):
    document = json.loads((images / "images.json").read_text())
    (images / "bare.json").write_text(json.dumps({**document, "name": "bare", "validation": []}))
    with pytest.raises(RuntimeError) as caught:
        run(BUNDLE, "train", run_id="finetune", data_list=str(images / "bare.json"), fold="none",
            output_dir=str(tmp_path))  # fmt: skip
    assert 'expected items under "validation", found none; add them, or pass --fold 0' in refusal(caught)


def listed(images: Path, name: str, keep: Callable[[str, dict], bool]) -> str:
    """A list of what is kept of all, by part and item; the targets of others are taken away."""
    document = json.loads((images / "images.json").read_text())
    for part in ("training", "validation", "test"):
        for item in document[part]:
            if not keep(part, item):
                del item["target"]
    (images / f"{name}.json").write_text(json.dumps({**document, "name": name}))
    return str(images / f"{name}.json")


def test_weights_know_the_modalities_that_they_were_trained_on_not_all_of_the_list(run, images, tmp_path):
    given = {"fold": "none", "output_dir": str(tmp_path / "tuned"), "split": "training"}
    own = listed(
        images,
        "without_mr",
        lambda part, item: item["modality"] != "MR" and (part, item["modality"]) != ("training", "US"),
    )
    run(BUNDLE, "train", run_id="finetune", data_list=own, **given)
    assert read_about(tmp_path / "tuned" / "model.pt")["preprocessing"]["modality"] == "CT"  # US only validates
    for name, modality, said in (
        ("25.nii.gz", "MR", "found modality MR; train on scans of MR too"),
        ("26.png", "US", "found a picture of US; train on such pictures too, or give it the CT itself"),
        ("26.png", None, "found a picture, which holds grey values"),
    ):
        stated = {} if modality is None else {"modality": modality}
        with pytest.raises(RuntimeError) as caught:
            run(BUNDLE, "inference", datalist=[str(images / name)], checkpoint=str(tmp_path / "tuned" / "model.pt"),
                output_dir=str(tmp_path / "out"), **stated)  # fmt: skip
        assert f"expected a scan of CT, which the network was trained on, {said}" in refusal(caught)
    # what is not scored may be of any modality
    scored = {"output_dir": str(tmp_path / "tuned"), "evaluation_dir": str(tmp_path / "scored"), "split": "test"}
    run(BUNDLE, "train", "evaluate", data_list=listed(images, "ct", lambda _, item: item["modality"] == "CT"), **scored)
    assert sorted(probabilities(tmp_path / "scored")) == ["p24", "p27"]


def test_a_run_that_goes_on_with_another_list_remembers_what_it_had_learned_from(run, images, tuned, tmp_path):
    shutil.copytree(tuned, tmp_path / "tuned")
    before = read_about(tmp_path / "tuned" / "model.pt")
    own = listed(images, "ct_alone", lambda _, item: item["modality"] == "CT")
    run(
        BUNDLE, "train", run_id="finetune", data_list=own, fold="none", iterations=4, output_dir=str(tmp_path / "tuned")
    )
    after = read_about(tmp_path / "tuned" / "model.pt")
    assert after["training"]["iterations"] > before["training"]["iterations"]
    assert after["preprocessing"]["modality"] == before["preprocessing"]["modality"] == SCALES
    scans = [{scan["fingerprint"] for scan in about["training"]["scans"]} for about in (before, after)]
    assert scans[0] == scans[1]
    assert len(scans[0]) == 18
    assert [entry["name"] for entry in after["training"]["data_lists"]] == ["ct_alone", "tiny"]


def test_one_class_is_refused_before_the_first_step(run, images, tmp_path):
    for part in ("training", "validation"):
        own = listed(images, f"one_{part}", lambda own, item, part=part: own != part or item["target"] == 0)
        with pytest.raises(RuntimeError) as caught:
            run(BUNDLE, "train", run_id="finetune", data_list=own, fold="none", output_dir=str(tmp_path))
        assert f"expected patients of both classes, 0 and 1, under '{part}', found class 0 alone" in refusal(caught)


def test_every_path_leaves_black_slices_at_the_ends_out(run, images, encoder, tmp_path):
    embed(str(encoder), str(images / "images.json"), output=tmp_path / "own.npz", splits=["test"], progress=False)
    given = {"checkpoint": str(encoder), "datalist": [str(images / "25.nii.gz")], "modality": "MR"}
    run(CLUSTERING, "inference", output_dir=str(tmp_path), **given)
    with np.load(tmp_path / "features.npz", allow_pickle=False) as features:
        assert features["slice"].tolist() == ["25:1", "25:2"]
    with pytest.raises(RuntimeError) as caught:
        run(CLUSTERING, "inference", output_dir=str(tmp_path / "x"), **given | {"modality": "PT"})
    assert "expected a scan of CT or MR or US, which the network was trained on, found modality PT" in refusal(caught)


def test_depth_is_predicted_of_volumes_where_pictures_have_none(run, images, encoder, tmp_path):
    run(CLUSTERING, "train", "evaluate", split="test", output_dir=str(encoder.parent), evaluation_dir=str(tmp_path))
    curves = read_results(tmp_path)["curves"]
    assert all(np.isfinite(curves[name][-1][-1]) for name in ("depth_r2", "depth_r2_random"))
