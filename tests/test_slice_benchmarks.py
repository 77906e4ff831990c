"""The slice studies run from cohort to table at a small size, resume, and compute what they print."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from monai_cl.data import cirrhosis_case
from monai_cl.data.phantom.cirrhosis.structure import LIVER

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def study(monkeypatch):
    """The part that compares methods."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("wsp.judging")


@pytest.fixture
def arrays(monkeypatch):
    """The cohort in memory."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("wsp.arrays")


def rows(labels: list[int], *probabilities: list[float]) -> list[dict]:
    return [{"labels": labels, "probability": p} for p in probabilities]


def test_a_difference_is_that_of_the_aucs_and_its_interval_holds_it(study):
    labels = [0, 0, 0, 1, 1, 1]
    good, bad = [0.1, 0.2, 0.3, 0.7, 0.8, 0.9], [0.1, 0.8, 0.3, 0.2, 0.7, 0.9]
    gain, low, high = study.difference(rows(labels, good, good), rows(labels, bad, bad), resamples=500)
    assert gain == pytest.approx(1 - 6 / 9)
    assert low <= gain <= high
    assert study.difference(rows(labels, good), rows(labels, good), resamples=50) == (0, 0, 0)


def test_a_better_method_of_many_patients_has_an_interval_above_0(study):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    better, worse = ([(s * labels + rng.normal(size=300)).tolist() for _ in range(3)] for s in (2.0, 0.5))
    gain, low, _ = study.difference(rows(labels.tolist(), *better), rows(labels.tolist(), *worse), resamples=500)
    assert gain > low > 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_study_of_methods_runs_to_its_table(tmp_path):
    def call(what: str, *words: str) -> str:
        options = "--patients 24 --biopsies 140 --steps 25 --batch 8 --warmup 3 --width 0.125 --seeds 0"
        command = [
            sys.executable,
            str(FOLDER / "wsp_methods.py"),
            what,
            "--output",
            str(tmp_path),
            *options.split(),
            *words,
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout

    assert "true shape" in call("check")
    call("run")
    assert call("run") == ""  # everything is there
    assert "wsp-sigma0.1-tau0.3-0" in call("run", "--methods", "wsp", "byol", "--temperature", "0.3")
    call("sweep")
    table = call("table")
    for name in ("random", "SimCLR", "BYOL", "online clustering", "SupCon", "depth-aware", "WSP"):
        assert f"| {name} |" in table
    assert "WSP by σ" in table
    assert "WSP by τ" in table
    judged = [json.loads(line) for line in (tmp_path / "judged.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(judged) == 7 + 1 + 3 + 2
    assert all(0 <= row["found"]["P400"]["auc"] <= 1 for row in judged)


def test_slices_in_memory_are_those_of_the_cases(arrays):
    made = arrays.cirrhosis_slices(7, [4, 2], cohort="histology", size=64)
    case = cirrhosis_case(7, 4, cohort="histology", size=64)
    rows = made.patients == 4
    with_liver = np.flatnonzero((case.label == LIVER).any(axis=(0, 1)))
    assert rows.sum() == round(0.7 * len(with_liver))
    assert made.patients.tolist() == sorted(made.patients.tolist(), reverse=True)
    assert set(made.stages[rows]) == {case.stage}
    assert set(made.histology[rows]) == {case.histology}
    assert (np.diff(made.depths[rows]) > 0).all()
    middle = with_liver[(len(with_liver) - rows.sum()) // 2]
    expected = (np.clip(case.image[..., middle], -100, 400) + 100.0) / 500 * 255
    np.testing.assert_allclose(made.images[rows][0], expected[::-1, ::-1].T, atol=0.51)


def test_slices_in_memory_can_be_kept(arrays, tmp_path):
    made = arrays.cirrhosis_slices(7, 3, size=48)
    made.save(tmp_path / "slices.npz")
    again = arrays.CirrhosisSlices.load(tmp_path / "slices.npz")
    for name in ("images", "depths", "patients", "stages", "grades", "histology"):
        np.testing.assert_array_equal(getattr(made, name), getattr(again, name))
    assert set(made.histology) == {-1}
