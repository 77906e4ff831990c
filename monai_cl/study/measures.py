"""What a finished cell says: a value for each case, a probability for each patient, or one number."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl.errors import UserError
from monai_cl.study.definition import Measure


def read_measure(folder: Path, measure: Measure, *, organs: Sequence[str] = ()) -> dict[str, float]:
    """Case -> value; a number without cases is that of the one case ``""``.

    Dice of a case is the mean over its organs; organs that its truth lacks do not count, nor does a case without any:
    nothing is left where no case has one of ``organs``.

    Args:
        folder: output of a cell.
        measure: what to read.
        organs: for Dice, which; empty: all.

    Raises:
        UserError: the file or the metric in it is absent, or one of the organs is none of the results'.
    """
    file = folder / measure.file
    results = read_results_file(file)
    if measure.metric == "dice":
        return _dice(file, results, organs)
    value: Any = results
    for key in measure.metric.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UserError(file, expected=f"a number {measure.metric}", found=f"{value!r}")
    return {"": float(value)}


def read_patients(folder: Path, measure: Measure) -> dict[str, str | None]:
    """Case -> its patient, None where the results do not say; empty for a number without cases, itself for the AUC.

    Args:
        folder: output of a cell.
        measure: what is read of it.
    """
    if measure.metric == "auc":
        return {patient: patient for patient in read_predictions(folder, measure)}
    if measure.metric != "dice":
        return {}
    metrics = read_results_file(folder / measure.file).get("metrics") or {}
    return {str(case["id"]): case.get("patient") for case in metrics.get("per_case") or ()}


def read_predictions(folder: Path, measure: Measure) -> dict[str, tuple[int, float]]:
    """Patient -> label (0 or 1) and probability of class 1, for the metric ``auc``.

    Args:
        folder: output of a cell.
        measure: what to read.

    Raises:
        UserError: the file is absent, or has no probabilities of patients.
    """
    file = folder / measure.file
    rows = (read_results_file(file).get("metrics") or {}).get("per_patient")
    if not rows:
        raise UserError(file, expected="probabilities of patients (metrics: per_patient)", found="none")
    return {str(row["patient"]): (int(row["label"]), float(row["probability"])) for row in rows}


def read_curve(folder: Path, curve: str) -> list[float]:
    """Values of a validation curve, in its order; one that was not a number is -inf.

    Args:
        folder: output of a cell.
        curve: its name in ``curves`` of ``results.json``.

    Raises:
        UserError: the file is absent, or has no such curve.
    """
    file = folder / "results.json"
    curves = read_results_file(file).get("curves")
    points = curves.get(curve) if isinstance(curves, Mapping) else None
    try:
        numbers = [math.nan if value is None else float(value) for _, value in points or ()]
        values = [value if math.isfinite(value) else -math.inf for value in numbers]
    except (TypeError, ValueError):
        values = []
    if not any(map(math.isfinite, values)):
        names = sorted(name for name in curves if "auc" in name.lower()) if isinstance(curves, Mapping) else []
        if curve in names:
            found, remedy = f"{points!r}"[:80], "name another in convergence: curve, or leave convergence out"
        elif names:
            found, remedy = f"the curves {', '.join(names)}", "name one of these in convergence: curve"
        else:
            found, remedy = "no curve of AUC", "name the step that trains in convergence: step"
        expected = f"the curve {curve}, [[iteration, value], …]"
        raise UserError(file, expected=expected, found=found, remedy=f"{remedy} of the study")
    return values


def read_results_file(file: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        UserError: it is absent or something else.
    """
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(file, expected="the results of a cell", cause=error) from error
    if not isinstance(results, dict):
        raise UserError(file, expected="a JSON object", found=type(results).__name__)
    return results


def _dice(file: Path, results: Mapping[str, Any], organs: Sequence[str]) -> dict[str, float]:
    metrics = results.get("metrics") or {}
    found: dict[str, float] = {}
    known: set[str] = set()
    for case in metrics.get("per_case") or ():
        known |= case["dice"].keys()
        values = [v for organ, v in case["dice"].items() if v is not None and (not organs or organ in organs)]
        if values:
            found[str(case["id"])] = math.fsum(values) / len(values)
    if absent := [organ for organ in organs if organ not in known]:
        raise UserError(file, expected=f"Dice of {absent[0]!r}", found=", ".join(sorted(known)) or "no case")
    if not known:
        raise UserError(file, expected="Dice of cases (metrics: per_case)", found="none")
    return found
