"""A run on scans that its weights were trained on is announced before any number."""

from __future__ import annotations

from pathlib import Path

from monai_cl.report import Run, render_html, render_markdown
from tests.report.examples import segmentation

OVERLAP = {"weights": "encoder.pt", "scored": 3, "scans": ["case_a", "case_b"], "patients": ["case_c"]}


def run(**overlap) -> Run:
    dice = {f"case_{letter}": {"spleen": 0.9} for letter in "abc"}
    return Run(Path("results.json"), segmentation(dice, name="leaky", data={"overlap": overlap or None}))


def test_the_page_names_the_scans_on_top():
    top = render_html([run(**OVERLAP)]).partition("<main")[0]
    assert "Not a test on unseen data: leaky, seed 0" in top
    assert "trained on the scans case_a, case_b and other scans of the patients of case_c, of 3 that are scored" in top
    assert "Not a test on unseen data" in render_markdown([run(**OVERLAP)]).split("\n\n")[1]


def test_hidden_names_stay_hidden():
    page = render_html([run(**OVERLAP)], hash_patients="key")
    assert "Not a test on unseen data" in page
    assert "case_a" not in page


def test_a_run_without_overlap_has_no_such_line():
    assert "unseen data" not in render_html([run(), run(weights="encoder.pt", scored=3, scans=[], patients=[])])
