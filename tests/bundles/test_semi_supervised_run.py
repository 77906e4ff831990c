"""Segmentation from few labelled scans by every method, its evaluation and inference, on a tiny synthetic cine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
import yaml
from monai.bundle import ConfigWorkflow

from monai_cl.cli.commands import main
from monai_cl.data import read_dicom_seg, read_results, read_volume
from monai_cl.engines import MethodParts, embed
from monai_cl.engines.launch.method_parts import method_files
from tests.bundles.cine_runs import NETWORK
from tests.bundles.workflow import (
    BUNDLES,
    assert_equal,
    config_files,
    initialised,
    learnt_by_two,
    made_once,
    plain_descent,
    refusal,
    run_files,
    weights,
)
from tests.data.volume_files import ct_array, write_dicom

BUNDLE = "semi_supervised_segmentation"
FILES = method_files(BUNDLES / BUNDLE)
METHODS = sorted(FILES)
# a teacher, and the terms of the paper; whole runs of the others are slow tests
RUNS = [
    pytest.param(name, marks=() if name in ("mean_teacher", "self_paced") else pytest.mark.slow) for name in METHODS
]

# Ignite warns of MONAI's way to attach a scheduler; torch of a pinned memory that is not there
pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.parametrize("method", METHODS)
def test_a_weight_of_0_leaves_supervision_alone(method):
    given = {"temperature": 0.1, "mode": "linear", "pace_power": 0.5, "gamma_unit": "absolute", "rescale": False}
    given |= {"meta_labels": {"patient": {}}, "dice_weight": 0.0, "unlabelled_weight": 0}
    loss = MethodParts(method, bundle_root=BUNDLES / BUNDLE, given=given)["criterion"]
    assert loss.weights == [1.0] + [0.0] * (len(loss.members) - 1)
    assert not loss.factors


@pytest.fixture(scope="module")
def options(cine_options) -> dict[str, object]:
    """What makes a training tiny."""
    small = {"scans_per_batch": 2, "labelled_batch": 2, "overlay_cases": 0, "learning_rate": 0.001, "dice_weight": 1.0}
    return {**cine_options, **small}


@pytest.fixture(scope="module")
def run(cine_run, options) -> Callable[..., ConfigWorkflow]:
    """``run("train", …, output_dir=…)``"""

    def start(*names: str, **more: object) -> ConfigWorkflow:
        return cine_run(BUNDLE, *names, **{**(options if names[0] == "train" else {}), **more})

    return start


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory) -> Callable[[str], Path]:
    """``trained(method)``: four steps in two epochs, made once. Look, do not touch."""
    return made_once(partial(run, "train"), tmp_path_factory)


@pytest.mark.parametrize("method", RUNS)
def test_a_training_leaves_its_record(trained, method):
    results = read_results(trained(method))
    assert (results["kind"], results["bundle"], results["iterations"]) == ("segmentation", BUNDLE, 4)
    assert (results["data_list"]["method"], results["data_list"]["labelled_scans"]) == (method, 1)
    assert len(results["data_list"]["training_cases"]) == 1
    assert len(results["metrics"]["per_case"]) == 4
    assert len(results["curves"]["mean_dice"]) == 2
    terms = {name for name in results["curves"] if name.startswith("loss/")}
    expected = yaml.safe_load(FILES[method].read_text(encoding="utf-8"))["criterion"]["terms"]
    assert terms == {f"loss/{term['_target_'].split('.')[-1]}" for term in expected}
    assert all(np.isfinite(results["curves"][name][-1][1]) for name in terms)


@pytest.mark.parametrize("method", RUNS)
def test_a_resumed_run_is_the_same_run(run, trained, method, tmp_path):
    run("train", method=method, output_dir=str(tmp_path), **{"train#trainer#max_epochs": 1})
    run("train", method=method, output_dir=str(tmp_path))
    last = "checkpoint_iteration=4.pt"
    assert_equal(weights(tmp_path, last)["network"], weights(trained(method), last)["network"])
    once, twice = (read_results(folder)["curves"] for folder in (trained(method), tmp_path))
    assert once == twice


def test_a_teacher_without_momentum_is_the_student(run, trained, tmp_path):
    run("train", method="mean_teacher", output_dir=str(tmp_path), teacher_momentum=0.0)
    for folder, equal in ((tmp_path, True), (trained("mean_teacher"), False)):
        state = weights(folder, "checkpoint_iteration=4.pt")["network"]
        students = {name.removeprefix("unet."): t for name, t in state.items() if name.startswith("unet.")}
        teacher = {name.removeprefix("teacher."): t for name, t in state.items() if name.startswith("teacher.")}
        assert students.keys() == teacher.keys()
        assert all(torch.equal(students[name], teacher[name]) for name in teacher) == equal


def test_masks_that_are_not_among_the_labelled_are_not_read(run, trained, cine, tmp_path):
    folder = Path(shutil.copytree(cine, tmp_path / "cohort"))
    (used,) = read_results(trained("self_paced"))["data_list"]["training_cases"]
    rng = np.random.default_rng(0)
    for path in (folder / "synthetic_cine" / "labels").glob("training_*.nii.gz"):
        if path.name != f"{used}.nii.gz":
            label = nib.load(path)
            nib.save(nib.Nifti1Image(rng.integers(0, 4, label.shape).astype(np.uint8), label.affine), path)
    data = {"dataset_dir": str(folder), "data_list": str(folder / "cine.json"), "store_dir": str(tmp_path / "store")}
    run("train", method="self_paced", output_dir=str(tmp_path / "run"), **data)
    assert_equal(weights(tmp_path / "run"), weights(trained("self_paced")))


def test_a_pretrained_encoder_is_where_it_starts(run, cine_run, tmp_path):
    cine_run("meta_label_pretraining", "train", output_dir=str(tmp_path / "pre"))
    file = str(tmp_path / "pre" / "model.pt")
    run("train", method="supervised", output_dir=str(tmp_path / "run"), pretrained_encoder=file, learning_rate=1e-9)
    name = "down_4.convs.conv_1.conv.weight"
    found = weights(tmp_path / "run")[f"unet.{name}"]
    torch.testing.assert_close(found, weights(tmp_path / "pre")[f"encoder.backbone.{name}"], rtol=0, atol=1e-6)
    assert read_results(tmp_path / "run")["initialisation"] == file


@pytest.mark.parametrize("names", [("train",), ("train", "evaluate"), ("train", "multi_gpu_train"), ("inference",)])
def test_the_bundle_has_every_property(options, trained, cine, names):
    given = dict(options) if names[0] == "train" else dict(NETWORK)
    if names[-1] in ("evaluate", "inference"):
        given["checkpoint"] = str(trained("self_paced") / "model.pt")
    if names[0] == "inference":
        given["datalist"] = [str(cine / "synthetic_cine/images/test_000_ED.nii.gz")]
    workflow = initialised(BUNDLE, *names, **given)
    assert workflow.check_properties() == []


@pytest.mark.parametrize("method", ["mean_teacher", "supervised"])
def test_an_evaluation_knows_the_method_of_its_model(run, trained, tmp_path, method):
    run("train", "evaluate", output_dir=str(trained(method)), split="test", evaluation_dir=str(tmp_path))
    results = read_results(tmp_path)
    assert results["data_list"]["method"] == method
    assert results["metrics"]["mean_dice"] is not None


def test_label_maps_lie_on_the_scans_own_grid_and_have_the_dice_of_the_evaluation(run, trained, cine, tmp_path):
    folder = trained("self_paced")
    run("train", "evaluate", output_dir=str(folder), split="test", evaluation_dir=str(tmp_path / "evaluation"))
    measured = read_results(tmp_path / "evaluation")["metrics"]["per_case"]
    assert {case["patient"] for case in measured} == {"test_000"}
    images = cine / "synthetic_cine" / "images"
    scans = [str(images / f"test_000_{phase}.nii.gz") for phase in ("ED", "ES")]
    run("inference", datalist=scans, checkpoint=str(folder / "model.pt"), output_dir=str(tmp_path / "labels"))
    for case in measured:
        truth = nib.load(cine / "synthetic_cine" / "labels" / f"{case['id']}.nii.gz")
        found = nib.load(tmp_path / "labels" / f"{case['id']}_seg.nii.gz")
        assert found.shape == truth.shape
        assert np.allclose(found.affine, truth.affine)
        one, other = np.asarray(found.dataobj), np.asarray(truth.dataobj)
        for label, organ in enumerate(("right ventricle", "myocardium", "left ventricle"), start=1):
            dice = 2 * ((one == label) & (other == label)).sum() / ((one == label).sum() + (other == label).sum())
            assert case["dice"][organ] == pytest.approx(dice, abs=1e-6), (case["id"], organ)
    table = embed(folder / "model.pt", scans, level=2, modality="MR")
    assert table.columns["id"] == ["test_000_ED", "test_000_ES"]
    assert np.ptp(table.vectors) > 0


def test_a_patient_in_training_and_validation_is_refused(run, cine, tmp_path):
    document = json.loads((cine / "cine.json").read_text(encoding="utf-8"))
    document["validation"] = [{**item, "patient": "training_000"} for item in document["validation"]]
    (tmp_path / "list.json").write_text(json.dumps(document))
    with pytest.raises(RuntimeError) as caught:
        run("train", data_list=str(tmp_path / "list.json"), output_dir=str(tmp_path / "run"))
    assert 'expected patient "training_000" in training only' in refusal(caught)
    assert refusal(caught).endswith("keep the scans of a patient together")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["self_paced", "discrete_mi"])
def test_two_processes_with_half_a_batch_each_learn_in_two_sittings_what_one_does(options, method, free_port, tmp_path):
    # plain gradient descent and a norm within a slice: neither magnifies rounding, nor sees the other slices
    more = {"iterations": 2, "epoch_length": 1, "norm": "instance", "learning_rate": 0.01, "method": method}
    file = plain_descent(BUNDLE, tmp_path)
    files = [file, *config_files(BUNDLE, "multi_gpu_train")]
    half, whole = ({"scans_per_batch": size, "labelled_batch": size} for size in (2, 4))
    given = {**options, **more, **half}
    learnt_by_two(files, {**given, "train#trainer#max_epochs": 1}, tmp_path / "two", free_port())
    two = learnt_by_two(files, given, tmp_path / "two", free_port())  # goes on
    run_files(file, **{**options, **more, **whole, "output_dir": str(tmp_path / "one")})
    assert_equal(weights(tmp_path / "one"), two, atol=2e-5, rtol=1e-5)
    dice = [read_results(tmp_path / name)["metrics"]["per_case"] for name in ("one", "two")]
    assert {case["id"] for case in dice[0]} == {case["id"] for case in dice[1]}


def test_ct_is_segmented_by_the_same_call(run, slice_cohort, tmp_path):
    document = json.loads((slice_cohort / "cirrhosis_grades.json").read_text(encoding="utf-8"))
    document["validation"], document["training"] = document["training"][:2], document["training"][2:]
    (slice_cohort / "few.json").write_text(json.dumps(document))
    labels = {"position": {"parts": 3, "gamma": [5, 60]}, "patient": {"weight": 0.1, "gamma": [3.5, 50]}}
    ct = {"dataset_dir": str(slice_cohort), "data_list": str(slice_cohort / "few.json"), "meta_labels": labels}
    run("train", **ct, output_dir=str(tmp_path), store_dir=str(tmp_path / "store"), labelled_scans=2, iterations=2)
    results = read_results(tmp_path)
    assert set(results["metrics"]["dice"]) == {"liver", "spleen"}
    assert results["data_list"]["labelled_scans"] == 2


def test_promise12_as_it_is_published_is_segmented_by_the_same_call(run, cine, tmp_path):
    folder, labels = tmp_path / "TrainingData_Part1", {"position": {"parts": 4, "gamma": [5, 60]}}
    folder.mkdir()
    for number in range(4):
        name = f"training_{number:03d}_ED.nii.gz"
        image, label = (sitk.ReadImage(str(cine / "synthetic_cine" / kind / name)) for kind in ("images", "labels"))
        sitk.WriteImage(image, str(folder / f"Case{number:02d}.mhd"))  # and its .raw
        sitk.WriteImage(label > 0, str(folder / f"Case{number:02d}_segmentation.mhd"))
    created, folds = str(tmp_path / "list.json"), str(tmp_path / "folds.json")
    main(["datalist", "create", str(tmp_path), "--layout", "promise12", "--output", created])
    main(["datalist", "split", created, folds, "--folds", "4"])
    main(["datalist", "subset", folds, str(tmp_path / "lists"), "--fraction", "1", "--fold", "0"])
    (data_list,) = (tmp_path / "lists").glob("*.json")
    work = {"dataset_dir": str(tmp_path), "data_list": str(data_list), "store_dir": str(tmp_path / "store")}
    run("train", **work, meta_labels=labels, output_dir=str(tmp_path / "run"), iterations=2)
    results = read_results(tmp_path / "run")
    assert set(results["metrics"]["dice"]) == {"prostate"}
    scan = str(folder / "Case03.mhd")
    run("inference", datalist=[scan], checkpoint=str(tmp_path / "run" / "model.pt"), output_dir=str(tmp_path / "out"))
    found, image = read_volume(tmp_path / "out" / "Case03_seg.nii.gz"), read_volume(scan)
    assert found.array.shape == image.array.shape
    assert np.allclose(found.affine, image.affine, atol=1e-4)


ABDOMEN = {"position": {"parts": 4, "gamma": [5, 60]}, "patient": {"weight": 0.1, "gamma": [3.5, 50]}}


@pytest.fixture(scope="module")
def abdomen(cohort, tmp_path_factory) -> dict[str, object]:
    """Options for the synthetic abdomen: four scans to train on, one to validate."""
    folder = tmp_path_factory.mktemp("abdomen")
    main(["datalist", "subset", str(cohort / "target.json"), str(folder), "--fraction", "1", "--fold", "0"])
    (data_list,) = folder.glob("*.json")
    work = {"dataset_dir": str(cohort), "data_list": str(data_list), "store_dir": str(folder / "store")}
    return {**work, "meta_labels": ABDOMEN}


@pytest.mark.parametrize("labelled", [1, *(pytest.param(number, marks=pytest.mark.slow) for number in (2, 4))])
def test_abdominal_ct_is_segmented_from_a_few_labelled_scans_by_the_same_call(run, abdomen, labelled, tmp_path):
    run("train", **abdomen, output_dir=str(tmp_path), labelled_scans=labelled, iterations=2)
    results = read_results(tmp_path)
    assert len(results["data_list"]["training_cases"]) == labelled
    assert results["data_list"]["scans"] == 4
    assert len(results["metrics"]["dice"]) == 7
    assert {"meta_label/position", "meta_label/patient"} <= results["curves"].keys()


def test_abdominal_ct_pretrains_the_encoder_it_is_segmented_with(run, cine_run, abdomen, tmp_path):
    options = {**abdomen, "scans_per_batch": 2, "iterations": 2}
    cine_run("meta_label_pretraining", "train", **options, output_dir=str(tmp_path / "pre"))
    file = str(tmp_path / "pre" / "model.pt")
    run("train", **options, output_dir=str(tmp_path / "run"), pretrained_encoder=file)
    assert read_results(tmp_path / "run")["initialisation"] == file


def test_a_dicom_series_gets_a_dicom_seg_of_what_the_nifti_holds(run, trained, tmp_path):
    pytest.importorskip("highdicom", reason='the extra "dicom" is not installed')
    array = ct_array((40, 36, 12))
    places = 5.0 * np.arange(array.shape[2])
    series = write_dicom(tmp_path / "in" / "scan", array, places, modality="MR")
    given = {"checkpoint": str(trained("self_paced") / "model.pt"), "output_dir": str(tmp_path / "out")}
    write_dicom(tmp_path / "ct" / "scan", array, places)
    with pytest.raises(RuntimeError) as caught:
        run("inference", dataset_dir=str(tmp_path / "ct"), dicom_seg=True, **given)
    assert "found CT in the DICOM header; use a network that was trained on CT" in refusal(caught)
    assert not list((tmp_path / "out").glob("*.nii.gz"))
    run("inference", dataset_dir=str(tmp_path / "in"), dicom_seg=True, **given)
    nifti = nib.load(tmp_path / "out" / "scan_seg.nii.gz")
    labels, affine, names = read_dicom_seg(tmp_path / "out" / "scan_seg.dcm", source=series)
    assert np.array_equal(labels, np.asanyarray(nifti.dataobj))
    assert np.allclose(affine, nifti.affine, atol=1e-3)
    assert names == {1: "right ventricle", 2: "myocardium", 3: "left ventricle"}
    assert labels.any()
