"""A bundle's config as one file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from monai_cl.engines import export_config
from monai_cl.errors import UserError
from tests.bundles.conftest import without_model

BUNDLES = Path(__file__).resolve().parents[3] / "bundles"
SPLEEN = "spleen_unetr_segmentation"


def load(path: Path) -> dict:
    return ConfigParser.load_config_file(str(path))


@pytest.mark.parametrize("ending", ["yaml", "yml", "json"])
def test_train_alone_is_the_config_with_its_root_filled_in(tmp_path, ending):
    path = export_config(SPLEEN, tmp_path / f"mine.{ending}")
    given = load(BUNDLES / SPLEEN / "configs" / "train.yaml")
    assert load(path) == {**given, "bundle_root": str(BUNDLES / SPLEEN)}
    if ending == "json":
        json.loads(path.read_text(encoding="utf-8"))


def test_an_overlay_lies_over_train(tmp_path):
    merged = load(export_config(SPLEEN, tmp_path / "evaluate.yaml", config="evaluate"))
    assert merged["validate"]["pictures"]["output_dir"] == "@evaluation_dir"
    assert merged["run"] == [
        "$monai_cl.engines.load_network(@network, @checkpoint, model=@model)",
        "$monai_cl.engines.evaluate(@validate#evaluator, @validate#recorder)",
    ]
    assert without_model(merged["feature_size"]) == 16  # train's


def test_overrides_reach_nested_keys_and_references_stay(tmp_path):
    overrides = {"iterations": 500, "train#trainer#amp": False, "validate::inferer::overlap": 0.25}
    merged = load(export_config(SPLEEN, tmp_path / "mine.yaml", overrides=overrides))
    assert (merged["iterations"], merged["train"]["trainer"]["amp"]) == (500, False)
    assert merged["validate"]["inferer"]["overlap"] == 0.25
    assert merged["optimizer"]["lr" if "lr" in merged["optimizer"] else "params"].startswith(("@", "$"))


def test_a_folder_that_is_a_bundle_may_be_given(tmp_path):
    merged = load(export_config(str(BUNDLES / SPLEEN), tmp_path / "mine.yaml", config="inference"))
    assert without_model(merged["organs"]) == ["spleen"]


@pytest.mark.parametrize("bundle", sorted(path.name for path in BUNDLES.iterdir() if path.is_dir()))
def test_what_is_exported_of_any_bundle_has_every_reference(tmp_path, bundle):
    for config in ("train", "multi_gpu_train"):
        parser = ConfigParser(load(export_config(bundle, tmp_path / f"{config}.yaml", config=config)))
        parser.parse()  # names an id that is referred to and not there
        for item in parser.ref_resolver.items.values():
            for reference in parser.ref_resolver.find_refs_in_config(item.get_config(), item.get_id()):
                assert reference in parser.ref_resolver.items, f"{item.get_id()} refers to {reference}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bundle": "spleen"}, r"spleen/configs/train\.yaml: no such config"),
        ({"bundle": SPLEEN, "config": "training"}, r"training\.yaml: no such config; .*train, evaluate, inference"),
        ({"bundle": SPLEEN, "overrides": {"iteration": 1}}, r"--iteration: .*did you mean --iterations\?"),
        ({"bundle": SPLEEN, "output": "mine.txt"}, r"mine\.txt: expected a file that ends in \.yaml"),
        ({"bundle": SPLEEN, "overrides": {"batch_size": "abc"}}, "--batch_size: expected"),
        ({"bundle": SPLEEN, "overrides": {"epochs": 3, "iterations": 7}}, "give one of the two"),
    ],
)
def test_mistakes_are_refused_and_nothing_is_written(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        export_config(**{"output": "mine.yaml", **arguments})
    assert not any(tmp_path.iterdir())


def test_an_existing_file_is_not_overwritten(tmp_path):
    (tmp_path / "mine.yaml").write_text("mine")
    with pytest.raises(UserError, match=r"mine\.yaml: exists already"):
        export_config(SPLEEN, tmp_path / "mine.yaml")
    assert (tmp_path / "mine.yaml").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_is_missing_is_the_users_error(tmp_path):
    with pytest.raises(UserError, match=r"nowhere"):
        export_config(SPLEEN, tmp_path / "nowhere" / "mine.yaml")
