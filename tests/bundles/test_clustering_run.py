"""Pre-training by clustering, its evaluation and inference, end to end on tiny images of two modalities."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_cl.cli.reference_energy import reference_energy_command
from monai_cl.data import read_features, read_results
from monai_cl.data.slices.energy_reference import FORMAT
from monai_cl.engines import embed
from monai_cl.engines.launch.method_parts import method_files
from monai_cl.errors import UserError
from monai_cl.networks import UNetEncoder, load_slice_encoder, slice_encoder
from tests.bad_input.doors import command
from tests.bundles.workflow import (
    BUNDLES,
    assert_equal,
    config_files,
    initialised,
    learnt_by_two,
    made_once,
    refusal,
    run_workflow,
    weights,
)

BUNDLE = "clustering_pretraining"
METHODS = sorted(method_files(BUNDLES / BUNDLE))
BACKBONE = {"_target_": "monai_cl.networks.UNetEncoder", "features": [4, 4, 8, 8, 16, 4], "norm": "batch"}
NETWORK = {"backbone": BACKBONE, "image_size": 32}
SMALL = {
    "preset": "small", "epochs": 2, "epoch_length": 2, "batch_size": 8, "prototypes": 4, "embedding": 8,
    "queue_length": 16, "queue_start": 1, "freeze_iterations": 1,
    "crops": {"count": [2, 2], "size": [24, 16]}, "rescale": {"size": [24, 36], "scale": [0.5, 1.2]},
    "num_workers": 0, "prepare_workers": 1, "device": "cpu",
}  # fmt: skip

# Ignite warns of MONAI's way to attach a scheduler; torch of a pinned memory that is not there
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Images of two modalities, 21 each, of 42 patients; of some a class and a finding is known."""
    folder = tmp_path_factory.mktemp("images") / "cohort"
    folder.mkdir()
    rng, items = np.random.default_rng(0), {"training": [], "validation": []}
    for number in range(48):
        name = f"{number:02d}.png"
        Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(folder / name)
        item = {"image": name, "patient": f"p{number}", "modality": "US" if number % 2 else "XR"}
        if number % 3 == 0:
            item |= {"target": number // 3 % 2, "findings": {"nodule": number % 2, "effusion": None}}
        items["training" if number < 42 else "validation"].append(item)
    content = {"name": "tiny", "modality": "XR", "finding_names": ["nodule", "effusion"], **items}
    (folder / "images.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def options(images) -> dict[str, object]:
    """What makes a training tiny."""
    return {"dataset_dir": str(images), "store_dir": str(images.parent / "store"), **NETWORK, **SMALL}


@pytest.fixture(scope="module")
def run(options) -> Callable[..., ConfigWorkflow]:
    """``run("train", …, output_dir=…)``: a workflow run in this process, in one thread."""

    def start(*names: str, **more: object) -> ConfigWorkflow:
        given = options if names[0] == "train" else NETWORK
        return run_workflow(BUNDLE, *names, **{**given, **more})

    return start


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory) -> Callable[[str], Path]:
    """``trained(method)``: four steps in two epochs, made once. Look, do not touch."""
    return made_once(partial(run, "train"), tmp_path_factory)


@pytest.mark.parametrize("method", METHODS)
def test_a_training_leaves_its_record_and_an_encoder(trained, method):
    results = read_results(trained(method))
    assert (results["kind"], results["bundle"], results["iterations"]) == ("pretraining", BUNDLE, 4)
    assert (results["data_list"]["method"], results["data_list"]["modalities"]) == (method, ["US", "XR"])
    curves = results["curves"]
    assert {"code_perplexity", "prototypes_in_use", "queue_fill"} <= set(curves)
    assert ({"loss_US", "loss_XR"} <= set(curves)) == (method == "per_modality")
    assert np.isfinite(curves["loss"][-1][1])
    state = weights(trained(method))
    assert state["prototypes.weight"].shape == (8 if method == "per_modality" else 4, 8)
    assert 0.4 < float(state["encoder.mean"]) < 0.6  # measured, of noise between 0 and 1
    encoder = slice_encoder(UNetEncoder(features=BACKBONE["features"], norm="batch"), image_size=32, head=())
    report = load_slice_encoder(encoder, trained(method) / "model.pt")
    assert set(report.matched) == set(encoder.state_dict())


@pytest.mark.parametrize("method", METHODS)
def test_a_run_resumed_with_a_half_filled_queue_is_the_same_run(run, trained, method, tmp_path):
    run("train", method=method, output_dir=str(tmp_path), **{"train#trainer#max_epochs": 1})
    assert not (tmp_path / "checkpoint_iteration=4.pt").exists()
    content = torch.load(tmp_path / "checkpoint_iteration=2.pt", weights_only=True)
    (filled,) = {int(t) for name, t in content["loss"].items() if name.endswith("filled")}
    assert filled == (4 if method == "per_modality" else 8)  # one batch of two
    run("train", method=method, output_dir=str(tmp_path))
    assert_equal(weights(tmp_path), weights(trained(method)))
    once, twice = (read_results(folder)["curves"] for folder in (trained(method), tmp_path))
    assert once == twice


@pytest.mark.parametrize("method", METHODS)
def test_the_file_given_as_an_overlay_is_the_method(run, trained, method, tmp_path):
    run("train", f"methods/{method}", output_dir=str(tmp_path))
    assert_equal(weights(tmp_path), weights(trained(method)))


def test_with_one_modality_both_methods_are_the_same(run, tmp_path):
    for method in METHODS:
        run("train", method=method, modalities=["XR"], output_dir=str(tmp_path / method))
    one, other = (weights(tmp_path / method) for method in METHODS)
    assert_equal(one, other)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_prototypes_are_of_unit_length_in_the_file_that_is_deployed(run, tmp_path, average):
    run("train", output_dir=str(tmp_path), weight_average=average, learning_rate=0.1)
    content = torch.load(tmp_path / "model.pt", weights_only=True)
    rows = content["prototypes.weight"]
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))
    kept = torch.load(tmp_path / "checkpoint_iteration=4.pt", weights_only=True)["network"]["prototypes.weight"]
    assert average or not torch.equal(kept, rows)  # what the last step left, for a run that is continued


def test_workers_and_probes_change_nothing(run, trained, tmp_path):
    run("train", output_dir=str(tmp_path), num_workers=2, probe_every=1)
    assert_equal(weights(tmp_path), weights(trained("per_modality")))
    curves = read_results(tmp_path)["curves"]
    for name in ("probe/neighbours", "probe/linear"):
        assert [iteration for iteration, _ in curves[name]] == [2, 4]


@pytest.mark.parametrize("view", ["crop", "whole"])
def test_labels_teach_heads_beside_clustering(run, trained, tmp_path, view):
    heads = {"heads": ["target", "findings"], "supervised_view": view, "supervised_mean": "labelled"}
    run("train", output_dir=str(tmp_path), **heads, optimizer_name="larc", learning_rate=0.6)
    curves, state = read_results(tmp_path)["curves"], weights(tmp_path)
    assert 0 < curves["labelled_target"][-1][1] < 1
    assert np.isfinite(curves["loss_findings"][-1][1])
    assert state["label_heads.target.weight"].shape == (1, 16)
    assert state["label_heads.findings.weight"].shape == (2, 16)


def test_energies_of_training_images_are_taken_from_their_file(run, images, options, trained, tmp_path):
    file = tmp_path / "energy.json"
    own = {"store": options["store_dir"], "image_size": 32, "images": 20}
    reference_energy_command(str(images / "images.json"), output=str(file), **own)
    run("train", output_dir=str(tmp_path / "run"), energy=str(file))
    assert not torch.equal(
        weights(tmp_path / "run")["prototypes.weight"], weights(trained("per_modality"))["prototypes.weight"]
    )


@pytest.mark.parametrize(
    ("preparation", "message"),
    [
        ({"image_size": 64}, "expected energies of slices with image_size 32, found 64"),
        ({"image_size": 32, "pixel_size": 0.5}, "expected energies of slices with pixel_size None, found 0.5"),
        (None, "expected energies of 2-D slices, found those of 3-D boxes"),
    ],
)
def test_energies_of_other_images_are_refused_before_one_is_prepared(run, images, tmp_path, preparation, message):
    file, flat = tmp_path / "energy.json", {"pixel_size": None, "window": [-160.0, 240.0]}
    bands = {"mean": [0.1] * 5, "std": [0.01] * 5, "images": 20}
    made = {"box_size": [4, 32, 32], "find_head": True} if preparation is None else {**flat, **preparation}
    content = {"format": FORMAT, "sigmas": [1, 2, 4, 8], "modalities": {"US": bands}, "preparation": made}
    file.write_text(json.dumps(content))
    options = {"output_dir": str(tmp_path / "run"), "store_dir": str(tmp_path / "store"), "modalities": ["US"]}
    with pytest.raises(RuntimeError) as caught:
        run("train", energy=str(file), **options)
    assert message in refusal(caught)
    assert not (tmp_path / "store").exists()
    # what the message advises makes a file that is taken
    line, new = re.search("make one with `python -m monai_cl (.*)` and pass --energy (.*)$", refusal(caught)).groups()
    outcome = command(*shlex.split(line))
    assert outcome.error is None, outcome.error
    assert json.loads(file.read_text()) == content
    assert list(json.loads(Path(new).read_text())["modalities"]) == ["US"]
    run("train", energy=new, **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": 7}, r"a multiple of 2, the number of modalities \(US, XR\), found 7; use 6 or 8"),
        ({"modalities": ["XR", "MR"]}, "at least one item of modality MR under 'training'"),
        ({"prototypes": [4, 4, 4]}, "a number >= 1, or one for each of US, XR"),
        ({"prototypes": [4, 4], "method": "mixed"}, r"one for each of all modalities together, found \[4, 4\]"),
        ({"prototypes": 4.5}, "a number >= 1, or one for each of US, XR, found 4.5"),
        ({"flip": 1.5}, r"flip must be in \[0, 1\], got 1.5"),
        ({"queue_length": 6}, "queue_length must be 0 or at least 8, the batch of all processes, got 6"),
        ({"prototypes": 40}, "40 prototypes for 12 embeddings"),
        ({"preset": "smal"}, "no recipe of clustering is called 'smal'; did you mean small"),
        ({"optimizer_name": "sgd"}, "optimizer must be larc or adamw, got 'sgd'"),
        ({"energy": "gone.json"}, "gone.json: expected a reference file of energies, found no such file"),
    ],
)
def test_wrong_options_are_named(run, tmp_path, given, message):
    with pytest.raises((UserError, ValueError, RuntimeError)) as caught:
        run("train", output_dir=str(tmp_path), **given)
    assert re.search(message, refusal(caught))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"intensity": {"probability": 2.0}}, "probabilities in [0, 1]"),
        ({"non_finite": "sometimes"}, "non_finite: expected stop or skip, found 'sometimes'"),
        ({"heads": ["slices"]}, "heads: expected some of target, findings, found slices"),
        (
            {"heads": ["target", "slice_findings"]},
            "heads: expected some of target, findings, found slice_findings, of which only a network of whole scans",
        ),
    ],
)
def test_options_that_need_no_image_are_refused_before_one_is_prepared(run, tmp_path, given, message):
    with pytest.raises(RuntimeError) as caught:
        run("train", output_dir=str(tmp_path / "run"), store_dir=str(tmp_path / "store"), **given)
    assert message in refusal(caught)
    assert not (tmp_path / "store").exists()


def test_a_queue_longer_than_the_data_set_is_warned_of(run, tmp_path, caplog):
    run("train", output_dir=str(tmp_path), queue_length=64, epochs=1)
    assert "queue_length 64 holds 32 embeddings of each modality, US has 21 slices" in caplog.text


@pytest.mark.parametrize("names", [("train",), ("train", "evaluate"), ("train", "multi_gpu_train"), ("inference",)])
def test_the_bundle_has_every_property(options, trained, images, names):
    given = dict(options) if names[0] == "train" else dict(NETWORK)
    if names[-1] in ("evaluate", "inference"):
        given["checkpoint"] = str(trained("per_modality") / "model.pt")
    if names[0] == "inference":
        given["datalist"] = [str(images / "47.png")]
    workflow = initialised(BUNDLE, *names, **given)
    assert workflow.check_properties() == []
    assert isinstance(workflow.network_def, torch.nn.Module)


def test_evaluation_compares_with_random_initialisation_and_inference_gives_the_same_features(
    run, trained, images, tmp_path
):
    folder = trained("per_modality")
    run("train", "evaluate", output_dir=str(folder), evaluation_dir=str(tmp_path / "e"), evaluation_folds=2)
    results = read_results(tmp_path / "e")
    assert results["bundle"] == BUNDLE
    assert {"effective_rank", "mean_cosine", "code_modality_nmi", "code_modality_nmi_random"} <= set(results["curves"])
    stored = read_features(tmp_path / "e" / "features.npz")
    own, scan = stored.patient == "p47", {"datalist": [str(images / "47.png")], "checkpoint": str(folder / "model.pt")}
    for modality in ("US", "CT"):  # pictures hold grey values, of CT too
        run("inference", **scan, modality=modality, output_dir=str(tmp_path / modality))
        found = read_features(tmp_path / modality / "features.npz")
        assert found.features == pytest.approx(stored.features[own], abs=1e-5)
    table = embed(folder / "model.pt", images / "47.png", unit="slice", modality="US")
    assert table.vectors == pytest.approx(found.features, abs=1e-5)


@pytest.mark.parametrize("method", ["mixed", pytest.param("per_modality", marks=pytest.mark.slow)])
def test_an_evaluation_needs_to_be_told_nothing_of_the_network(run, options, images, tmp_path, method):
    """Neither its sizes nor its heads, nor labels for these; also on images of one of its modalities."""
    own = {"backbone": "resnet18", "method": method, "heads": ["target"], "head_norm": False}
    run("train", **own, output_dir=str(tmp_path))
    document = json.loads((images / "images.json").read_text())
    for item in document["validation"]:
        item.pop("target", None)
    unlabelled = {**document, "training": [], "name": "unlabelled"}
    (images / "unlabelled.json").write_text(json.dumps(unlabelled))
    places = {name: options[name] for name in ("dataset_dir", "store_dir", "num_workers", "device")}
    given = {**places, "data_list": str(images / "unlabelled.json"), "output_dir": str(tmp_path)}
    for number, more in enumerate(({}, {"modalities": ["XR"]})):
        folder = tmp_path / f"evaluation_{number}"
        run_workflow(BUNDLE, "train", "evaluate", **given, **more, evaluation_dir=str(folder), evaluation_folds=2)
        assert ("code_modality_nmi" in read_results(folder)["curves"]) == (not more)


@pytest.mark.slow
def test_two_processes_with_four_images_each_learn_what_one_with_eight_does(run, options, free_port, tmp_path):
    # neither a norm that sees the other images, nor an optimiser that magnifies rounding
    norm = {"backbone": {**BACKBONE, "norm": "instance"}, "head_norm": False, "optimizer_name": "larc"}
    crops = {"crops": {"count": [2, 2], "size": [48, 32]}, "rescale": {"size": [48, 60], "scale": [0.5, 2.0]}}
    more = {**norm, **crops, "learning_rate": 0.6, "freeze_iterations": 0}
    run("train", **more, output_dir=str(tmp_path / "one"))
    files = config_files(BUNDLE, "train", "multi_gpu_train")
    two = learnt_by_two(files, {**options, **more, "batch_size": 4}, tmp_path / "two", free_port())
    assert_equal(weights(tmp_path / "one"), two, atol=1e-5)
