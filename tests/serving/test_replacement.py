"""A trained model takes the place of the app's only where it is as good on the same cases; the other one is kept."""

from __future__ import annotations

import json

import pytest

from monai_cl.serving.replacement import COMPARISON, PREVIOUS, replace_if_as_good


@pytest.fixture
def models(tmp_path):
    """The trained model in its run, and the app's."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.pt").write_bytes(b"trained")
    (tmp_path / "model.pt").write_bytes(b"app")
    return run / "model.pt", tmp_path / "model.pt"


@pytest.mark.parametrize(("trained", "before"), [(0.455, 0.410), (0.41, 0.41), (0.0, 0.0)])
def test_as_good_or_better_replaces(models, trained, before):
    new, place = models
    comparison = replace_if_as_good(new, place, mean_dice=trained, mean_dice_before=before, cases=["a", "b"])
    assert comparison["replaced"]
    assert place.read_bytes() == b"trained"
    assert new.with_name(PREVIOUS).read_bytes() == b"app"
    assert json.loads(new.with_name(COMPARISON).read_text(encoding="utf-8")) == comparison
    expected = (
        f"mean Dice of the trained model {trained:.4f}, of the app's before {before:.4f}, on the same 2 cases (a, b)"
    )
    assert comparison["message"].startswith(expected)


@pytest.mark.parametrize(("trained", "before"), [(0.410, 0.455), (None, 0.4), (0.4, None), (None, None)])
def test_worse_or_not_comparable_does_not(models, trained, before):
    new, place = models
    comparison = replace_if_as_good(new, place, mean_dice=trained, mean_dice_before=before, cases=["a"])
    assert not comparison["replaced"]
    assert (comparison["mean_dice"], comparison["mean_dice_before"]) == (trained, before)
    assert place.read_bytes() == b"app"
    assert new.read_bytes() == b"trained"
    assert not new.with_name(PREVIOUS).exists()
    assert "the app's model stays" in comparison["message"]


def test_an_app_without_a_model_gets_one(models):
    new, place = models
    place.unlink()
    assert replace_if_as_good(new, place, mean_dice=0.1, mean_dice_before=None, cases=["a"])["replaced"]
    assert place.read_bytes() == b"trained"
