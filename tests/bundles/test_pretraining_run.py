"""A MixCL pre-training from the command line to its encoder."""

from __future__ import annotations

import json
import math
import shutil
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_cl.data import load_data_list, read_results, read_volume
from monai_cl.data.io.fingerprint import scan_fingerprint
from monai_cl.engines import embed, segmentation_unetr, trained_scans
from tests.bundles.conftest import BUNDLES, NETWORK, PRETRAINING

slow = partial(pytest.param, marks=pytest.mark.slow)
TERMS = ("identity", "label", "reconstruction", "supervised")


def weights(file: Path) -> dict[str, torch.Tensor]:
    """A state dict, of ``model.pt`` or a checkpoint."""
    content = torch.load(file, weights_only=True)
    return content.get("network", content)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Equal to the last bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_leaves_its_model_two_checkpoints_and_its_record(pretraining):
    names = sorted(path.name for path in pretraining.iterdir())
    assert names == [
        "README.txt",
        "checkpoint_iteration=2.pt",
        "checkpoint_iteration=4.pt",
        "model.pt",
        "results.json",
        "tensorboard",
    ]
    assert any((pretraining / "tensorboard").iterdir())


def test_nothing_is_written_into_the_bundle(pretraining):
    assert {path.name for path in (BUNDLES / PRETRAINING).iterdir()} <= {"configs", "docs", "LICENSE"}


def test_results_hold_what_their_readers_expect(pretraining, cohort):
    results = read_results(pretraining)  # checks the schema
    assert (results["schema"], results["kind"], results["bundle"]) == (1, "pretraining", PRETRAINING)
    assert (results["name"], results["seed"], results["iterations"]) == ("pretraining", 0, 4)
    assert results["initialisation"] == "scratch"
    assert results["device"].startswith(("cpu", "cuda"))
    assert results["wall_seconds"] > 0
    assert results["versions"].keys() >= {"monai_cl", "monai", "torch", "numpy", "python"}
    data_list = results["data_list"]
    assert data_list["path"] == str(cohort / "pretraining.json")
    assert len(data_list["sha256"]) == 64
    assert len(data_list["training_cases"]) == 20
    assert data_list["fold"] is None
    config = results["config"]
    assert (config["preset"], config["feature_size"], config["iterations"]) == ("hybrid", 4, 4)
    assert config["optimizer"]["lr"] == "@learning_rate"  # merged, not resolved
    assert "run --config_file" in results["command"]


def test_every_term_and_what_explains_it_is_a_curve(pretraining):
    curves = read_results(pretraining)["curves"]
    expected = {"loss", "learning_rate", "label_positive_share", *TERMS}
    expected |= {f"encoder_gradient/{term}" for term in TERMS}
    for level in range(4):
        expected |= {f"identity_diagonal/{level}", f"identity_offdiagonal/{level}", f"effective_rank/level{level}"}
    assert expected <= curves.keys()
    assert all(math.isfinite(value) for points in curves.values() for _, value in points)
    assert all(value > 0 for _, value in curves["encoder_gradient/label"])


@pytest.mark.slow
def test_probes_of_voxels_and_a_schedule_of_ones_change_nothing(train, pretraining, tmp_path):
    ones = {"supervised": [[0, 1.0], [3, 1.0]]}
    train(PRETRAINING, tmp_path, preset="hybrid", probe_every=1, loss_schedule=ones).check()
    assert same(weights(tmp_path / "model.pt"), weights(pretraining / "model.pt"))
    curves = read_results(tmp_path)["curves"]
    for name in ("probe/neighbours", "probe/linear"):
        assert [iteration for iteration, _ in curves[name]] == [2, 4]
        assert all(0 <= value <= 1 for _, value in curves[name])
    assert {value for _, value in curves["factor/supervised"]} == {1.0}


def test_training_moves_every_part_of_the_network(train, pretraining, tmp_path):
    first, last = (weights(pretraining / f"checkpoint_iteration={i}.pt") for i in (2, 4))
    still = {name for name in last if torch.equal(first[name], last[name])}
    # the last steps of four are small; biases before an instance norm and what never has a gradient stay
    moved = {name.split(".")[0] + "." + name.split(".")[1] for name in last.keys() - still}
    parts = {"unetr.vit", "unetr.encoder1", "unetr.encoder2", "unetr.encoder3", "unetr.encoder4", "unetr.decoder2"}
    parts |= {"unetr.out", "projectors.0", "projectors.1", "segmentation_head.weight"}
    assert parts <= moved


def test_the_exported_encoder_fits_monais_unetr_and_says_where_it_is_from(encoder, pretraining):
    about = json.loads(encoder.with_suffix(".json").read_text(encoding="utf-8"))
    assert about["checkpoint"] == str(pretraining / "model.pt")
    assert (about["seed"], about["iterations"], about["config"]["preset"]) == (0, 4, "hybrid")
    network = segmentation_unetr(
        pretrained_encoder=str(encoder),
        in_channels=1,
        out_channels=2,
        img_size=NETWORK["patch_size"],
        **{key: NETWORK[key] for key in ("feature_size", "hidden_size", "mlp_dim", "num_heads")},
    )
    trained = weights(pretraining / "model.pt")
    exported = torch.load(encoder, weights_only=True)
    assert all(name.startswith(("vit.", "encoder")) for name in exported)
    for name, tensor in exported.items():
        assert torch.equal(tensor, trained[f"unetr.{name}"])
        assert torch.equal(tensor, network.state_dict()[name])


def test_model_checkpoint_and_encoder_embed_a_scan_alike(encoder, pretraining, cohort):
    scan = sorted((cohort / "synthetic_spleen" / "images").iterdir())[0]
    vectors = [embed(file, scan).vectors for file in (pretraining / "model.pt", encoder)]
    assert vectors[0].shape == (1, NETWORK["hidden_size"])
    np.testing.assert_array_equal(*vectors)
    before = embed(pretraining / "checkpoint_iteration=2.pt", scan).vectors
    assert before.shape == vectors[0].shape
    assert np.abs(before - vectors[0]).max() > 0


def test_its_files_say_which_scans_it_was_trained_on(encoder, pretraining, cohort):
    files = [item["image"] for item in load_data_list(cohort / "pretraining.json").items()]
    wanted = {scan_fingerprint(read_volume(file)) for file in files}
    for file in (pretraining / "model.pt", pretraining / "checkpoint_iteration=2.pt", encoder):
        scans = trained_scans(file)
        assert {scan.fingerprint for scan in scans} == wanted
        assert {scan.used for scan in scans} == {"labels"}


@pytest.mark.parametrize(
    "preset",
    [
        *("paper", "masked_hybrid"),
        *(
            slow(name)
            for name in (
                "aligned",
                "supervised",
                "clustering_hybrid",
                "balanced",
                "measured",
                "masked",
                "clustering",
                "identity",
                "label",
                "reconstruction",
            )
        ),
    ],
)
def test_every_preset_trains_its_own_terms_alone(train, tmp_path, preset):
    train(PRETRAINING, tmp_path / "run", preset=preset, iterations=2).check()
    curves = read_results(tmp_path / "run")["curves"]
    on = {
        "paper": set(TERMS[:3]),
        "balanced": set(TERMS[:3]),
        "measured": set(TERMS),
        "aligned": set(TERMS),
        "masked": {TERMS[2]},
        "masked_hybrid": set(TERMS[2:]),
        "clustering_hybrid": {"clustering", "supervised"},
    }
    on = on.get(preset, {preset})
    assert {term for term in (*TERMS, "clustering") if term in curves} == on
    assert all(math.isfinite(value) for points in curves.values() for _, value in points)
    gradients = {term: curves[f"encoder_gradient/{term}"][0][1] for term in on}
    assert all(norm > 0 for norm in gradients.values()), gradients


@pytest.fixture(scope="module")
def shared_organs(cohort, tmp_path_factory) -> Path:
    """The scans with stomach and aorta as two data sets, with other label ids and other names of the same organs."""
    first = json.loads((cohort / "pretraining.json").read_text(encoding="utf-8"))["datasets"][3]
    assert first["labels"] == {"0": "background", "1": "stomach", "2": "aorta"}
    second = {**first, "name": "more", "labels": {"0": "background", "1": "Aorta", "2": "Stomachs"}}
    given = first.get("label_map") or {label: int(label) for label in first["labels"]}
    second["label_map"] = {value: {1: 2, 2: 1}.get(label, label) for value, label in given.items()}
    first["training"], second["training"] = first["training"][:3], first["training"][3:]
    file = tmp_path_factory.mktemp("lists") / "abdomens.json"
    file.write_text(json.dumps({"name": "abdomens", "datasets": [first, second]}), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({}, "expected an organ that two of its data sets name alike"),
        pytest.param({"bank_length": 0}, "bank_length: expected an integer >= 1", marks=pytest.mark.slow),
    ],
)
def test_a_bank_that_cannot_be_filled_is_refused_before_anything_is_prepared(
    train, shared_organs, tmp_path, option, text
):
    chosen = {**option, "data_list": str(shared_organs)} if option else {}
    run = train(PRETRAINING, tmp_path / "run", preset="memory_bank", store_dir=str(tmp_path / "store"), **chosen)
    assert run.status == 1
    assert not (tmp_path / "store").exists()
    assert text in run.err
    assert "--bank_weight 0" in run.err
    assert "Traceback" not in run.err


@pytest.mark.slow
def test_a_run_with_a_half_filled_bank_of_organs_resumes_to_the_last_bit(train, tmp_path, shared_organs):
    options = {"preset": "memory_bank", "data_list": str(shared_organs), "balance": "datasets", "bank_length": 16}
    run = train(PRETRAINING, tmp_path / "whole", **options).check()
    assert "stomach is compared between synthetic_abdomen, more" in run.out + run.err
    curves = read_results(tmp_path / "whole")["curves"]
    assert {*TERMS, "bank", "bank_fill", "bank_positive_share"} <= curves.keys()
    assert all(math.isfinite(value) for points in curves.values() for _, value in points)
    assert curves["encoder_gradient/bank"][0][1] == 0  # nothing is in it yet
    assert curves["bank"][-1][1] > 0
    (tmp_path / "run").mkdir()
    shutil.copy(tmp_path / "whole" / "checkpoint_iteration=2.pt", tmp_path / "run")
    train(PRETRAINING, tmp_path / "run", **options).check()
    whole, resumed = (
        torch.load(tmp_path / name / "checkpoint_iteration=4.pt", weights_only=True) for name in ("whole", "run")
    )
    assert whole["loss"].pop("bank._extra_state") == resumed["loss"].pop("bank._extra_state")
    for part in ("network", "loss"):
        assert same(whole[part], resumed[part])
    filled = whole["loss"]["bank.datasets"] >= 0
    assert 0 < filled.sum() < filled.numel()
    assert read_results(tmp_path / "run")["curves"] == curves
    of_training = {"split": "training", "allow_overlap": True, "evaluation_patches": 1}
    train(PRETRAINING, tmp_path / "run", "evaluate", **options, **of_training).check()
    assert not {"bank", "bank_fill"} & read_results(tmp_path / "run" / "evaluation")["curves"].keys()


@pytest.fixture(scope="module")
def partly_labelled(cohort, tmp_path_factory):
    """``partly_labelled(every)``: the pre-training list without the labels of its first data set, or of all."""

    def write(every: bool) -> Path:
        document = json.loads((cohort / "pretraining.json").read_text(encoding="utf-8"))
        for dataset in document["datasets"][: None if every else 1]:
            dataset.pop("labels", None)
            for key in ("label_map", "ignore"):
                dataset.pop(key, None)
            for item in dataset["training"]:
                del item["label"]
        file = tmp_path_factory.mktemp("lists") / "pretraining.json"
        file.write_text(json.dumps(document), encoding="utf-8")
        return file

    return write


@pytest.mark.parametrize(
    ("preset", "every", "on"),
    [
        ("hybrid", False, set(TERMS)),
        ("paper", True, set(TERMS[:3])),
        pytest.param("reconstruction", True, {"reconstruction"}, marks=pytest.mark.slow),
    ],
)
def test_scans_without_label_train_what_needs_none(train, tmp_path, partly_labelled, preset, every, on):
    options = {"preset": preset, "iterations": 2, "data_list": str(partly_labelled(every))}
    run = train(PRETRAINING, tmp_path / "run", **options, batch_size=2, balance="datasets").check()
    without = 20 if every else 5
    assert f"{without} of 20 scans under 'training' have no label" in run.out + run.err
    results = read_results(tmp_path / "run")
    assert len(results["data_list"]["training_cases"]) == 20
    curves = results["curves"]
    assert {term for term in TERMS if term in curves} == on
    assert all(math.isfinite(value) for points in curves.values() for _, value in points)
    if every and "label" in on:
        assert all(value == 0 for _, value in curves["label"])
    used = sorted(scan.used for scan in trained_scans(tmp_path / "run/model.pt"))
    assert used == [""] * without + ["labels"] * (0 if preset == "reconstruction" else 20 - without)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"mask_block": 15}, "mask_block must divide the patch size [32, 32, 32], got 15"),
        ({"mask_block": 32}, "mask_block must leave at least two cubes in a patch of [32, 32, 32], got 32"),
        pytest.param({"mask_ratio": 1.5}, "mask_ratio must be in (0, 1), got 1.5", marks=pytest.mark.slow),
    ],
)
def test_cubes_that_do_not_fill_the_patch_are_refused_before_a_step(train, tmp_path, option, text):
    run = train(PRETRAINING, tmp_path / "run", preset="masked", **option, store_dir=str(tmp_path / "store"))
    assert run.status == 1
    assert not (tmp_path / "store").exists()
    assert text in run.err
    assert "Traceback" not in run.err


@pytest.mark.parametrize("preset", ["hybrid", pytest.param("label", marks=pytest.mark.slow)])
def test_what_learns_from_labels_alone_is_refused_without_any(train, tmp_path, partly_labelled, preset):
    run = train(PRETRAINING, tmp_path / "run", preset=preset, data_list=str(partly_labelled(True)))
    assert run.status != 0
    assert "Traceback" not in run.err
    assert "--preset balanced" in run.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [{"batch_size": 2}, {"amp": True}, {"balance": "datasets"}])
def test_other_batches_and_precisions_train_as_well(train, tmp_path, options):
    train(PRETRAINING, tmp_path / "run", preset="hybrid", iterations=2, **options).check()
    curves = read_results(tmp_path / "run")["curves"]
    assert all(math.isfinite(value) for points in curves.values() for _, value in points)
    assert set(TERMS) <= curves.keys()


@pytest.mark.slow
def test_the_keys_for_speed_train_as_well(train, tmp_path):
    keys = {"channels_last": True, "fused_optimizer": True, "fused_attention": False, "num_workers": 1, "prefetch": 1}
    train(PRETRAINING, tmp_path / "run", preset="paper", iterations=2, **keys).check()
    curves = read_results(tmp_path / "run")["curves"]
    assert all(math.isfinite(value) for points in curves.values() for _, value in points)
    assert set(TERMS[:3]) <= curves.keys()


def test_a_weight_of_its_own_goes_over_the_presets(train, tmp_path):
    train(PRETRAINING, tmp_path / "run", preset="paper", label_weight=0, iterations=2).check()
    assert "label" not in read_results(tmp_path / "run")["curves"]


def test_a_run_with_a_half_filled_queue_resumes_to_the_last_bit(train, tmp_path):
    options = {
        "preset": "clustering",
        "codes": {"queue_length": 3},
        "clusters": {"prototypes": 4, "freeze_iterations": 3},
    }
    train(PRETRAINING, tmp_path / "whole", **options).check()
    (tmp_path / "run").mkdir()
    shutil.copy(tmp_path / "whole" / "checkpoint_iteration=2.pt", tmp_path / "run")
    train(PRETRAINING, tmp_path / "run", **options).check()
    whole, resumed = (
        torch.load(tmp_path / name / "checkpoint_iteration=4.pt", weights_only=True) for name in ("whole", "run")
    )
    for part in ("network", "loss"):
        assert same(whole[part], resumed[part])
    assert whole["loss"]["clustering.queue.filled"] == 3
    assert read_results(tmp_path / "run")["curves"] == read_results(tmp_path / "whole")["curves"]


def test_a_resumed_run_is_the_uninterrupted_run_to_the_last_bit(train, pretraining, tmp_path):
    (tmp_path / "run").mkdir()
    shutil.copy(pretraining / "checkpoint_iteration=2.pt", tmp_path / "run")
    finished = train(PRETRAINING, tmp_path / "run", preset="hybrid").check()
    assert "resumed" in finished.out + finished.err
    assert same(weights(tmp_path / "run" / "model.pt"), weights(pretraining / "model.pt"))
    whole, resumed = (
        torch.load(folder / "checkpoint_iteration=4.pt", weights_only=True)
        for folder in (pretraining, tmp_path / "run")
    )
    for part in ("optimizer", "lr_scheduler"):
        assert str(whole[part]) == str(resumed[part])
    assert read_results(tmp_path / "run")["curves"] == read_results(pretraining)["curves"]


def test_workers_do_not_change_the_result(train, pretraining, tmp_path):
    train(PRETRAINING, tmp_path / "run", preset="hybrid", num_workers=2).check()
    assert same(weights(tmp_path / "run" / "model.pt"), weights(pretraining / "model.pt"))
    assert read_results(tmp_path / "run")["curves"] == read_results(pretraining)["curves"]


def test_another_seed_is_another_run(train, pretraining, tmp_path):
    train(PRETRAINING, tmp_path / "run", preset="hybrid", seed=1).check()
    assert read_results(tmp_path / "run")["seed"] == 1
    assert not same(weights(tmp_path / "run" / "model.pt"), weights(pretraining / "model.pt"))


def test_a_finished_run_started_again_changes_nothing(train, pretraining, tmp_path):
    run = shutil.copytree(pretraining, tmp_path / "run")
    train(PRETRAINING, run, preset="hybrid").check()
    assert same(weights(run / "model.pt"), weights(pretraining / "model.pt"))
    assert read_results(run)["curves"] == read_results(pretraining)["curves"]
    assert read_results(run)["iterations"] == 4


def test_a_longer_run_continues_from_a_finished_one(train, pretraining, tmp_path):
    run = shutil.copytree(pretraining, tmp_path / "run")
    train(PRETRAINING, run, preset="hybrid", iterations=6).check()
    assert read_results(run)["iterations"] == 6
    assert (run / "checkpoint_iteration=6.pt").is_file()


def test_inference_writes_reconstructions_in_hu_on_the_images_grid(infer, pretraining, cohort, tmp_path):
    scan = cohort / "synthetic_liver" / "images" / "liver_0001.nii.gz"
    infer(PRETRAINING, tmp_path / "out", checkpoint=str(pretraining / "model.pt"), datalist=[str(scan)]).check()
    (file,) = (tmp_path / "out").glob("*.nii.gz")
    assert file.name == "liver_0001_reconstruction.nii.gz"
    source, written = nib.load(scan), nib.load(file)
    assert written.shape == source.shape
    assert np.allclose(written.affine, source.affine, atol=1e-4)
    values = np.asanyarray(written.dataobj)
    assert values.dtype == np.int16
    assert -150 <= values.min() < values.max() <= 250


def test_a_pretrained_network_is_evaluated_on_patches(train, pretraining, tmp_path):
    run = shutil.copytree(pretraining, tmp_path / "run")
    before = (run / "results.json").read_bytes()
    train(
        PRETRAINING, run, "evaluate", preset="hybrid", split="training", allow_overlap=True, evaluation_patches=2
    ).check()
    results = read_results(run / "evaluation")
    assert results["curves"].keys() >= {"loss", *TERMS}
    assert (run / "results.json").read_bytes() == before
