"""Names in an option, in every form in which a config, a shell and a study write them."""

from __future__ import annotations

import pytest

from monai_cl.engines.transferred_parts import check_parts
from monai_cl.names import names_of


@pytest.mark.parametrize(
    "value", [["a", "b c"], ("a", "b c"), "a,b c", " a , b c ", '["a", "b c"]', "['a','b c']", "(a, b c)", "[a,b c]"]
)
def test_every_form_gives_the_same_names(value):
    assert names_of(value) == ["a", "b c"]


@pytest.mark.parametrize("value", [None, "", [], "[]", " , "])
def test_no_name_is_none(value):
    assert names_of(value) == []


def test_one_name_is_a_list_of_one_and_a_path_keeps_its_brackets():
    assert names_of("/data/[x] (copy)/train.yaml") == ["/data/[x] (copy)/train.yaml"]
    assert names_of(3) == ["3"]


def test_the_parts_of_a_network_may_come_from_a_study():
    assert check_parts('["encoder", "decoder"]', option="--parts") == ("encoder", "decoder")
