"""What saves memory in a bundle gives the same weights: a batch in parts, activations that are computed twice."""

from __future__ import annotations

import pytest

from tests.bundles.conftest import ORGANS, PRETRAINING, SPLEEN
from tests.bundles.head_runs import CLUSTERING
from tests.bundles.slice_runs import CLASSIFICATION
from tests.bundles.workflow import assert_equal, refusal, weights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("bundle", "own"), [(SPLEEN, {"overlay_cases": 0}), (PRETRAINING, {"preset": "masked_hybrid"})]
)
def test_a_batch_in_parts_trains_the_same_network(train, tmp_path, bundle, own):
    options = {**own, "iterations": 2, "batch_size": 2, "learning_rate": 0.01, "optimizer#_target_": "torch.optim.SGD"}
    for parts in (1, 2):
        train(bundle, tmp_path / f"in {parts}", **options, accumulate=parts).check()
    assert_equal(weights(tmp_path / "in 2"), weights(tmp_path / "in 1"), atol=1e-6)


def test_a_classifier_is_fine_tuned_in_parts_to_the_same_network(slice_run, tmp_path):
    for parts in (1, 2):
        options = {"iterations": 2, "learning_rate": 0.01, "accumulate": parts}
        optimizer = {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": "@learning_rate"}
        output = str(tmp_path / f"in {parts}")
        slice_run(CLASSIFICATION, "train", run_id="finetune", output_dir=output, **options, optimizer=optimizer)
    assert_equal(weights(tmp_path / "in 2"), weights(tmp_path / "in 1"), atol=1e-6)


def test_a_head_ct_training_in_parts_says_that_its_batch_norms_see_a_part(head_run, tmp_path, caplog):
    head_run("train", output_dir=str(tmp_path / "run"), accumulate=2, iterations=2)
    assert (tmp_path / "run" / "model.pt").is_file()
    assert sum("batch norm" in message for message in caplog.messages) == 1
    with pytest.raises(RuntimeError) as caught:
        head_run("train", "pretrain", output_dir=str(tmp_path / "pretrained"), accumulate=2, **CLUSTERING)
    assert "clustering compares the samples of a batch" in refusal(caught)


@pytest.mark.parametrize(
    ("bundle", "own"),
    [
        (SPLEEN, {"overlay_cases": 0, "weight_average": 0.9}),
        (ORGANS, {"overlay_cases": 0, "unlabelled_weight": 10.0, "unlabelled_batch": 1}),
        (PRETRAINING, {"preset": "paper"}),
    ],
)
def test_activations_that_are_computed_twice_train_the_same_network(train, tmp_path, bundle, own):
    for checkpointing in (False, True):
        options = {**own, "iterations": 2, "learning_rate": 0.01, "activation_checkpointing": checkpointing}
        train(bundle, tmp_path / str(checkpointing), **options).check()
    assert_equal(weights(tmp_path / "True"), weights(tmp_path / "False"))


@pytest.mark.parametrize(
    ("bundle", "options", "reason"),
    [
        (PRETRAINING, {"batch_size": 2}, "the identity term correlates channels over the whole batch"),
        (SPLEEN, {"preset": "strong"}, "Dice is of all crops of a batch together"),
        (SPLEEN, {"unlabelled_weight": 10.0}, "(unlabelled_weight)"),
        (SPLEEN, {"batch_size": 3}, "expected a divisor of batch_size=3, found 2"),
    ],
)
def test_where_it_would_be_another_loss_it_is_refused_before_anything_runs(train, tmp_path, bundle, options, reason):
    refused = train(bundle, tmp_path / "run", **options, accumulate=2, store_dir=str(tmp_path / "store"))
    assert refused.status != 0
    assert "Traceback" not in refused.err
    assert reason in refused.last_error_line
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "store").exists()  # which takes hours of many scans
