"""Runs are averaged only where seed and fold alone differ; what else differs, and what has failed, comes first."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from monai_cl.report import Run, compare_runs, dice_table, render_html, render_markdown
from monai_cl.report.settings import differing_settings
from tests.report.examples import segmentation

ENCODER = "runs/pretraining/encoder.pt"
UNET = {"iterations": 10, "network_def": {"_target_": "UNet", "channels": [8, 16]}}
UNETR = {"iterations": 90, "network_def": {"_target_": "monai_cl.engines.segmentation_unetr", "feature_size": 16}}


def run(value: float, config: dict, *, start: str | None = None, number: int = 0, cases=("a", "b"), **more) -> Run:
    record = segmentation(
        {case: {"spleen": value} for case in cases}, config=config, initialisation=start, name=f"run{number}", **more
    )
    record["iterations"] = config.get("iterations")
    return Run(path=Path(f"runs/{number}/results.json"), results=record)


def table(comparison) -> dict[str, str]:
    found = dice_table(comparison)
    return dict(zip(found.header, found.rows[0]))


def test_a_unet_of_10_steps_and_a_unetr_of_90_are_not_one_column():
    runs = [
        run(0.2, UNET, number=1),
        run(0.3, UNET, start=ENCODER, number=2),
        run(0.7, UNETR, start=ENCODER, number=3),
    ]
    first, second = compare_runs(runs)
    assert [column.mean("spleen") for column in first.columns] == [0.2, 0.3]
    assert table(first)["difference"] == "+0.100"
    assert first.title == "organs, 2 labelled scans (15 %); iterations 10, network_def._target_ UNet"
    assert [column.mean("spleen") for column in second.columns] == [0.7]
    text = render_markdown(runs)
    warning = next(line for line in text.splitlines() if line.startswith("> "))
    assert "differ in more than their start: iterations 10, 90; network" in warning
    assert "compared with each other only" in warning
    assert "0.500" not in text  # the mean of .3 and .7
    assert "differ in more than their start" in render_html(runs).partition("<main")[0]


def test_without_a_pair_of_the_same_settings_they_are_columns_and_the_page_says_so():
    runs = [run(0.2, UNET, number=1), run(0.7, UNETR, start=ENCODER, number=2)]
    (comparison,) = compare_runs(runs)
    assert [(column.label.partition(" (")[0], column.mean("spleen")) for column in comparison.columns] == [
        ("scratch", 0.2),
        ("pre-trained", 0.7),
    ]
    assert [column.label for column in comparison.columns] == ["scratch (settings 1)", "pre-trained (settings 2)"]
    assert comparison.notes[0].startswith("Settings 1: iterations 10, network_def._target_ UNet")
    (warning,) = comparison.warnings
    assert "not those of the start alone" in warning
    assert html.escape(warning) in render_html(runs).partition("<main")[0]


def test_two_settings_of_one_start_are_two_columns():
    runs = [run(0.2, {"spacing": [1.5, 1.5, 2.0]}), run(0.4, {"spacing": [5.0, 5.0, 5.0]}, number=1)]
    (comparison,) = compare_runs(runs)
    assert [column.label for column in comparison.columns] == [
        "scratch (spacing [1.5, 1.5, 2.0])",
        "scratch (spacing [5.0, 5.0, 5.0])",
    ]
    assert [column.mean("spleen") for column in comparison.columns] == [0.2, 0.4]


@pytest.mark.parametrize(
    "config",
    [
        {"output_dir": "x", "seed": 1, "fold": 3, "dataset_dir": "/elsewhere", "num_workers": 8},
        {"pretrained_encoder": ENCODER, "encoder_learning_rate_factor": 0.1},
        {"device": "$torch.device('cuda')", "compile": True, "epochs": 3},
        {"train": {"recorder": {"output_dir": "x"}, "handlers": [1]}, "validate": {"pictures": {"count": 9}}},
        {"train": {"handlers": [{"_target_": "of a later version"}]}, "validate": {"handlers": [1]}},
        {"an_option_of_a_later_version": 1},
    ],
)
def test_places_seeds_folds_and_workers_are_no_settings(config):
    base = {"output_dir": "y", "seed": 0, "fold": 0, "dataset_dir": "/data", "num_workers": 0, "lr": 1e-4}
    base |= {"pretrained_encoder": None, "device": "cpu", "compile": False, "epochs": 2}
    base |= {"train": {"recorder": {"output_dir": "y"}, "handlers": [2]}, "validate": {"handlers": [2]}}
    runs = [run(0.2, base), run(0.4, {**base, **config}, number=1)]
    assert differing_settings(runs) == [{}, {}]
    (comparison,) = compare_runs(runs)
    assert comparison.warnings == ()
    assert len(comparison.columns) == 1


@pytest.mark.parametrize(
    "config",
    [
        {"lr": 1e-3},
        {"patch_size": [96, 96, 96]},
        {"train": {"random_transforms": []}},
        {"network_def": {"_target_": "UNet"}},
        {"label_fraction": 0.3},
    ],
)
def test_network_steps_data_and_optimisation_are_settings(config):
    base = {"lr": 1e-4, "patch_size": [32, 32, 32], "train": {"random_transforms": [{"_target_": "RandFlipd"}]}}
    base |= {"network_def": {"_target_": "UNETR"}, "label_fraction": 0.15}
    found = differing_settings([run(0.2, base), run(0.4, {**base, **config}, number=1)])
    assert len(found[0]) == 1
    assert len({*found[0].values(), *found[1].values()}) == 2


def test_hidden_names_do_not_bring_the_average_back():
    runs = [run(0.3, {**UNET, "note": "Mr Smith"}), run(0.7, {**UNETR, "note": "Mrs Jones"}, number=1)]
    text = render_markdown(runs, hash_patients="key")
    assert "0.500" not in text
    assert "iterations 10, 90" in text
    assert "Smith" not in text
    assert "Jones" not in render_html(runs, hash_patients="key")


def test_a_run_with_dice_0_on_every_case_is_flagged_and_the_difference_without_it_stands_beside():
    config = {"lr": 1e-4}
    runs = [
        run(0.5, config, fold=0, cases=("a", "b"), number=1),
        run(0.5, config, fold=1, cases=("c", "d"), number=2),
        run(0.6, config, fold=0, cases=("a", "b"), start=ENCODER, number=3),
        run(0.0, config, fold=1, cases=("c", "d"), start=ENCODER, number=4),
    ]
    (comparison,) = compare_runs(runs)
    assert [run.name for column in comparison.columns for run in column.failed] == ["run4"]
    found = table(comparison)
    assert (found["pre-trained"], found["difference"], found["difference without failed runs"]) == (
        "0.300",
        "−0.200",
        "+0.100",
    )
    assert found["pre-trained without failed runs"] == "0.600"
    (warning,) = comparison.warnings
    assert "run4 (seed 0, fold 1) has Dice 0 on every case: it has failed" in warning
    page = render_html(runs)
    assert warning in page.partition("<main")[0]
    rows = re.findall(r'<div class="row (?:up|down|even)">(.*?)</div></div>', page.partition('id="dice"')[0])
    assert ["without failed runs" in row for row in rows] == [False, True]
    assert "scratch 0.500, pre-trained 0.600; 2 cases" in rows[1]
    assert "<b>+0.100</b>" in rows[1]


def test_a_case_with_dice_0_is_no_failed_run():
    record = segmentation({"a": {"spleen": 0.0}, "b": {"spleen": 0.1}})
    (comparison,) = compare_runs([Run(Path("results.json"), record)])
    assert comparison.warnings == ()
    assert not any("failed" in name for name in dice_table(comparison).header)


def test_a_column_of_failed_runs_alone_has_no_difference_without_them():
    runs = [run(0.5, {}), run(0.0, {}, start=ENCODER, number=1)]
    (comparison,) = compare_runs(runs)
    assert table(comparison)["difference without failed runs"] == "–"
    page = render_html(runs)
    assert "it has failed" in page
    assert page.count('class="row down"') + page.count('class="row even"') == 2  # of the answer and of the organ


def test_a_lone_column_is_shown_without_its_failed_runs_too():
    runs = [run(0.5, {}, fold=0), run(0.0, {}, fold=1, cases=("c", "d"), number=1)]
    (comparison,) = compare_runs(runs)
    assert table(comparison)["scratch without failed runs"] == "0.500"
    assert "mean Dice scratch <b>0.250</b> (without failed runs 0.500)" in render_html(runs)


def test_settings_are_written_for_people():
    configs = [{**UNET, "transfer": ["encoder"], "warmup": "$@iterations // 2"}, {**UNET, "transfer": ["a", "b"]}]
    configs[1]["warmup"] = 3
    (comparison,) = compare_runs([run(0.5, config, number=number) for number, config in enumerate(configs)])
    (warning,) = comparison.warnings
    assert "transfer [encoder], [a, b]; warmup computed, 3." in warning
