"""The studies that come with the project."""

from __future__ import annotations

import re
from functools import cache

import pytest
import yaml

from monai_cl.cli.commands import main
from monai_cl.shipped import bundle_folder, study_file, study_names
from monai_cl.study import expand, load_study

PLACES = {
    "demo_organs": 2 * 2 * 3,
    "demo_slices": 3,
    "few_labels_abdomen": 4 * 3 * 3,
    "few_labels_cine": 8 * 2 * 3,
    "few_labels_noise": 2 * 3 * 3,
    "few_labels_all": 2 * 3,
    "head_ct_labels": 4 * 4 * 3,
    "low_label_synthetic": 6 * 5,
    "mixcl_table_1_btcv": 2 * 4 * 5,
    "mixcl_table_1_spleen": 2 * 4 * 5,
    "mixcl_table_2_btcv": 4 * 5,
    "mixcl_table_2_spleen": 4 * 5,
    "modalities_clustering": 4 * 5 * 3,
    "monai_btcv": 3 * 3 * 3,
    "one_scan_real": 2 * 2,
    "one_scan_synthetic": 2,
    "real_low_label": 4 * 3 * 3,
    "tiny_synthetic": 2 * 2,
    "wsp_resnet18": 7 * 3 * 3,
    "wsp_sigma": 5 * 3 * 3,
    "wsp_signs": 4 * 2 * 3,
    "wsp_tinynet": 7 * 3 * 3,
}


def test_every_study_is_known():
    assert study_names() == sorted(PLACES)


@pytest.mark.parametrize("name", PLACES)
def test_a_study_is_counted_without_its_data(name, tmp_path, capsys):
    main(["study", "run", name, "--output", str(tmp_path), "--dry_run"])
    assert f"{PLACES[name]} places" in capsys.readouterr().out


@cache
def _keys(bundle: str, config: str) -> set[str]:
    return set(yaml.safe_load((bundle_folder(bundle) / "configs" / f"{config}.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", PLACES)
def test_the_options_of_a_study_are_keys_of_its_bundles(name):
    for cell in expand(load_study(study_file(name))).cells.values():
        if cell.kind == "bundle":
            known = set().union(*(_keys(cell.words[0], config) for config in cell.configs))
            assert {re.split("#|::", key)[0] for key in {**cell.options, **cell.machine}} <= known


@pytest.mark.parametrize("name", PLACES)
def test_a_model_is_judged_on_the_scans_it_was_trained_on_only_where_that_is_allowed(name):
    """Another fold than the one kept out of the training holds its scans: the evaluation would refuse them."""
    expansion = expand(load_study(study_file(name)))
    judged = 0
    for cell in expansion.cells.values():
        trained = [expansion.cells[identity] for identity in cell.needs.values() if "fold" in cell.options]
        if "evaluate" in cell.configs and any(one.options.get("fold") != cell.options["fold"] for one in trained):
            assert cell.options.get("allow_overlap") is True
            judged += 1
    assert judged == (2 if name == "one_scan_real" else 0)


def test_pre_training_is_shared_by_folds_and_shares_of_labels():
    steps = [cell.step for cell in expand(load_study(study_file("mixcl_table_1_spleen"))).cells.values()]
    assert (steps.count("pretraining"), steps.count("finetuning")) == (1, 40)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_small_study_runs_whole_and_makes_its_table(tmp_path, capsys):
    words = ["tiny_synthetic", "--output", str(tmp_path)]
    main(["study", "run", *words, "--workers", "2"])
    main(["study", "status", *words])
    main(["study", "table", *words])
    said = capsys.readouterr().out
    assert "9 done, 0 running, 0 failed" in said
    assert "4 of 4 places measured" in said
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert re.search(r"\| scratch \| \d+\.\d ± \d+\.\d \|", table)
    assert "Difference to scratch" in table
    main(["study", "report", *words])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<svg" in page or "<img" in page
    assert {path.name for path in tmp_path.glob("table.*")} == {"table.md", "table.csv", "table.html", "table.jsonl"}
