"""The recipes of fine-tuning."""

from __future__ import annotations

import pytest

from monai_cl.engines import fine_tuning_preset, loss_weights
from monai_cl.errors import UserError


def test_the_paper_s_recipe_is_that_of_the_paper():
    paper = fine_tuning_preset("paper", cases=30)
    assert (paper["epochs"], paper["learning_rate"], paper["augmentation_probability"]) == (10, 1e-4, 0.2)
    assert not any(paper[key] for key in ("warmup", "gradient_clip", "classes_in_turn", "warp", "noise", "gamma"))


def test_both_recipes_name_the_same_keys():
    assert fine_tuning_preset("paper", cases=1).keys() == fine_tuning_preset("strong", cases=1).keys()


def test_strong_mirrors_nothing_and_is_stable():
    strong = fine_tuning_preset("strong", cases=1)
    assert strong["augmentation_probability"] == 0  # flips and quarter turns
    assert strong["warmup"] > 0
    assert strong["gradient_clip"] > 0


def test_more_labelled_scans_train_longer_up_to_a_limit():
    epochs = [fine_tuning_preset("strong", cases=n)["epochs"] for n in (1, 2, 24, 1000)]
    assert epochs == [20, 23, 89, 125]


def test_a_preset_may_be_changed_without_changing_the_next():
    fine_tuning_preset("strong", cases=1)["warp"]["rotation"] = 0
    assert fine_tuning_preset("strong", cases=1)["warp"]["rotation"] == 30


def test_an_unknown_recipe_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"'srtong'; did you mean strong\?"):
        fine_tuning_preset("srtong", cases=1)


def test_weights_of_the_loss_are_one_but_for_the_background():
    assert loss_weights(1.0, organs=3) is None
    assert loss_weights(0.25, organs=2).tolist() == [0.25, 1, 1]
    with pytest.raises(UserError, match="background_weight: expected a number > 0, found 0"):
        loss_weights(0, organs=2)
