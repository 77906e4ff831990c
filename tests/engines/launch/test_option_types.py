"""An option of another kind than the config's is refused; what may replace it is not."""

from __future__ import annotations

import pytest

from monai_cl.engines.launch.command_line import type_fault


@pytest.mark.parametrize(
    ("default", "given"),
    [
        *((2000, 10), (2000, 10.0), (0, "none"), (0, "null"), (2000, "$2 * 5"), (2000, "@epoch_length")),
        *((1.0, 2), (0.1, 1e-3), (1.5, "%other.yaml::sigma")),
        *((True, False), (False, True), (False, "$torch.cuda.is_available()")),
        *(([96, 96, 96], [32, 32, 32]), ([96, 96, 96], (32, 32, 32)), ([96, 96, 96], 32), ({"a": 1}, {"a": 2})),
        *((None, 3), (None, "x"), ("$1 + 1", "x"), ("auto", "file.pt"), ("auto", 3)),
    ],
)
def test_what_is_allowed_is_accepted(default, given):
    assert type_fault(default, given) is None


@pytest.mark.parametrize(
    ("default", "given", "expected"),
    [
        *((2000, given, "an integer") for given in ("ten", 1.5, True, [3], "", "10 ")),
        *((0.1, given, "a number") for given in ("a little", False, [0.1], {"a": 1})),
        *((False, given, "True or False") for given in (0, 1, "no", "yes", [])),
        *(([1, 2, 3], given, "a list") for given in ("1,2,3", True, {"a": 1})),
        *(({"a": 1}, given, "an object of options") for given in ("a", 1, [1])),
    ],
)
def test_for_what_is_not_allowed_the_expected_is_named(default, given, expected):
    assert type_fault(default, given) == expected
