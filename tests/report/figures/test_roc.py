from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image

from monai_cl.report import roc_figure
from monai_cl.report.figures.curves import COLOURS

PERFECT = ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
HALF = ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5])


@pytest.mark.usefixtures("as_svg")
def test_every_method_gets_a_curve_of_its_own_colour():
    svg = roc_figure({"WSP": PERFECT, "random": HALF}, title="D1")
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    text = svg.decode().lower()
    for colour in COLOURS[:2]:
        assert text.count(f"stroke: {colour.lower()}") == 2  # the curve and its legend entry
    assert COLOURS[2].lower() not in text


def test_a_png_is_a_picture_and_the_same_each_time():
    first = roc_figure({"WSP": PERFECT})
    assert first == roc_figure({"WSP": PERFECT})
    with Image.open(io.BytesIO(first)) as image:
        assert image.format == "PNG"
        assert image.width > 500


@pytest.mark.usefixtures("as_svg")
def test_odd_names_and_many_methods_are_drawn():
    names = ["_hidden", "a$b$", "<script>", *map(str, range(20))]
    svg = roc_figure(dict.fromkeys(names, PERFECT))
    assert b"<script>" not in svg
    ElementTree.fromstring(svg)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="predictions must hold at least one curve"):
        roc_figure({})
    with pytest.raises(ValueError, match=r"labels of 'x' must hold both 0 and 1, got \[1\]"):
        roc_figure({"x": ([1, 1], [0.5, 0.6])})
