"""A mean teacher beside the fine-tuning of a UNETR: one labelled scan of the synthetic abdomen, four without label."""

from __future__ import annotations

import shutil

import pytest
import torch

from monai_cl.data import read_results
from monai_cl.networks import read_about
from tests.bundles.conftest import BUNDLES, ORGANS, SPLEEN
from tests.bundles.test_pretraining_run import same, weights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
OPTIONS = {"unlabelled_weight": 10.0, "label_fraction": 0.2, "learning_rate": 0.003, "overlay_cases": 0}


@pytest.fixture(scope="module")
def taught(train, tmp_path_factory):
    """Four steps in two epochs. Look, do not touch."""
    folder = tmp_path_factory.mktemp("taught") / "run"
    train(ORGANS, folder, **OPTIONS).check()
    return folder


def test_unlabelled_scans_take_part_and_are_recorded(taught):
    results = read_results(taught)
    assert len(results["data_list"]["training_cases"]) == 1
    assert {"loss/supervised", "loss/consistency"} <= results["curves"].keys()
    assert results["curves"]["loss/consistency"][-1][1] > 0
    scans = read_about(taught / "model.pt")["training"]["scans"]
    assert sorted(scan["used"] for scan in scans) == ["", "", "", "", "labels"]
    assert len({scan["fingerprint"] for scan in scans}) == 4
    assert torch.load(taught / "checkpoint_iteration=4.pt", weights_only=True)["loss"]["steps"] == 4


def test_the_model_is_a_plain_unetr_that_evaluates_and_is_another_than_without_them(taught, train, tmp_path):
    train(ORGANS, tmp_path / "alone", **{**OPTIONS, "unlabelled_weight": 0.0}).check()
    with_them, alone = weights(taught / "model.pt"), weights(tmp_path / "alone" / "model.pt")
    assert with_them.keys() == alone.keys()
    assert not same(with_them, alone)
    given = {"checkpoint": str(taught / "model.pt"), "fold": 0}
    train(ORGANS, tmp_path / "measured", "evaluate", **given).check()
    assert read_results(tmp_path / "measured" / "evaluation")["metrics"]["per_case"]


def test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit(train, taught, tmp_path):
    (tmp_path / "run").mkdir()
    for name in ("checkpoint_iteration=2.pt", "model.pt"):
        shutil.copy(taught / name, tmp_path / "run")
    train(ORGANS, tmp_path / "run", **OPTIONS).check()
    one, other = (torch.load(f / "checkpoint_iteration=4.pt", weights_only=True) for f in (taught, tmp_path / "run"))
    for part in ("network", "loss"):
        assert same(one[part], other[part])
    assert read_results(taught)["curves"] == read_results(tmp_path / "run")["curves"]


def test_a_teacher_without_momentum_is_the_student(train, tmp_path):
    train(ORGANS, tmp_path / "run", **OPTIONS, iterations=2, teacher_momentum=0.0).check()
    state = torch.load(tmp_path / "run" / "checkpoint_iteration=2.pt", weights_only=True)
    teacher = {n.removeprefix("teacher."): t for n, t in state["loss"].items() if n.startswith("teacher.")}
    assert teacher.keys() == state["network"].keys()
    assert same(teacher, state["network"])


def test_two_processes_with_half_a_batch_each_learn_what_one_does(torchrun, train, tmp_path):
    options = {**OPTIONS, "iterations": 2, "learning_rate": 0.01, "optimizer#_target_": "torch.optim.SGD"}
    done, run = torchrun(ORGANS, "two", **options, batch_size=1, unlabelled_batch=1)
    done.check()
    train(ORGANS, tmp_path / "one", **options, batch_size=2, unlabelled_batch=2).check()
    one, two = weights(tmp_path / "one" / "model.pt"), weights(run / "model.pt")
    assert one.keys() == two.keys()
    for name in one:
        assert torch.allclose(one[name], two[name], atol=1e-6), name


def test_the_spleen_bundle_has_it_too():
    keys = (
        "unlabelled_weight:",
        "unlabelled_batch:",
        "momentum=@teacher_momentum",
        "criterion:",
        "with_unlabelled",
        "batch_preparation(@criterion)",
    )
    for bundle in (ORGANS, SPLEEN):
        text = (BUNDLES / bundle / "configs" / "train.yaml").read_text(encoding="utf-8")
        assert all(key in text for key in keys)
