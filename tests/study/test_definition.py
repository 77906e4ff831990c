"""A study's file is checked before anything runs."""

from __future__ import annotations

import pytest

from monai_cl.errors import UserError
from monai_cl.study import load_study
from monai_cl.study.definition import Column
from tests.study.studies import TINY, written


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sedes": [1]}, "no key 'sedes'; did you mean 'seeds'"),
        ({"arms": {"a": {"lsat": {}}}}, "no step 'lsat'; did you mean 'last'"),
        ({"arms": {}}, "arms: name -> step -> options"),
        ({"seeds": 3}, "seeds: a list"),
        ({"measure": {"step": "final"}}, "no step 'final'"),
        ({"measure": {"step": "last", "metrics": "dice"}}, "did you mean 'metric'"),
        ({"steps": {"last": {"bundle": "a", "program": "b"}}}, "one of bundle, command, program in step 'last'"),
        ({"steps": {"seed": {"program": "b"}}}, "found seed; rename it"),
        ({"steps": {"last": {"program": "b", "run_id": "c"}}}, "run_id of a bundle, as in step 'last'"),
        ({"steps": {"last": {"bundle": "b", "run_id": 1}}}, "run_id: finetune, found 1"),
        ({"table": {"controls": ["scrach"]}}, "no arm 'scrach'; did you mean 'scratch'"),
        ({"table": {"columns": {"x": {"settings": ["y"]}}}}, "no setting 'y'"),
        ({"published": {"values": {"scratch": {"x": 1}}}}, "no column 'x'"),
    ],
)
def test_a_mistake_is_named_with_what_was_meant(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        load_study(written(tmp_path, **changes))


def test_a_key_given_twice_is_refused(tmp_path):
    path = written(tmp_path)
    path.write_text(path.read_text() + "name: other\n")
    with pytest.raises(UserError, match="'name' appears twice"):
        load_study(path)


@pytest.mark.parametrize("text", ["- a\n", "a: [\n", "name: x\n"])
def test_what_is_no_study_is_refused(tmp_path, text):
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(UserError, match=r"s\.yaml"):
        load_study(tmp_path / "s.yaml")


def test_columns_are_the_settings_unless_given(tmp_path):
    settings = {"5 %": {}, "15 %": {}}
    assert load_study(written(tmp_path, settings=settings)).columns == {
        "5 %": Column(("5 %",)),
        "15 %": Column(("15 %",)),
    }
    table = {"columns": {"both": {"settings": ["5 %", "15 %"], "organs": ["liver"]}}}
    found = load_study(written(tmp_path, settings=settings, table=table)).columns
    assert found == {"both": Column(("5 %", "15 %"), ("liver",))}


def test_inputs_of_the_command_line_replace_those_of_the_file(tmp_path):
    path = written(tmp_path, inputs={"data": "here", "list": "list:btcv"})
    assert load_study(path, inputs={"data": "/there"}).inputs == {"data": "/there", "list": "list:btcv"}
    with pytest.raises(UserError, match="no input 'dat'; did you mean 'data'"):
        load_study(path, inputs={"dat": "/there"})


def test_the_study_of_the_tests_has_every_required_key(tmp_path):
    for key in ("name", "steps", "arms", "measure"):
        path = written(tmp_path)
        import yaml

        path.write_text(yaml.safe_dump({k: v for k, v in TINY.items() if k != key}))
        with pytest.raises(UserError, match=f"expected the key '{key}'"):
            load_study(path)


def test_names_that_yaml_reads_as_numbers_are_names(tmp_path):
    found = load_study(written(tmp_path, settings={6: {}, 12: None}, published={"values": {"scratch": {6: 0.5}}}))
    assert (list(found.settings), list(found.columns)) == (["6", "12"], ["6", "12"])
    assert found.published == {"scratch": {"6": 0.5}}
