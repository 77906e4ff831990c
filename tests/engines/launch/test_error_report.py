"""A component of the config that does not exist or has no such argument is one line for the user."""

from __future__ import annotations

import pytest
from monai.bundle import ConfigParser

from monai_cl.engines.launch.error_report import one_cause, one_line, user_error_in
from monai_cl.errors import UserError


@pytest.mark.parametrize(
    ("component", "line"),
    [
        ({"_target_": "RandFlop"}, "_target_: expected a class of MONAI, .* found RandFlop; did you mean RandFlip?"),
        ({"_target_": "own.views.Blur"}, "found own.views.Blur; correct it"),
        (
            {"_target_": "RandAdjustContrast", "probb": 1.0},
            r"_target_: monai\.transforms\..*RandAdjustContrast: .*keyword argument 'probb'; correct its arguments",
        ),
    ],
)
def test_a_component_that_the_config_names_wrongly_is_one_line(component, line):
    parser = ConfigParser({"views": [component], "made": "$list(@views)"})
    with pytest.raises(UserError, match=line), one_cause():
        parser.get_parsed_content("made")


def test_a_fault_of_the_package_itself_is_none_of_the_user():
    parser = ConfigParser({"made": {"_target_": "monai_cl.engines.LossProgress", "whatever": 1}})
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("made")
    assert user_error_in(caught.value) is None
    assert user_error_in(ModuleNotFoundError("No module named 'itk'")) is None
    assert one_line(ValueError("a\n b")) == "a b"
