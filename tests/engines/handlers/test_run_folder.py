"""What a run leaves for its reader: what its files are, and commands that exist."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from monai_cl.engines.handlers.run_folder import describe_end, next_steps, write_readme
from monai_cl.shipped import bundle_names
from tests.bad_input.advice import advice_faults, known_options

KIND = {name: "pretraining" if "pretraining" in name else "segmentation" for name in bundle_names()}
KIND |= {name: "classification" for name in KIND if "classification" in name}
_BUNDLE = (
    r'python -m monai\.bundle run --config_file "\$\(python -m monai_cl bundle path (\w+)\)'
    r'/configs/(\w+)\.yaml" (.*)'
)


@pytest.mark.parametrize("bundle", sorted(KIND))
def test_the_next_commands_exist_with_their_options(bundle):
    steps = next_steps(Path("runs/a b"), kind=KIND[bundle], bundle=bundle)
    assert len(steps) >= 2
    for step in steps:
        assert "'runs/a b" in step
        if step.startswith("python -m monai_cl"):
            assert advice_faults(step.replace("'", ""), []) == []
            continue
        other, config, options = re.fullmatch(_BUNDLE, step).groups()
        given = set(re.findall(r"--(\w+)", options))
        assert given <= set(known_options(f"{other} {config}"))
        # an installed bundle asks for both folders
        more = {"data_list", "store_dir"} if config == "train" else set()
        assert {"dataset_dir", "output_dir", *more} < given


@pytest.mark.parametrize("bundle", sorted(KIND))
@pytest.mark.parametrize("folder", ["runs/a b", ".", ".."])
def test_a_command_is_whole_but_for_what_is_marked_as_the_readers_own(bundle, folder):
    for step in next_steps(Path(folder), kind=KIND[bundle], bundle=bundle):
        words = shlex.split(step.replace('"$(', "$(").replace('.yaml"', ".yaml"))
        named = [word for word in words if re.search(r"[A-Z]{3}", word)]
        assert set(named) <= {"YOUR_SCANS", "YOUR_LIST.json"}
        options = dict(pairwise(words))
        written = Path(options.get("--output_dir") or options["--output"])
        assert written.name not in ("", ".", "..")
        assert written != Path(folder)  # where a run would be gone on with


def test_a_finished_run_says_its_score_its_place_and_what_follows():
    results = {"kind": "segmentation", "bundle": "spleen_unetr_segmentation", "iterations": 40, "metrics": {}}
    best = {**results, "best": {"iteration": 20, "mean_dice": 0.75}}
    text = describe_end(Path("run"), best)
    assert text.startswith("finished after 40 iterations, Dice 0.750 at 20\nresults: run/results.json; ")
    assert "\nnext (YOUR_... stands for paths of your own):\n" in text
    assert "--checkpoint run/model.pt --dataset_dir YOUR_SCANS --output_dir run/inference\n" in text
    assert text.endswith("python -m monai_cl report run --output run/report.html")
    auc = {"kind": "classification", "metrics": {"auc": 0.9}, "bundle": "head_ct_classification", "iterations": 4}
    assert ", AUC 0.900\n" in describe_end(Path("run"), auc)
    losses = {**results, "kind": "pretraining", "curves": {"loss": [[1, 3.0], [2, None], [3, 2.5], [4, None]]}}
    assert ", loss 2.5\n" in describe_end(Path("run"), losses)


def test_a_finished_segmentation_says_each_organs_dice_of_the_validation_that_model_pt_is_of():
    results = {
        "kind": "segmentation",
        "bundle": "btcv_unetr_segmentation",
        "iterations": 40,
        "metrics": {"mean_dice": 0.5, "dice": {"liver": 0.4, "left kidney": 0.6, "gallbladder": None}},
        "curves": {
            "dice/liver": [[20, 0.8], [40, 0.4]],
            "dice/left kidney": [[20, 0.7], [40, 0.6]],
            "loss": [[1, 2.0]],
        },
    }
    line = "\nDice: liver {}, left kidney {}\n"
    best = {**results, "best": {"iteration": 20, "mean_dice": 0.75}}
    assert line.format("0.800", "0.700") in describe_end(Path("run"), best)
    assert line.format("0.400", "0.600") in describe_end(Path("run"), results)
    assert "\nDice: " not in describe_end(Path("run"), {**results, "metrics": {"auc": 0.9}})


def test_the_readme_names_the_files_of_the_kind_of_run(tmp_path):
    write_readme(tmp_path, kind="segmentation", bundle="spleen_unetr_segmentation", name="one")
    text = (tmp_path / "README.txt").read_text(encoding="utf-8")
    assert text.startswith("A run of the bundle spleen_unetr_segmentation (segmentation), one.")
    lines = text.splitlines()
    assert {"model.pt", "checkpoint_iteration=N.pt", "results.json", "tensorboard", "overlays"} <= set(lines)
    assert "roc.png" not in lines
    for command in re.findall(r"`(python -m monai_cl [^`]*)`", text):
        assert advice_faults(command, []) == []


@pytest.mark.parametrize("kind", ["pretraining", "classification"])
def test_what_uses_a_run_on_head_boxes_looks_for_no_head_either(kind):
    results = {"kind": kind, "bundle": "head_ct_classification", "iterations": 4}
    steps = describe_end(Path("run"), {**results, "config": {"find_head": False}}).split("own):\n")[1].splitlines()
    assert [step.count(" --find_head False") for step in steps] == [*[1] * (len(steps) - 1), 0]  # the last reports
    for config in ({"find_head": True}, {}):
        assert "--find_head" not in describe_end(Path("run"), {**results, "config": config})


@pytest.mark.parametrize(
    ("config", "store"),
    [
        ({"store_dir": "my store"}, "'my store'"),
        ({"store_dir": '$@bundle_root + "/store"'}, "runs/store"),
        ({}, "runs/store"),
    ],
)
def test_the_next_training_uses_the_store_of_the_run(config, store):
    results = {
        "kind": "pretraining",
        "bundle": "mixcl_ct_pretraining",
        "iterations": 4,
        "metrics": {},
        "config": config,
    }
    assert f" --store_dir {store} --output_dir runs/a_fine_tuned\n" in describe_end(Path("runs/a"), results)
