"""Fine-tuning, evaluation and inference: what they leave, and that Dice is measured in the original image space."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch

from monai_cl.data import read_results, read_volume
from tests.bundles.conftest import ORGANS, SPLEEN, config_files, words
from tests.bundles.test_pretraining_run import same, weights
from tests.data.volume_files import ct_array, write_dicom, write_nifti


def volume(path: Path) -> np.ndarray:
    return np.asanyarray(nib.load(path).dataobj)


def dice(prediction: np.ndarray, truth: np.ndarray, value: int) -> float | None:
    """By its definition, in voxels; None where the truth has none."""
    p, t = prediction == value, truth == value
    return float(2 * (p & t).sum() / (p.sum() + t.sum())) if t.any() else None


def test_a_run_leaves_its_best_model_its_record_and_pictures(spleen):
    names = {path.name for path in spleen.iterdir()}
    assert names >= {"checkpoint_iteration=2.pt", "checkpoint_iteration=4.pt", "model.pt", "results.json", "overlays"}
    results = read_results(spleen)
    assert results["overlays"] == ["overlays/spleen_0001.png"]
    assert (spleen / results["overlays"][0]).read_bytes().startswith(b"\x89PNG")


def test_results_say_which_cases_trained_and_which_were_measured(spleen, encoder, cohort):
    results = read_results(spleen)
    assert (results["kind"], results["bundle"], results["initialisation"]) == ("segmentation", SPLEEN, str(encoder))
    data_list = results["data_list"]
    assert (data_list["fold"], data_list["label_fraction"]) == (1, 0.5)
    assert data_list["path"] == str(cohort / "spleen.json")
    measured = {case["id"] for case in results["metrics"]["per_case"]}
    assert measured == {"spleen_0001"}
    assert len(data_list["training_cases"]) == 2
    assert not measured & set(data_list["training_cases"])
    assert {"loss", "mean_dice", "dice/spleen", "learning_rate"} <= results["curves"].keys()
    assert [point[0] for point in results["curves"]["mean_dice"]] == [2, 4]
    assert results["best"]["mean_dice"] == max(value for _, value in results["curves"]["mean_dice"])


def test_the_model_is_that_of_the_best_validation(spleen):
    results = read_results(spleen)
    best = spleen / f"checkpoint_iteration={results['best']['iteration']}.pt"
    assert same(weights(spleen / "model.pt"), weights(best))


def test_an_evaluation_alone_measures_the_same_as_the_validation(spleen, evaluation):
    results = read_results(evaluation)
    assert results["metrics"]["mean_dice"] == pytest.approx(read_results(spleen)["best"]["mean_dice"], abs=1e-6)
    assert results["initialisation"] == str(spleen / "model.pt")
    assert results["name"] == "spleen"
    assert [path.name for path in (evaluation / "overlays").iterdir()] == ["spleen_0001.png"]


def test_the_cases_are_oriented_and_spaced_in_several_ways(cohort):
    # otherwise the next tests would show less than they seem to
    images = [nib.load(path) for path in sorted((cohort / "synthetic_spleen" / "images").iterdir())]
    assert "".join(nib.aff2axcodes(images[1].affine)) == "LPS"
    assert len({nib.aff2axcodes(image.affine) for image in images}) >= 3
    assert not any(np.allclose(image.header.get_zooms(), 8, atol=0.1) for image in images)


def test_label_maps_lie_on_the_grid_of_their_image(spleen_maps, cohort):
    images = sorted((cohort / "synthetic_spleen" / "images").iterdir())
    assert len(images) == 5
    for image in images:
        source = nib.load(image)
        written = nib.load(spleen_maps / image.name.replace(".nii.gz", "_seg.nii.gz"))
        assert written.shape == source.shape
        assert np.allclose(written.affine, source.affine, atol=1e-4)
        assert written.get_data_dtype() == np.uint8
        assert set(np.unique(volume(spleen_maps / image.name.replace(".nii.gz", "_seg.nii.gz")))) <= {0, 1}


def test_recorded_dice_is_that_of_the_label_maps_with_the_original_labels(evaluation, spleen_maps, cohort):
    (case,) = read_results(evaluation)["metrics"]["per_case"]
    prediction = volume(spleen_maps / f"{case['id']}_seg.nii.gz")
    truth = volume(cohort / "synthetic_spleen" / "labels" / f"{case['id']}.nii.gz")
    expected = dice(prediction, truth, 1)
    assert 0 < expected < 1
    assert case["dice"]["spleen"] == pytest.approx(expected, abs=1e-6)


def test_recorded_dice_of_every_organ_is_that_of_the_label_map(organs, organ_maps, cohort):
    results = read_results(organs)
    (case,) = results["metrics"]["per_case"]
    prediction = volume(organ_maps / f"{case['id']}_seg.nii.gz")
    truth = volume(cohort / "synthetic_target" / "labels" / f"{case['id']}.nii.gz")
    expected = [dice(prediction, truth, value) for value in range(1, 8)]
    assert list(case["dice"].values()) == pytest.approx(expected, abs=1e-6)
    assert sum(1 for value in expected if value) >= 3
    assert results["metrics"]["mean_dice"] == pytest.approx(np.mean([v for v in expected if v is not None]), abs=1e-6)


def test_an_image_in_another_format_gets_the_same_label_map(infer, spleen_maps, cohort, tmp_path):
    image = SimpleITK.ReadImage(str(cohort / "synthetic_spleen" / "images" / "spleen_0001.nii.gz"))
    for name in ("a.nrrd", "b.mha"):
        SimpleITK.WriteImage(image, str(tmp_path / name))
    infer(SPLEEN, tmp_path / "maps", dataset_dir=str(tmp_path)).check()
    expected = nib.load(spleen_maps / "spleen_0001_seg.nii.gz")
    for name in ("a_seg.nii.gz", "b_seg.nii.gz"):
        written = nib.load(tmp_path / "maps" / name)
        assert np.array_equal(np.asanyarray(written.dataobj), np.asanyarray(expected.dataobj))
        assert np.allclose(written.affine, expected.affine, atol=1e-3)


def test_images_of_one_name_do_not_overwrite_each_other(infer, cohort, tmp_path):
    images = []
    for patient, source in (("p1", "spleen_0001"), ("p2", "spleen_0002")):
        (tmp_path / patient).mkdir()
        images.append(tmp_path / patient / "ct.nii.gz")
        shutil.copy(cohort / "synthetic_spleen" / "images" / f"{source}.nii.gz", images[-1])
    infer(SPLEEN, tmp_path / "maps", datalist=[str(path) for path in images]).check()
    written = sorted(path.name for path in (tmp_path / "maps").rglob("*.nii.gz"))
    assert written == ["p1_ct_seg.nii.gz", "p2_ct_seg.nii.gz"]


def test_at_rate_zero_the_encoder_is_the_given_one_and_the_decoder_is_not(train, encoder, tmp_path):
    options = {"learning_rate": 0, "weight_decay": 0, "iterations": 2}
    train(SPLEEN, tmp_path / "run", pretrained_encoder=str(encoder), **options).check()
    found = weights(tmp_path / "run" / "model.pt")
    given = torch.load(encoder, weights_only=True)
    assert all(torch.equal(found[name], tensor) for name, tensor in given.items())
    train(SPLEEN, tmp_path / "scratch", **options).check()
    scratch = weights(tmp_path / "scratch" / "model.pt")
    assert not torch.equal(
        found["vit.patch_embedding.position_embeddings"], scratch["vit.patch_embedding.position_embeddings"]
    )
    assert torch.equal(found["out.conv.conv.weight"], scratch["out.conv.conv.weight"])  # both start alike elsewhere


def test_decoder_and_heads_of_organs_of_one_name_may_come_along(train, pretraining, tmp_path):
    options = {"pretrained_encoder": str(pretraining / "model.pt"), "transfer": "[encoder,decoder,heads]"}
    train(ORGANS, tmp_path / "run", **options, learning_rate=0, weight_decay=0, iterations=2).check()
    found, given = weights(tmp_path / "run/model.pt"), weights(pretraining / "model.pt")
    decoder = [name for name in found if name.startswith("decoder")]
    assert len(decoder) == 16
    assert all(torch.equal(found[name], given[f"unetr.{name}"]) for name in decoder)
    encoder = read_results(tmp_path / "run")["encoder"]
    assert encoder["parts"] == ["encoder", "decoder", "heads"]
    sets = {
        "kidney": ("right kidney", "left kidney"),
        "abdomen": ("stomach", "aorta"),
        "liver": ("liver",),
        "pancreas": ("pancreas",),
    }
    assert encoder["heads"] == {organ: [f"synthetic_{name}"] for name, organs in sets.items() for organ in organs}
    rows = found["out.conv.conv.weight"]
    assert torch.equal(rows[2], rows[3])  # both kidneys start from the one class of both
    assert not torch.equal(rows[2], rows[4])


@pytest.mark.slow
def test_the_dice_before_any_fine_tuning_is_that_of_the_pretraining_s_own_heads(
    launcher, training_options, pretraining, tmp_path
):
    options = {**training_options(ORGANS, fold=1), "pretrained_encoder": str(pretraining / "model.pt")}
    files = str(config_files(ORGANS, "train", "evaluate", "zero_shot"))
    chosen = words({**options, "output_dir": str(tmp_path / "run")})
    run = launcher.run("monai.bundle", "run", "--config_file", files, *chosen, cwd=tmp_path).check()
    assert "was not taught spleen: never predicted, Dice 0" in run.out + run.err
    results = read_results(tmp_path / "run/evaluation")
    assert results["metrics"]["dice"]["spleen"] == 0
    assert "spleen" not in results["encoder"]["heads"]
    assert results["initialisation"] == str(pretraining / "model.pt")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"evaluation"}


def test_a_resumed_fine_tuning_is_the_uninterrupted_one_to_the_last_bit(train, spleen, encoder, tmp_path):
    (tmp_path / "spleen").mkdir()
    shutil.copy(spleen / "checkpoint_iteration=2.pt", tmp_path / "spleen")
    shutil.copy(spleen / "model.pt", tmp_path / "spleen")
    options = {"pretrained_encoder": str(encoder), "label_fraction": 0.5, "fold": 1, "learning_rate": 0.003}
    train(SPLEEN, tmp_path / "spleen", **options).check()
    for name in ("model.pt", "checkpoint_iteration=4.pt"):
        assert same(weights(tmp_path / "spleen" / name), weights(spleen / name)), name
    whole, resumed = read_results(spleen), read_results(tmp_path / "spleen")
    for key in ("curves", "metrics", "best", "overlays"):
        assert resumed[key] == whole[key], key


def test_workers_do_not_change_a_fine_tuning(train, spleen, encoder, tmp_path):
    options = {"pretrained_encoder": str(encoder), "label_fraction": 0.5, "fold": 1, "learning_rate": 0.003}
    train(SPLEEN, tmp_path / "run", num_workers=2, **options).check()
    name = "checkpoint_iteration=4.pt"
    assert same(weights(tmp_path / "run" / name), weights(spleen / name))


def test_label_fraction_and_fold_choose_the_training_cases(organs):
    results = read_results(organs)
    assert results["data_list"]["training_cases"] == [f"target_000{i}" for i in (1, 2, 3, 4)]
    assert [case["id"] for case in results["metrics"]["per_case"]] == ["target_0000"]
    assert list(results["metrics"]["dice"]) == results["data_list"]["datasets"]["synthetic_target"]["labels"][1:]
    assert results["bundle"] == ORGANS


def test_an_evaluation_may_be_written_anywhere(launcher, training_options, spleen, tmp_path):
    options = {**training_options(SPLEEN, fold=1), "output_dir": str(spleen), "evaluation_dir": "measured"}
    files = str(config_files(SPLEEN, "train", "evaluate"))
    launcher.run("monai.bundle", "run", "--config_file", files, *words(options), cwd=tmp_path).check()
    assert read_results(tmp_path / "measured")["name"] == "spleen"
    assert [path.name for path in tmp_path.iterdir()] == ["measured"]


def test_a_dicom_series_is_segmented_like_its_nifti(infer, tmp_path):
    array = ct_array((40, 36, 20))
    series = write_dicom(tmp_path / "in" / "series", array, 5.0 * np.arange(array.shape[2]))
    volume = read_volume(series)
    write_nifti(tmp_path / "in" / "volume.nii.gz", volume.array.astype(np.int16), volume.affine)
    infer(SPLEEN, tmp_path / "out", dataset_dir=str(tmp_path / "in")).check()
    from_series, from_file = (nib.load(tmp_path / "out" / f"{name}_seg.nii.gz") for name in ("series", "volume"))
    assert from_series.shape == volume.array.shape
    assert np.allclose(from_series.affine, volume.affine, atol=1e-3)
    assert np.array_equal(np.asanyarray(from_series.dataobj), np.asanyarray(from_file.dataobj))


def test_inference_on_dicom_writes_a_dicom_seg_that_holds_what_the_nifti_holds(infer, cohort, tmp_path):
    pytest.importorskip("highdicom", reason='the extra "dicom" is not installed')
    from monai_cl.data import read_dicom_seg

    case = read_volume(cohort / "synthetic_spleen" / "images" / "spleen_0000.nii.gz")
    array = (np.asarray(case.array) // 2 * 2).astype(np.int16)
    series = write_dicom(tmp_path / "in" / "scan", array, 8.0 * np.arange(array.shape[2]), spacing=(8.0, 8.0))
    finished = infer(SPLEEN, tmp_path / "out", dataset_dir=str(tmp_path / "in"), dicom_seg=True).check()
    assert "nvimgcodec" not in finished.err.lower(), "MONAI warns about a decoder that was not asked for"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("scan_seg.dcm", "scan_seg.json", "scan_seg.nii.gz")
    ]
    nifti = nib.load(tmp_path / "out" / "scan_seg.nii.gz")
    labels, affine, names = read_dicom_seg(tmp_path / "out" / "scan_seg.dcm", source=series)
    assert np.array_equal(labels, np.asanyarray(nifti.dataobj))
    assert np.allclose(affine, nifti.affine, atol=1e-3)
    assert names == {1: "spleen"}
    assert labels.any()
    assert not labels.all()


def test_a_scan_that_is_not_a_dicom_series_stops_dicom_seg_before_anything_ran(infer, cohort, tmp_path):
    pytest.importorskip("highdicom", reason='the extra "dicom" is not installed')
    scan = cohort / "synthetic_spleen" / "images" / "spleen_0000.nii.gz"
    finished = infer(SPLEEN, tmp_path / "out", datalist=[str(scan)], dicom_seg=True)
    assert finished.status == 1
    assert finished.last_error_line.endswith(
        "spleen_0000.nii.gz: expected a DICOM series, which dicom_seg refers to; run it without dicom_seg"
    )
    assert not (tmp_path / "out").exists()


def test_an_exported_config_runs_from_anywhere(launcher, training_options, tmp_path):
    mine = tmp_path / "mine.yaml"
    options = words({**training_options(SPLEEN, iterations=2), "output_dir": str(tmp_path / "run")})
    launcher.run("monai_cl", "export_config", SPLEEN, mine, *options, cwd=tmp_path).check()
    launcher.run("monai.bundle", "run", "--config_file", mine, "--seed", 3, cwd=tmp_path).check()
    results = read_results(tmp_path / "run")
    assert (results["bundle"], results["iterations"], results["seed"]) == (SPLEEN, 2, 3)
    assert results["config"]["seed"] == 3


def test_without_folds_the_lists_own_validation_is_measured(train, cohort, tmp_path):
    document = json.loads((cohort / "spleen.json").read_text(encoding="utf-8"))
    document["validation"] = document["training"][3:]
    document["training"] = document["training"][:3]
    (tmp_path / "list.json").write_text(json.dumps(document))
    train(SPLEEN, tmp_path / "run", fold="none", data_list=str(tmp_path / "list.json"), iterations=2).check()
    results = read_results(tmp_path / "run")
    assert results["data_list"]["training_cases"] == ["spleen_0000", "spleen_0001", "spleen_0002"]
    assert results["data_list"]["fold"] is None
    assert [case["id"] for case in results["metrics"]["per_case"]] == ["spleen_0003", "spleen_0004"]
    per_case = [case["dice"]["spleen"] for case in results["metrics"]["per_case"]]
    assert results["metrics"]["mean_dice"] == pytest.approx(np.mean(per_case))


def test_a_validation_case_without_the_organ_counts_for_nothing(train, cohort, tmp_path):
    copy = shutil.copytree(cohort / "synthetic_spleen", tmp_path / "synthetic_spleen")
    label = nib.load(copy / "labels" / "spleen_0001.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(label.shape, np.uint8), label.affine), copy / "labels" / "spleen_0001.nii.gz")
    document = json.loads((cohort / "spleen.json").read_text(encoding="utf-8"))
    for number, item in enumerate(document["training"]):
        item["fold"] = int(number > 1)
    (tmp_path / "list.json").write_text(json.dumps(document))
    options = {"dataset_dir": str(tmp_path), "data_list": str(tmp_path / "list.json"), "iterations": 2}
    train(SPLEEN, tmp_path / "run", store_dir=str(tmp_path / "store"), **options).check()
    with_it, without = read_results(tmp_path / "run")["metrics"]["per_case"]
    assert without["dice"] == {"spleen": None}
    assert read_results(tmp_path / "run")["metrics"]["mean_dice"] == with_it["dice"]["spleen"]
