"""A plain name is one in every encoding; a free text leads nowhere."""

from __future__ import annotations

import pytest

from monai_cl.serving.guard.plain_names import LONGEST, name_fault, text_fault

GOOD = ["scan", "spleen_0001", "1.2.840.113619.2", "Müller 3", "图像", "100%", "a%20b", "final", "x..y", "-1"]
PATHS = [
    *("..", "../evil", "../../evil", "a/b", "/etc/passwd", "a\\b", "..\\evil", "C:\\evil", "C:evil"),
    *(".", ".hidden", "~", "~root/x", "%2e%2e", "%2E%2E%2Fevil", "%252e%252e%252fevil", "%25252e%25252e"),
    *("..%2fevil", "a%5cb", "%2fetc", "a\0b", "a%00b", "a%2500b", "a\nb", "a\x7fb", "a\u202eb"),
    *("\ud800", "a\ufffdb", "%c0%ae%c0%ae", "%ff"),
]


@pytest.mark.parametrize("name", GOOD)
def test_names_of_scans_are_plain(name):
    assert name_fault(name) is None


@pytest.mark.parametrize("name", ["", *PATHS])
def test_whatever_could_be_a_path_is_not(name):
    assert name_fault(name) is not None


def test_a_name_leaves_room_for_an_ending():
    assert name_fault("é" * (LONGEST // 2)) is None
    assert name_fault("é" * (LONGEST // 2) + "x") == f"it is longer than {LONGEST} bytes"


def test_deep_encodings_end():
    name = ".."
    for _ in range(50):
        name = name.replace("%", "%25").replace(".", "%2e")
    assert name_fault(name) is not None


@pytest.mark.parametrize(
    "text",
    [*GOOD, "", "tumour w/ necrosis", "12/03: see left/right", "two\nlines\tand a tab", "a. b.. c...", "50 % of it"],
)
def test_remarks_are_free(text):
    assert text_fault({"comment": [{"name": text}]}) is None


@pytest.mark.parametrize(
    "text",
    [
        *("/etc/passwd", "../evil", "a/../b", "a/..", "..", "C:\\x", "\\\\host\\share", "~/x", "file:///etc/passwd"),
        *("see http://evil.example/x", "%2e%2e/evil", "a%2f..%2fb", "%252e%252e%252f", "a\0", "a%00", "\x1b[2J"),
    ],
)
def test_remarks_lead_nowhere(text):
    assert text_fault({"comment": [{"name": text}]}) is not None
    assert text_fault({text: 1}) is not None


def test_numbers_and_nothing_are_not_texts():
    assert text_fault({"a": [1, 2.5, None, True, {"b": []}]}) is None
