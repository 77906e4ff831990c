"""Options of every training at the door."""

from __future__ import annotations

import math

import pytest

from monai_cl.engines import check_training_options
from monai_cl.errors import UserError


@pytest.mark.parametrize("rate", [-1, -0.1, math.nan, math.inf, True, [0.1]])
def test_a_learning_rate_is_a_number_from_0(rate):
    with pytest.raises(UserError, match="learning_rate: expected a number from 0, found"):
        check_training_options(learning_rate=rate)


def test_what_yaml_reads_as_text_is_told():
    with pytest.raises(UserError, match=r"found '1e-3'.*write 0\.001 or 1\.0e-3"):
        check_training_options(learning_rate="1e-3")


def test_usual_options_pass():
    check_training_options(learning_rate=1e-4, gradient_clip=1, weight_average=0.999)
    check_training_options(learning_rate=0)
