"""The licences that are listed are those that the installed packages state, and the documentation names each."""

from __future__ import annotations

import importlib.metadata
import re
from email.message import Message
from pathlib import Path

import pytest

from monai_cl.engines.doctor.licences import as_markdown, runtime_licences, stated_licence

PAGE = (Path(__file__).parents[3] / "docs/licences.md").read_text(encoding="utf-8")


def metadata(**fields: str | list[str]) -> Message:
    message = Message()
    for name, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            message[name.replace("_", "-")] = value
    return message


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License_Expression": "MIT", "License": "see file"}, "MIT"),
        ({"License": "Apache 2.0"}, "Apache 2.0"),
        (
            {"License": "Copyright (c)\n        all rights", "Classifier": "License :: OSI Approved :: BSD License"},
            "BSD License",
        ),
        ({"Classifier": ["Topic :: X", "License :: A", "License :: B"]}, "A, B"),
        ({}, "not stated"),
    ],
)
def test_a_licence_is_read_wherever_a_package_states_it(fields, licence):
    assert stated_licence(metadata(**fields)) == licence


def test_what_is_needed_by_what_is_needed_is_listed_and_extras_are_not():
    names = [name for name, _, _ in runtime_licences()]
    assert names == sorted(set(names))
    # torch needs sympy, which needs mpmath; highdicom and pytest are extras
    assert {"torch", "sympy", "mpmath", "edt"} <= set(names)
    assert not {"monai-cl", "highdicom", "pytest"} & set(names)


def test_the_page_has_a_row_for_every_package_that_is_asked_for_with_its_licence():
    direct = [text for text in importlib.metadata.requires("monai-cl") if "extra ==" not in text]
    names = {re.match(r"[\w.-]+", text)[0].lower().replace("_", "-") for text in direct}
    rows = {name: licence for name, _, licence in runtime_licences() if name in names}
    assert rows.keys() == names
    for name, licence in rows.items():
        assert re.search(rf"^\| {name} \| \S+ \| {re.escape(licence)} \|$", PAGE, re.M), (name, licence)


def test_the_table_is_markdown():
    assert as_markdown([("a", "1", "MIT")]).splitlines()[-1] == "| a | 1 | MIT |"
