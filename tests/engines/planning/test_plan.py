"""What a step keeps is counted and scaled as the real network has it; a plan holds to its limits."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import torch
from torch import nn

from monai_cl.data.datalist.statistics.document import KIND, VERSION
from monai_cl.engines.planning.plan import PROCESS, StepCost, make_plan, measure_step
from monai_cl.engines.planning.step import BundleStep, MeasuredStep, SavedBytes
from monai_cl.errors import UserError
from tests.data.datalist.test_statistics import cohort

TINY = {"feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}
SPLEEN, MIXCL = "spleen_unetr_segmentation", "mixcl_ct_pretraining"


@pytest.fixture(scope="module")
def data_list(tmp_path_factory):
    """A list whose files are never read."""
    items = [{"image": f"c{n}.nii.gz", "label": f"l{n}.nii.gz"} for n in range(10)]
    path = tmp_path_factory.mktemp("list") / "list.json"
    path.write_text(json.dumps({"name": "ten", "labels": {"0": "background", "1": "liver"}, "training": items}))
    return path


@pytest.fixture(scope="module")
def step(data_list):
    return BundleStep(SPLEEN, data_list=data_list, overrides={**TINY, "fold": "none"})


@pytest.fixture
def cost():
    """Of a UNETR of 93 million parameters, as measured: 1,208 bytes a voxel."""
    sizes = {"parameters": 92_800_000, "trained": 92_800_000}
    small, large = (MeasuredStep(n, 1208 * n, 128 * n, 2 + 1e-5 * n, **sizes) for n in (32**3, 64**3))
    return StepCost(small, large, 1)


def statistics(**changes) -> dict:
    scans = [scan | {"split": "training", "foreground": scan["body"]} | changes for scan in cohort(10)]
    return {"kind": KIND, "version": VERSION, "data_list": {"path": "list.json"}, "scans": scans}


def test_what_a_layer_keeps_is_counted_once_and_without_its_weights():
    layer = nn.Linear(8, 4)
    inputs = torch.rand(16, 8, requires_grad=True)
    with SavedBytes(layer) as kept:
        outputs = layer(inputs)
        outputs.square().sum()
    assert kept.total == 16 * 8 * 4 + 16 * 4 * 4  # the input of the layer, and of the square
    assert kept.largest == 16 * 8 * 4


def test_two_small_patches_say_what_a_larger_one_keeps(data_list):
    own = BundleStep(
        SPLEEN, data_list=data_list, overrides={"fold": "none", "backbone": "segresnet", "feature_size": 8}
    )
    small, large = own.measure((16, 16, 16)), own.measure((24, 24, 24))
    found = StepCost(small, large, small.voxels // 16**3)
    assert found.saved_bytes((32, 24, 32), 2) == pytest.approx(own.measure((32, 24, 32), batch=2).saved_bytes, rel=0.03)
    assert small.parameters == small.trained > 100_000
    assert found.seconds((32, 32, 32), 1) > 0


@pytest.mark.slow
@pytest.mark.parametrize("bundle", [SPLEEN, MIXCL])
def test_two_small_patches_of_a_unetr_say_what_a_larger_one_keeps(bundle, data_list):
    options = TINY if bundle == MIXCL else {**TINY, "fold": "none"}
    own = BundleStep(bundle, data_list=data_list, overrides=options)
    found = measure_step(own)
    assert found.sample_voxels == (3 if bundle == MIXCL else 1)  # the views of a pair
    real = own.measure((48, 64, 80), batch=2)
    assert found.saved_bytes((48, 64, 80), 2) == pytest.approx(real.saved_bytes, rel=0.03)
    assert real.voxels == found.sample_voxels * 2 * 48 * 64 * 80


def test_memory_counts_weights_gradients_and_both_states_of_the_optimiser():
    none = MeasuredStep(100, 0, 0, 0.0, parameters=1000, trained=600)
    more = MeasuredStep(200, 0, 0, 0.0, parameters=1000, trained=600)
    found = StepCost(none, more, 1)
    assert found.memory((10, 10, 10), 4) == 1000 * 4 + 600 * 12
    assert found.checkpoint_bytes() == 1000 * 4 + 600 * 8


def test_the_cost_is_a_line_through_both_measurements():
    found = StepCost(MeasuredStep(1000, 5000, 0, 2.0, 0, 0), MeasuredStep(2000, 9000, 0, 3.0, 0, 0), 1)
    assert found.memory((10, 10, 10), 1) == 5000
    assert found.memory((10, 10, 10), 3) == 13000
    with_largest = StepCost(MeasuredStep(1000, 5000, 100, 2.0, 0, 0), MeasuredStep(2000, 9000, 200, 3.0, 0, 0), 1)
    assert with_largest.memory((10, 10, 10), 3) == 13000 + 4 * 300
    assert found.seconds((10, 10, 10), 5) == 6.0


def test_a_plan_is_within_the_memory_and_fits_the_network(step, cost):
    limit = 6e9
    found = make_plan(step, statistics(), cost, memory=limit)
    patch, batch = found.settings["patch_size"], found.settings["batch_size"]
    assert found.settings["spacing"] == [1.0, 1.0, 3.0]
    assert all(edge % 16 == 0 for edge in patch)
    assert all(edge <= bound for edge, bound in zip(patch, (112, 112, 64)))
    assert patch[0] == patch[1]  # RandRotate90d turns crops in this plane
    assert cost.memory(tuple(patch), batch) <= 0.9 * limit - PROCESS
    assert found.settings["iterations"] == 2000
    assert found.settings["window"] == [-1000.0, 400.0]
    assert set(found.reasons) == set(found.settings)
    assert step.value("network_def", patch_size=patch)(torch.rand(1, 1, *patch)).shape[1] == 2


def test_more_memory_never_gives_a_smaller_patch_or_less_work(step, cost):
    found = [make_plan(step, statistics(), cost, memory=limit).settings for limit in (3e9, 4e9, 6e9, 2.4e10)]
    for smaller, larger in pairwise(found):
        assert all(a <= b for a, b in zip(smaller["patch_size"], larger["patch_size"]))
    assert found[0]["patch_size"] != found[-1]["patch_size"]


def test_too_little_memory_is_refused_with_what_it_takes(step, cost):
    with pytest.raises(UserError, match=r"a batch of 2 of the smallest patch \[32, 32, 32\]"):
        make_plan(step, statistics(), cost, memory=2e9)


def test_hours_shorten_the_training_and_seconds_may_be_those_of_another_device(step, cost):
    found = make_plan(step, statistics(), cost, memory=6e9, hours=1, step_seconds=6.0)
    assert found.settings["iterations"] == 600
    assert "as given" in found.estimates["time"]
    assert "1 h: 600 steps" in found.estimates["time"]


def test_without_ct_there_is_no_window_and_without_labels_it_is_the_bodys(step, cost):
    assert "window" not in make_plan(step, statistics(modality="MR", unit=""), cost, memory=6e9).settings
    assert "window" not in make_plan(step, statistics(unit="", fault="not in HU"), cost, memory=6e9).settings
    unlabelled = make_plan(step, statistics(labels=None, foreground=None), cost, memory=6e9)
    assert "none of which has a label" in unlabelled.reasons["window"]


def test_scans_of_other_splits_are_stored_but_not_planned_for(step, cost):
    content = statistics()
    one = make_plan(step, content, cost, memory=6e9)
    extra = [scan | {"split": "test", "id": f"t{n}", "spacing": [5.0] * 3} for n, scan in enumerate(content["scans"])]
    both = make_plan(step, content | {"scans": [*content["scans"], *extra]}, cost, memory=6e9)
    assert one.settings == both.settings
    assert one.estimates["store"] != both.estimates["store"]
    with pytest.raises(UserError, match="scans under training"):
        make_plan(step, content | {"scans": extra}, cost, memory=6e9)


@pytest.mark.parametrize("bundle", ["wsp_ct_pretraining", "head_ct_classification", "semi_supervised_segmentation"])
def test_bundles_without_patches_are_refused(bundle, data_list):
    with pytest.raises(UserError, match="a bundle that trains on patches of volumes"):
        BundleStep(bundle, data_list=data_list)


def test_options_are_those_of_the_bundle(data_list):
    with pytest.raises(UserError, match="did you mean --feature_size"):
        BundleStep(SPLEEN, data_list=data_list, overrides={"featuresize": 4})
    with pytest.raises(UserError, match="plan the pre-training"):
        BundleStep(SPLEEN, data_list=data_list, overrides={"pretrained_encoder": "encoder.pt"})
