"""Real CT through the whole project: lists, reading, store, pre-training on three label sets, fine-tuning, DICOM."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.networks.nets import UNETR

from benchmarks.real_lists import STRUCTURES, write_lists
from monai_cl.data import Preparation, VolumeStore, load_data_list, read_volume, to_ras, validate_data_list
from monai_cl.data.records.results import read_results
from tests.bundles.launcher import Finished

pytestmark = pytest.mark.real_data

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"
PAIRED = ("kidney", "adrenal gland")
PATCH = 32
NETWORK = {"feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}


@pytest.fixture(scope="module")
def lists(tmp_path_factory) -> dict[str, Path]:
    return write_lists(tmp_path_factory.mktemp("lists"))


@pytest.fixture(scope="module")
def items(lists, real_data) -> dict[str, dict]:
    """Every item of both lists by its id."""
    read = [load_data_list(path, data_root=real_data) for path in lists.values()]
    return {item["id"]: item for data_list in read for item in data_list.items("training")}


def canonical(path: str) -> nib.Nifti1Image:
    """The file in RAS, by nibabel alone."""
    return nib.as_closest_canonical(nib.load(path))


def centre_mm(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Centre of mass of a mask in RAS mm."""
    return affine[:3, :3] @ np.argwhere(mask).mean(0) + affine[:3, 3]


# ---- lists -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["pretraining", "target"])
def test_a_list_of_real_files_has_no_complaint(lists, real_data, name):
    assert [str(problem) for problem in validate_data_list(lists[name], data_root=real_data)] == []


def test_the_three_pretraining_sets_label_different_organs(lists, real_data):
    read = {name: load_data_list(lists[name], data_root=real_data) for name in ("pretraining", "target")}
    labels = [set(d.classes.values()) for d in read["pretraining"].datasets]
    assert [len(organs) for organs in labels] == [5, 6, 1]
    assert len(set.union(*labels)) == 12  # no organ twice
    never = set(read["target"].labels.values()) - set.union(*labels)
    assert never == {"background", "esophagus", "portal vein and splenic vein"}


def test_the_target_is_trained_on_one_case_and_tested_on_two(lists, real_data):
    from monai_cl.engines import training_items, validation_items

    target = load_data_list(lists["target"], data_root=real_data)
    assert [item["patient"] for item in training_items(target, fold=0)] == ["img0035"]
    assert [item["patient"] for item in validation_items(target, fold=0)] == ["img0036", "img0037"]


def test_btcv_ids_name_the_organs_of_the_label_files(items, lists, real_data):
    labels = load_data_list(lists["target"], data_root=real_data).labels
    numbers = {organ: label for label, organ in labels.items()}
    for case in ("0035", "0036", "0037"):
        image = canonical(items[f"btcv_img{case}"]["label"])
        array = np.asarray(image.dataobj)
        absent = {numbers["gallbladder"]} if case == "0035" else set()
        assert set(np.unique(array)) == set(range(14)) - absent
        organs = ["liver", "spleen", "aorta", "esophagus", *(f"{s} {o}" for o in PAIRED for s in ("right", "left"))]
        centre = {organ: centre_mm(array == numbers[organ], image.affine) for organ in organs}
        assert centre["liver"][0] > centre["aorta"][0] > centre["spleen"][0]  # R+
        assert centre["esophagus"][2] > centre["aorta"][2]  # S+
        for organ in PAIRED:
            assert centre[f"right {organ}"][0] > centre[f"left {organ}"][0]
        sizes = np.bincount(array.ravel(), minlength=14)[1:]
        assert sizes.argmax() + 1 == numbers["liver"]


def test_structures_beyond_nine_are_the_great_vessels(items):
    image = canonical(items["totalseg_ct"]["label"])
    array = np.asarray(image.dataobj)
    aorta, cava = (np.argwhere(array == STRUCTURES[name]) for name in ("aorta", "inferior vena cava"))
    assert cava[:, 0].mean() > aorta[:, 0].mean()  # the cava lies to the right
    for vessel in (aorta, cava):
        extent = np.ptp(vessel, axis=0) * image.header.get_zooms()
        # mm: long and thin along the body
        assert extent[2] > 100
        assert extent[:2].max() < 60


# ---- reading and store -----------------------------------------------------------------------------------------------
def test_the_store_keeps_lidc_in_ras_at_its_own_spacing(items, tmp_path):
    item = items["lidc0001_ct"]
    image, label = canonical(item["image"]), canonical(item["label"])
    assert nib.aff2axcodes(nib.load(item["image"]).affine) == ("L", "A", "S")
    store = VolumeStore.create(tmp_path / "store", Preparation(spacing=None))
    key = store.add(item)
    entry = store.entry(key)
    assert nib.aff2axcodes(entry.affine) == ("R", "A", "S")
    np.testing.assert_allclose(entry.affine, image.affine, atol=1e-4)
    assert entry.spacing == pytest.approx((0.703125, 0.703125, 2.5), abs=1e-4)
    voxels = store.read(key)
    assert voxels.dtype == np.int16
    assert voxels.min() == -2048  # padding stays what it is; the window makes air of it
    np.testing.assert_array_equal(voxels, np.asarray(image.dataobj))
    assert entry.classes == (1, 2, 3, 4, 5)
    expected = np.zeros(120, np.uint8)
    expected[[1, 2, 3, 5, 7]] = [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(store.read(key, kind="label"), expected[np.asarray(label.dataobj)])


@pytest.mark.parametrize("case", ["lidc0001_ct", "totalseg_ct", "STS_024_CT_image"])
def test_resampling_leaves_organs_where_they_are(items, tmp_path, case):
    item = items[case]
    store = VolumeStore.create(tmp_path / "store", Preparation(spacing=(4, 4, 4)))
    key = store.add(item)
    entry, label = store.entry(key), canonical(item["label"])
    assert entry.spacing == pytest.approx((4, 4, 4))
    assert nib.aff2axcodes(entry.affine) == ("R", "A", "S")
    extent = np.array(label.shape) * label.header.get_zooms()
    assert np.abs(np.array(entry.shape) * 4 - extent).max() < 8  # mm
    source, stored = np.asarray(label.dataobj), store.read(key, kind="label")
    for value, number in (item["label_map"] or {1: 1}).items():
        apart = np.linalg.norm(centre_mm(source == value, label.affine) - centre_mm(stored == number, entry.affine))
        assert apart < 2, f"label {number}"  # mm, half a voxel
        volume = (source == value).sum() * np.prod(label.header.get_zooms())
        if volume > 64 * 300:
            assert (stored == number).sum() * 64 == pytest.approx(volume, rel=0.15)


def test_the_store_keeps_the_sarcomas_in_ras_at_their_own_spacing(items, tmp_path):
    store = VolumeStore.create(tmp_path / "store", Preparation(spacing=None))
    cases = [item for item in items.values() if item["dataset"] == "sarcoma"]
    assert len(cases) == 6
    for item in cases:
        assert nib.aff2axcodes(nib.load(item["image"]).affine) == ("L", "P", "S")
        key = store.add(item)
        entry = store.entry(key)
        assert nib.aff2axcodes(entry.affine) == ("R", "A", "S")
        assert entry.spacing == pytest.approx((0.9766, 0.9766, 3.27), abs=1e-3)
        np.testing.assert_array_equal(store.read(key), np.rint(np.asarray(canonical(item["image"]).dataobj)))
        np.testing.assert_array_equal(store.read(key, kind="label"), np.asarray(canonical(item["label"]).dataobj))


def test_a_dicom_series_lies_where_its_nifti_labels_lie(real_data):
    image = to_ras(read_volume(real_data / "dicom" / "totalseg_upper_abdomen"))
    label = to_ras(read_volume(real_data / "dicom" / "totalseg_upper_abdomen_structures.nii.gz"))
    assert image.array.shape == label.array.shape == (512, 512, 20)
    np.testing.assert_allclose(image.affine, label.affine, atol=1e-3)
    assert image.spacing == pytest.approx((0.9766, 0.9766, 2.0), abs=1e-3)
    for organ, low, high in (("liver", 0, 200), ("spleen", 0, 250), ("aorta", 0, 500)):
        assert low < np.median(image.array[label.array == STRUCTURES[organ]]) < high  # HU


# ---- bundles, as a user runs them -----------------------------------------------------------------------------------
Run = Callable[..., Finished]


@pytest.fixture
def run(launcher, tmp_path) -> Run:
    """``run(module, *words)``: a command that must succeed, as a process of its own."""

    def start(module: str, *words: object) -> Finished:
        return launcher.run(module, *words, cwd=tmp_path).check()

    return start


@pytest.fixture
def bundle(run) -> Run:
    """``bundle(name, config, **options)``: ``python -m monai.bundle run`` of a config with the small network."""

    def start(name: str, config: str, **options: object) -> Finished:
        configs = BUNDLES / name / "configs"
        files = [configs / f"{part}.yaml" for part in (("train", config) if config == "evaluate" else (config,))]
        options = {"spacing": [4.0] * 3, "patch_size": [PATCH] * 3, **NETWORK, **options}
        words = [word for key, value in options.items() for word in (f"--{key}", _text(value))]
        return run("monai.bundle", "run", "--config_file", str([str(file) for file in files]), *words)

    return start


def _text(value: object) -> str:
    return str(value) if isinstance(value, (str, Path)) else json.dumps(value)


def test_a_dicom_series_is_segmented_in_its_own_geometry(bundle, real_data, tmp_path):
    torch.manual_seed(0)
    torch.save(UNETR(1, 14, img_size=PATCH, **NETWORK).state_dict(), tmp_path / "model.pt")
    series = real_data / "dicom" / "totalseg_upper_abdomen"
    bundle(
        "btcv_unetr_segmentation", "inference",
        dataset_dir=series, checkpoint=tmp_path / "model.pt", output_dir=tmp_path / "labels",
    )  # fmt: skip
    (written,) = (tmp_path / "labels").glob("*.nii.gz")  # beside its record
    assert written.name == "totalseg_upper_abdomen_seg.nii.gz"
    label, source = nib.load(written), read_volume(series)
    assert label.shape == source.array.shape == (512, 512, 20)
    np.testing.assert_allclose(label.affine, source.affine, atol=1e-3)
    assert label.get_data_dtype() == np.uint8
    assert set(np.unique(np.asarray(label.dataobj))) <= set(range(14))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_pretraining_on_three_label_sets_to_dice_of_thirteen_organs(bundle, run, lists, real_data, tmp_path):
    training = {
        "dataset_dir": real_data, "store_dir": tmp_path / "store", "iterations": 2, "epoch_length": 2,
        "num_workers": 0, "prepare_workers": 1,
    }  # fmt: skip
    pretraining, encoder = tmp_path / "pretraining", tmp_path / "encoder.pt"
    bundle(
        "mixcl_ct_pretraining", "train",
        data_list=lists["pretraining"], output_dir=pretraining, preset="hybrid", **training,
    )  # fmt: skip
    results = read_results(pretraining)
    assert set(results["data_list"]["datasets"]) == {"lidc", "totalseg", "sarcoma"}
    run("monai_cl", "export_encoder", pretraining / "model.pt", "--output", encoder)

    fine, target = tmp_path / "fine", {**training, "data_list": lists["target"], "fold": 0}
    bundle("btcv_unetr_segmentation", "train", **target, output_dir=fine, pretrained_encoder=encoder)
    results, labels = read_results(fine), load_data_list(lists["target"], data_root=real_data).labels
    assert results["data_list"]["training_cases"] == ["btcv_img0035"]
    assert results["initialisation"] == str(encoder)
    check_metrics(results["metrics"], ["img0036", "img0037"], labels)

    # one case is enough to see that the same weights give the same Dice
    one = {"validate#dataset_data": "$monai_cl.engines.validation_items(@lists, fold=0)[1:]"}
    bundle("btcv_unetr_segmentation", "evaluate", **target, output_dir=fine, **one)
    evaluated = read_results(fine / "evaluation")
    check_metrics(evaluated["metrics"], ["img0037"], labels)
    assert evaluated["metrics"]["per_case"][0]["dice"] == pytest.approx(
        results["metrics"]["per_case"][1]["dice"], abs=1e-4
    )
    assert all((fine / "evaluation" / name).is_file() for name in evaluated["overlays"])


def check_metrics(metrics: dict, patients: list[str], labels: dict[int, str]) -> None:
    """Dice of each of the 13 organs for each case."""
    organs = [labels[number] for number in range(1, 14)]
    assert [case["patient"] for case in metrics["per_case"]] == patients
    for case in metrics["per_case"]:
        assert list(case["dice"]) == organs
        assert all(0 <= value <= 1 for value in case["dice"].values())
    assert list(metrics["dice"]) == organs
    assert 0 <= metrics["mean_dice"] <= 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_depth_is_predicted_for_unseen_patients(tmp_path, real_data):
    """Eleven patients, three folds: the study runs to its table; what it finds is in docs/results.md."""
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "real_depth.py"
    words = [sys.executable, str(script), str(real_data), "--output", str(tmp_path), "--seeds", "0", "--steps", "25"]
    done = subprocess.run([*words, "--batch", "4"], check=True, capture_output=True, text=True, encoding="utf-8")
    assert "| wsp |" in done.stdout
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["rows"]
    assert {(row["method"], row["fold"]) for row in found} == {
        (method, fold) for method in ("random", "simclr", "depth_aware", "wsp") for fold in range(3)
    }
    assert sum(len(row["rank"]) for row in found if row["method"] == "wsp") == 11


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_slices_of_real_ct_are_pretrained_and_segmented_by_position_and_patient(run, lists, real_data, tmp_path):
    """One labelled scan, one without, one to validate on: the calls that the cine has."""
    document = json.loads(lists["target"].read_text(encoding="utf-8"))
    for item in document["training"]:
        del item["fold"]
    document["validation"] = [document["training"].pop()]
    (tmp_path / "list.json").write_text(json.dumps(document))
    labels = {"position": {"parts": 4, "gamma": [5, 60]}, "patient": {"weight": 0.1, "gamma": [3.5, 50]}}
    options = {"dataset_dir": real_data, "data_list": tmp_path / "list.json", "store_dir": tmp_path / "store"}
    options |= {"meta_labels": json.dumps(labels), "features": [4, 4, 8, 8, 16, 4], "image_size": 64, "num_workers": 0}
    options |= {"iterations": 4, "epoch_length": 4, "scans_per_batch": 2, "prepare_workers": 1}
    more = {"labelled_scans": 1, "labelled_batch": 4, "dice_weight": 1.0, "overlay_cases": 1}
    more["pretrained_encoder"] = tmp_path / "meta_label_pretraining" / "model.pt"
    for bundle, own in (("meta_label_pretraining", {}), ("semi_supervised_segmentation", more)):
        words = [str(w) for key, value in {**options, **own}.items() for w in (f"--{key}", value)]
        config = BUNDLES / bundle / "configs" / "train.yaml"
        run("monai.bundle", "run", "--config_file", config, *words, "--output_dir", tmp_path / bundle)
    results = read_results(tmp_path / "semi_supervised_segmentation")
    assert (results["data_list"]["scans"], len(results["data_list"]["training_cases"])) == (2, 1)
    assert len(results["metrics"]["dice"]) == 13
    assert all(np.isfinite(value) for _, value in results["curves"]["loss"])


def test_a_preview_shows_real_organs_in_hounsfield_units(lists, real_data, tmp_path):
    from monai_cl.engines import preview_run
    from monai_cl.report import preview_faults, render_preview

    where = {"dataset_dir": str(real_data), "store_dir": str(tmp_path / "store"), "patch_size": [PATCH] * 3, **NETWORK}
    made = preview_run("mixcl_ct_pretraining", {**where, "data_list": str(lists["pretraining"])}, samples=3)
    assert preview_faults(made) == []
    assert all(scan.unit == "HU" and scan.window == (-150, 250) for sample in made.samples for scan in sample.scans)
    assert all(-2048 <= scan.values[0] < scan.values[1] <= 3071 for s in made.samples for scan in s.scans)
    assert any(share > 0 for sample in made.samples for share in sample.foreground)
    text = render_preview(made)
    assert any(organ in text for organs in made.organs.values() for organ in organs.values())
