"""MixCL's presets: their numbers, and the advice on a wrong name."""

from __future__ import annotations

import json

import numpy as np
import pytest

from monai_cl.errors import UserError
from monai_cl.losses import MixCLLoss, NamedOrgans, balance_interval, mask_ratio, mixcl_preset, view_geometry
from monai_cl.transforms import draw_movement

NAMES = [
    "paper",
    "balanced",
    "hybrid",
    "measured",
    "aligned",
    "memory_bank",
    "supervised",
    "masked",
    "masked_hybrid",
    "clustering",
    "clustering_hybrid",
    "identity",
    "label",
    "reconstruction",
]


def weights(name: str) -> tuple[float, ...]:
    preset = mixcl_preset(name)
    return tuple(preset[f"{term}_weight"] for term in ("identity", "label", "reconstruction", "supervised"))


def test_paper_is_as_printed():
    assert weights("paper") == (1, 0.01, 0.01, 0)
    preset = mixcl_preset("paper")
    assert (preset["center"], preset["identity_per_channel"], preset["identity_levels"]) == (False, False, None)
    assert (preset["label_level"], preset["temperature"], preset["offdiag_weight"]) == (1, 0.1, 0.005)


def test_balanced_and_hybrid_differ_by_the_supervised_term_only():
    assert weights("balanced") == (1, 0.01, 1, 0)
    assert mixcl_preset("balanced")["identity_levels"] == [0, 1, 2, 3]
    assert mixcl_preset("hybrid") == {**mixcl_preset("balanced"), "supervised_weight": 1}


@pytest.mark.parametrize("position", range(3))
def test_ablations_switch_one_term_of_the_paper_on(position):
    name = ["identity", "label", "reconstruction"][position]
    assert weights(name) == tuple(float(i == position) for i in range(4))
    assert {k: v for k, v in mixcl_preset(name).items() if not k.endswith("weight")} == {
        k: v for k, v in mixcl_preset("paper").items() if not k.endswith("weight")
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_makes_a_loss_and_survives_json(name):
    preset = json.loads(json.dumps(mixcl_preset(name)))
    assert preset == mixcl_preset(name)
    MixCLLoss(**preset, class_counts=[2, 3], bank={"organs": NamedOrgans([{1: "liver"}, {2: "liver"}])})


def test_masked_presets_hide_and_reconstruct_and_the_others_hide_nothing():
    assert weights("masked") == (0, 0, 1, 0)
    assert weights("masked_hybrid") == (0, 0, 1, 1)
    assert {name for name in NAMES if mask_ratio(name)} == {"masked", "masked_hybrid"}
    assert mask_ratio("masked") == 0.6


def test_aligned_is_hybrid_with_a_moved_view():
    assert mixcl_preset("aligned") == mixcl_preset("hybrid")
    assert {name for name in NAMES if view_geometry(name)} == {"aligned", "clustering", "clustering_hybrid"}
    options = view_geometry("aligned")
    assert options["probability"] == 1
    draw_movement(np.random.default_rng(0), size=(8, 8, 8), spacing=(1, 1, 1), **options)


def test_memory_bank_is_hybrid_with_the_bank_which_weighs_as_the_label_term():
    preset = mixcl_preset("memory_bank")
    assert preset == {**mixcl_preset("hybrid"), "bank_weight": preset["label_weight"]}
    assert [name for name in NAMES if mixcl_preset(name)["bank_weight"]] == ["memory_bank"]


def test_measured_balances_the_terms_of_hybrid():
    assert weights("measured") == (1, 1, 1, 1)
    assert mixcl_preset("measured")["identity_levels"] == mixcl_preset("hybrid")["identity_levels"]
    assert [name for name in NAMES if balance_interval(name)] == ["measured"]


def test_clustering_stands_alone_or_beside_labels():
    terms = ("identity", "label", "reconstruction", "supervised", "clustering")
    on = {name: {term for term in terms if mixcl_preset(name)[f"{term}_weight"]} for name in NAMES}
    assert on["clustering"] == {"clustering"}
    assert on["clustering_hybrid"] == {"clustering", "supervised"}
    assert [name for name in NAMES if "clustering" in on[name]] == ["clustering", "clustering_hybrid"]


def test_overrides_replace_and_leave_the_preset_alone():
    assert mixcl_preset("paper", temperature=0.05, class_counts=[2])["temperature"] == 0.05
    mixcl_preset("balanced")["identity_levels"].append(4)
    assert mixcl_preset("balanced")["identity_levels"] == [0, 1, 2, 3]
    assert mixcl_preset("paper")["temperature"] == 0.1


def test_a_wrong_name_gets_the_choices_and_the_nearest():
    with pytest.raises(
        UserError, match=r"unknown MixCL preset 'balancd': choose one of paper, .*\(nearest: balanced\)"
    ):
        mixcl_preset("balancd")
    with pytest.raises(UserError, match=r"unknown MixCL option 'temprature': .*\(nearest: temperature\)"):
        mixcl_preset("paper", temprature=1)
    with pytest.raises(UserError, match="unknown MixCL preset 7: choose one of paper"):
        mixcl_preset(7)
