"""Every quantity that a training records is explained in its report, once for each kind."""

from __future__ import annotations

import pytest

from monai_cl.report import render_html
from monai_cl.report.figures.meanings import meanings, quantity_meaning
from tests.report.examples import pretraining
from tests.report.test_tables import runs

RECORDED = (
    *("loss", "gradient_norm", "learning_rate", "skipped_steps", "mean_dice", "dice/spleen", "auc"),
    *("identity", "identity_diagonal/0", "identity_offdiagonal/3", "label", "label_positive_share", "reconstruction"),
    *("common_voxels", "balance/label", "bank", "bank_fill", "bank_positive_share", "encoder_gradient/bank"),
    *("supervised", "encoder_gradient/label", "effective_rank/level2", "mean_cosine/embedding"),
    *("code_perplexity", "prototypes_in_use", "prototype_mass_min", "prototype_mass_max", "queue_fill"),
    *("loss_target", "labelled_target", "loss/ConsistencyLoss", "loss/supervised", "loss/consistency"),
    *("meta_label/patient", "mean_weight/patient", "mean_pair_loss/phase", "floor/phase", "positives/position"),
    *("dead_pairs/position", "gamma/position", "minimum/position", "gradient_cosine/patient,phase"),
    *("probe/linear", "probe/neighbours"),
)


@pytest.mark.parametrize("name", RECORDED)
def test_it_is_explained(name):
    assert quantity_meaning(name).endswith(".")


def test_a_kind_is_explained_once_and_the_unknown_is_left_out():
    found = meanings(["effective_rank/level0", "effective_rank/level1", "loss", "loss/EntropyLoss", "of_my_own"])
    assert list(found) == ["Effective rank of the features", "Loss"]
    assert quantity_meaning("of_my_own") == ""


def test_a_page_says_it_under_its_curves_and_not_without_any():
    text = render_html(runs(pretraining(curves={"loss": [[1, 1.0], [2, 0.5]], "mean_cosine/embedding": [[1, 0.1]]})))
    assert text.count("What these curves say") == 1
    assert text.index("What these curves say") > text.index('class="chart"')
    assert text.count("Near 1 they are all alike: a collapse.") == 1
    assert "What these curves say" not in render_html(runs(pretraining(curves={"of_my_own": [[1, 1.0], [2, 0.5]]})))
