"""Words that a switch of a bundle understands."""

from __future__ import annotations

import pytest

from monai_cl.errors import UserError
from monai_cl.switches import is_switched_on


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), (False, False), ("true", True), ("False", False), ("FALSE", False)]
)
def test_a_switch_is_what_its_word_says(value, expected):
    assert is_switched_on("overwrite", value) is expected


@pytest.mark.parametrize("value", ["yes", "", 1, 0, None, [True]])
def test_anything_else_is_refused(value):
    with pytest.raises(UserError, match="--overwrite: expected true or false, found"):
        is_switched_on("overwrite", value)
