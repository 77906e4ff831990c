"""What a file of weights says of its modalities, against those of a run."""

from __future__ import annotations

import pytest
import torch

from monai_cl.engines.model_input import check_model, from_model
from monai_cl.errors import UserError
from monai_cl.networks import save_weights

BOTH = {"CT": "hounsfield", "MR": "zscore"}


@pytest.fixture
def weights(tmp_path):
    def write(modality):
        about = {"kind": "pretraining", "preprocessing": {"modality": modality}}
        return save_weights({"w": torch.zeros(1)}, tmp_path / "encoder.pt", about)

    return write


@pytest.mark.parametrize(
    ("trained", "own"), [("CT", "CT"), ("CT", {"CT": "hounsfield"}), (BOTH, "CT"), (BOTH, {"MR": "zscore"})]
)
def test_a_run_may_have_fewer_modalities_than_its_weights_know(weights, trained, own):
    assert check_model(weights(trained), {"preprocessing": {"modality": own}}) is not None


@pytest.mark.parametrize(
    ("trained", "own", "message"),
    [
        ("CT", {"MR": "percentiles"}, "expected the modality it was trained with, CT, found MR by percentiles"),
        (BOTH, {"MR": "percentiles"}, "CT by hounsfield, MR by zscore, found MR by percentiles"),
        ({"MR": "zscore"}, "CT", "MR by zscore, found CT"),
    ],
)
def test_a_run_with_another_modality_or_scale_is_refused_and_may_be_allowed(weights, trained, own, message):
    model = {"preprocessing": {"modality": own}}
    with pytest.raises(UserError, match=f"{message}; use weights .* --allow_other_preprocessing True"):
        check_model(weights(trained), model, may_allow=True)
    assert check_model(weights(trained), model, allow_other_preprocessing=True) is not None


def test_the_scale_of_a_run_is_that_of_its_weights(weights):
    assert from_model(weights(BOTH), "intensity", "percentiles") == BOTH
    assert from_model(weights("CT"), "intensity", "percentiles") == "percentiles"
