"""Tables that come out show what came in, and nothing in them is run."""

from __future__ import annotations

import csv

from monai_cl.data.records.csv_rows import csv_text
from monai_cl.engines.probe.run import patients_csv


def test_cells_come_back_and_a_formula_is_text():
    formula = '=HYPERLINK("http://x";"y")'
    rows = [{"a": "P1", "b": -0.5}, {"a": formula, "b": "-1e-3"}, {"a": "two\nlines, one", "b": ""}]
    found = list(csv.DictReader(csv_text(("a", "b"), rows).splitlines(keepends=True)))
    assert [row["a"] for row in found] == ["P1", f"'{formula}", "two\nlines, one"]
    assert [row["b"] for row in found] == ["-0.5", "-1e-3", ""]


def test_every_way_to_begin_a_formula_is_seen():
    for start in ("=", "+", "-", "@", "\t", "\r"):
        assert f"'{start}cmd" in csv_text(("a",), [{"a": f"{start}cmd"}])


def test_predictions_name_patients_like_that():
    row = {"patient": "@SUM(1)", "fold": 0, "label": 1, "probability": 0.25, "n_slices": 3}
    assert patients_csv({"per_patient": [row]}) == "patient,fold,label,probability,n_slices\n'@SUM(1),0,1,0.25,3\n"


def test_probabilities_that_differ_little_do_not_tie():
    """A probe that is held near 0.5, and a network that is sure: the AUC of the table is that of the results."""
    values = [0.5000003, 0.5000001, 0.99999997, 0.99999999, 3e-9, 1e-9]
    rows = [{"patient": str(n), "fold": 0, "label": 0, "probability": p, "n_slices": 1} for n, p in enumerate(values)]
    found = csv.DictReader(patients_csv({"per_patient": rows}).splitlines())
    assert [float(row["probability"]) for row in found] == values
