"""Cells of a study, and what makes two of them the same."""

from __future__ import annotations

import pytest

from monai_cl.engines import recipes
from monai_cl.errors import UserError
from monai_cl.losses.mixcl import presets
from monai_cl.shipped import bundle_folder
from monai_cl.study import Point, expand, load_study
from monai_cl.study.commands import command_of
from monai_cl.study.identity import ABSENT, config_digest, digest, input_digest
from monai_cl.study.placeholders import fill, names_in
from tests.study.studies import TINY, opened, written


def test_a_name_alone_keeps_its_kind_and_one_in_a_text_becomes_text():
    values = {"seed": 3, "first": "/a"}
    assert fill({"x": "{seed}", "y": ["{first}/e-{seed}.pt", 1.5]}, values) == {"x": 3, "y": ["/a/e-3.pt", 1.5]}
    assert names_in({"x": "{seed}", "y": [{"z": "{first}/b"}], "w": 2}) == {"seed", "first"}
    assert fill('{"json": 1}', {}) == '{"json": 1}'  # not a name


def test_the_grid_has_a_cell_at_every_place_and_shares_what_is_the_same(tmp_path):
    _, expansion, _ = opened(tmp_path)
    assert len(expansion.points) == 2 * 2 * 2  # arms, folds, seeds
    steps = [cell.step for cell in expansion.cells.values()]
    # one pre-training a seed: neither the fold nor the arm occurs in its command; none for scratch
    assert (steps.count("first"), steps.count("last")) == (2, 8)
    order = list(expansion.cells)
    for cell in expansion.cells.values():
        assert all(order.index(needed) < order.index(cell.identity) for needed in cell.needs.values())


def test_options_of_the_arm_replace_those_of_the_setting_and_of_the_step(tmp_path):
    settings = {"short": {"last": {"steps": 5, "start": "setting"}}}
    _, expansion, _ = opened(tmp_path, settings=settings)
    at = {arm: expansion.cells[expansion.points[Point(arm, "short", 0, 3)]].options for arm in TINY["arms"]}
    assert at == {"scratch": {"start": "setting", "steps": 5}, "pretrained": {"start": "{first}/encoder", "steps": 5}}


def identities(expansion) -> dict[Point, str]:
    return dict(expansion.points)


def test_the_identity_is_that_of_the_content_by_value(tmp_path):
    _, expansion, _ = opened(tmp_path)
    cell = expansion.cells[expansion.points[Point("scratch", "all", 1, 4)]]
    words = ["python", "-c", TINY["steps"]["last"]["program"][2], "{output}", "4.1"]
    content = {
        "step": "last", "kind": "program", "words": words,
        "options": {"start": "none"}, "config": None, "needs": {}, "inputs": {},
    }  # fmt: skip
    assert cell.identity == digest(content)
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})


def test_another_option_gives_other_cells_and_one_of_the_machine_the_same(tmp_path):
    before = identities(opened(tmp_path)[1])
    steps = {**TINY["steps"], "last": {**TINY["steps"]["last"], "machine": {"workers": 8}}}
    assert identities(opened(tmp_path, steps=steps)[1]) == before
    steps = {**TINY["steps"], "first": {**TINY["steps"]["first"], "options": {"seed": "{seed}", "steps": 7}}}
    after = identities(opened(tmp_path, steps=steps)[1])
    changed = {point.arm for point in before if after[point] != before[point]}
    assert changed == {"pretrained"}  # what scratch computes is the same


def test_an_input_counts_by_its_content_and_not_by_its_place(tmp_path):
    steps = {"last": {"program": ["python", "{data}/a"]}}
    options = {"steps": steps, "arms": {"x": {}}, "inputs": {"data": "d"}}
    for name in ("d", "moved"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text("1")
    first = identities(opened(tmp_path, **options)[1])
    path = written(tmp_path, **options)
    assert identities(expand(load_study(path, inputs={"data": str(tmp_path / "moved")}))) == first
    (tmp_path / "d" / "a").write_text("2")
    assert identities(opened(tmp_path, **options)[1]) != first


def test_a_folder_is_hashed_with_its_names_and_without_what_is_hidden(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_text("1")
    first = input_digest(tmp_path)
    (tmp_path / ".store").write_text("1")
    assert input_digest(tmp_path) == first
    (tmp_path / "b" / "x").rename(tmp_path / "b" / "y")
    assert input_digest(tmp_path) != first
    assert input_digest(tmp_path / "nothing") == ABSENT


def test_a_bundle_s_config_counts_by_value_with_the_parts_that_an_option_names(tmp_path):
    configs = tmp_path / "configs"
    (configs / "methods").mkdir(parents=True)
    (configs / "train.yaml").write_text("rate: 1  # comment\nmethod: one\n")
    for name in ("one", "two"):
        (configs / "methods" / f"{name}.yaml").write_text(f"loss: {name}\n")

    def found(**options):
        return config_digest(tmp_path, ("train",), options)

    first, second = found(), found(method="two")
    (configs / "train.yaml").write_text("method: one\nrate: 1\n")
    assert (found(), found(method="two")) == (first, second)
    (configs / "methods" / "two.yaml").write_text("loss: other\n")
    assert found() == first
    assert found(method="two") != second
    (configs / "train.yaml").write_text("method: one\nrate: 2\n")
    assert found() != first


def test_what_of_a_bundle_is_run_is_part_of_the_command_and_of_the_identity(tmp_path):
    commands, identities = [], []
    for run in ({}, {"run_id": "finetune"}):
        steps = {"last": {"bundle": "cirrhosis_classification", **run}}
        study, expansion, folder = opened(tmp_path / str(len(run)), steps=steps, arms={"a": {}}, seeds=[0], folds=[0])
        (cell,) = expansion.cells.values()
        identities.append(cell.identity)
        commands.append(command_of(cell, study, expansion, folder))
    assert identities[0] != identities[1]
    assert "--run_id" not in commands[0]
    assert commands[1][commands[1].index("--run_id") + 1] == "finetune"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({"last": {"program": ["a", "{laast}"]}}, r"\{laast\} in step 'last' stands for nothing"),
        ({"first": {"program": ["a", "{last}"]}, "last": {"program": ["a", "{first}"]}}, "last -> first -> last"),
        ({"last": {"bundle": "no_such_bundle"}}, "no such bundle"),
        ({"last": {"bundle": "cirrhosis_classification", "run_id": "tune"}}, "no key 'tune', as run_id says"),
    ],
)
def test_a_study_that_cannot_be_expanded_says_why(tmp_path, steps, message):
    study = load_study(written(tmp_path, steps=steps, arms={"x": {}}))
    with pytest.raises(UserError, match=message):
        expand(study)


@pytest.mark.parametrize(
    ("bundle", "table"), [("mixcl_ct_pretraining", "hybrid"), ("spleen_unetr_segmentation", "strong")]
)
def test_what_a_preset_stands_for_is_part_of_the_identity(bundle, table, monkeypatch):
    folder = bundle_folder(bundle)
    before = {name: config_digest(folder, ("train",), {"preset": name}) for name in ("paper", table)}
    assert before["paper"] == config_digest(folder, ("train",), {}) != before[table]
    monkeypatch.setitem(recipes.PRESETS["strong"], "learning_rate", 7.0)
    monkeypatch.setitem(presets._PRESETS["hybrid"], "supervised_weight", 7.0)
    assert config_digest(folder, ("train",), {"preset": "paper"}) == before["paper"]
    assert config_digest(folder, ("train",), {"preset": table}) != before[table]


@pytest.mark.parametrize(
    ("bundle", "preset", "table", "values"),
    [
        ("mixcl_ct_pretraining", "masked", presets._MASK_RATIO, {"masked": 0.7}),
        ("mixcl_ct_pretraining", "aligned", presets._GEOMETRY, {"aligned": {"probability": 0.5}}),
        ("clustering_pretraining", "small", recipes.CLUSTERING["small"], {"prototypes": 7}),
    ],
)
def test_what_a_preset_stands_for_beside_the_weights_counts_too(bundle, preset, table, values, monkeypatch):
    folder = bundle_folder(bundle)
    before = {name: config_digest(folder, ("train",), {"preset": name}) for name in ("paper", preset)}
    for key, value in values.items():
        monkeypatch.setitem(table, key, value)
    assert config_digest(folder, ("train",), {"preset": "paper"}) == before["paper"]
    assert config_digest(folder, ("train",), {"preset": preset}) != before[preset]


@pytest.mark.parametrize(
    "changes",
    [
        {"arms": {"scratch": {}, "forgotten": {"first": {"seed": 7}}}},
        {"settings": {"plain": {}, "forgotten": {"first": {"seed": 7}}}, "arms": {"scratch": {}}},
    ],
)
def test_options_of_a_step_that_is_not_run_are_refused(tmp_path, changes):
    # the two arms would be one cell, and the table would compare it with itself
    with pytest.raises(UserError, match=r"options of step 'first' in the (arm|setting) 'forgotten'.*name \{first\}"):
        expand(load_study(written(tmp_path, **changes)))
    # where one arm of a setting runs the step, the setting has an effect
    expand(load_study(written(tmp_path, settings={"seven": {"first": {"seed": 7}}})))
    # the remedy
    expand(load_study(written(tmp_path, arms={"x": {"first": {"seed": 7}, "last": {"start": "{first}/encoder"}}})))
