"""The form of ``results.json``, schema 1: which keys, which kinds of value; told to the user where a file differs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from monai_cl.errors import UserError

SCHEMA = 1
# a demo is the summary of runs that lie in folders below it
KINDS = ("pretraining", "segmentation", "classification", "demo")

_REQUIRED: dict[str, type | tuple[type, ...]] = {
    "kind": str,
    "name": str,
    "created": str,
    "seed": int,
    "versions": Mapping,
    "device": str,
    "data_list": Mapping,
    "initialisation": str,
    "config": Mapping,
    "curves": Mapping,
}


def check_results(results: Any, *, where: str) -> None:
    """Raise :class:`UserError` naming ``where`` and the key, unless ``results`` has the form of schema 1."""

    def fail(key: str, expected: str, found: Any) -> None:
        shown = repr(found)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        raise UserError(f"{where}: {key}: expected {expected}, found {shown}; was this file written by monai_cl?")

    if not isinstance(results, Mapping):
        fail("top level", "an object", type(results).__name__)
    if results.get("schema") != SCHEMA:
        fail("schema", f"{SCHEMA} (another number comes from another version of monai_cl)", results.get("schema"))
    for key, kind in _REQUIRED.items():
        if key not in results:
            fail(key, "this required key", "nothing")
        if not isinstance(results[key], kind) or (kind is int and isinstance(results[key], bool)):
            fail(key, "an object" if kind is Mapping else f"{kind.__name__}", results[key])
    if results["kind"] not in KINDS:
        fail("kind", f"one of {', '.join(KINDS)}", results["kind"])
    for name, points in results["curves"].items():
        if not isinstance(points, list) or not all(_is_point(point) for point in points):
            fail(f"curves.{name}", "a list of [iteration, value] pairs", points)
    overlays = results.get("overlays") or []
    if not isinstance(overlays, list) or not all(isinstance(name, str) for name in overlays):
        fail("overlays", "a list of file names", overlays)
    _check_data_list(results["data_list"], fail)
    metrics = results.get("metrics") or {}
    if not isinstance(metrics, Mapping):
        fail("metrics", "an object", metrics)
    per_case = metrics.get("per_case", [])
    if not isinstance(per_case, list):
        fail("metrics.per_case", "a list of cases", per_case)
    seen: set[str] = set()
    for number, case in enumerate(per_case):
        key = f"metrics.per_case[{number}]"
        known = isinstance(case, Mapping) and isinstance(case.get("id"), str) and isinstance(case.get("dice"), Mapping)
        if not known:
            fail(key, 'an object with "id" and "dice"', case)
        if case["id"] in seen:
            fail(key, "every case id once", case["id"])
        seen.add(case["id"])
        if not isinstance(case.get("patient"), str | None):
            fail(f"{key}.patient", "a name or null", case["patient"])
        for organ, value in case["dice"].items():
            if value is not None and not (_is_number(value) and 0 <= value <= 1):
                fail(f"{key}.dice.{organ}", "a number from 0 to 1, or null where the truth lacks the organ", value)
    if results["kind"] == "classification":
        _check_classification(results, fail)


def _check_data_list(data_list: Mapping, fail: Callable[[str, str, Any], None]) -> None:
    """What a report reads of the data that were used."""
    cases, fold, fraction = (data_list.get(key) for key in ("training_cases", "fold", "label_fraction"))
    if cases is not None and not isinstance(cases, list):
        fail("data_list.training_cases", "a list of case ids", cases)
    if fold is not None and (isinstance(fold, bool) or not isinstance(fold, int)):
        fail("data_list.fold", "a whole number or null", fold)
    if fraction is not None and not (_is_number(fraction) and 0 < fraction <= 1):
        fail("data_list.label_fraction", "a number above 0 and at most 1, or null", fraction)
    datasets = data_list.get("datasets")
    if datasets is not None and not isinstance(datasets, Mapping):
        fail("data_list.datasets", "an object, name: what it is", datasets)


def _check_classification(results: Mapping, fail: Callable[[str, str, Any], None]) -> None:
    """The metrics of a probe: fractions, one entry a fold and one a patient."""
    metrics = results.get("metrics") or {}
    for key in ("method", "cohort"):
        if not isinstance(results.get(key), str):
            fail(key, "a name", results.get(key))
    for key, kind in (("backbone", str), ("sigma", (int, float)), ("temperature", (int, float))):
        if results.get(key) is not None and not isinstance(results[key], kind):
            fail(key, "a name or null" if kind is str else "a number or null", results[key])
    for key in ("auc", "balanced_accuracy", "auc_pooled"):
        if not _is_fraction(metrics.get(key)):
            fail(f"metrics.{key}", "a number from 0 to 1", metrics.get(key))
    interval = metrics.get("auc_interval")
    if interval is not None and not (
        isinstance(interval, list) and len(interval) == 2 and all(map(_is_fraction, interval))
    ):
        fail("metrics.auc_interval", "two numbers from 0 to 1, or null", interval)
    for key in ("auc_std", "balanced_accuracy_std", "depth_r2", "depth_r2_std", "confidence", "patients", "positive"):
        if metrics.get(key) is not None and not _is_number(metrics[key]):
            fail(f"metrics.{key}", "a number or null", metrics[key])
    for key, entry in (("folds", "a list of folds"), ("per_patient", "a list of patients")):
        if not isinstance(metrics.get(key), list) or not all(isinstance(row, Mapping) for row in metrics[key]):
            fail(f"metrics.{key}", entry, metrics.get(key))
    seen: set[str] = set()
    for number, row in enumerate(metrics["per_patient"]):
        key = f"metrics.per_patient[{number}]"
        if not isinstance(row.get("patient"), str) or row["patient"] in seen:
            fail(f"{key}.patient", "every patient id once", row.get("patient"))
        seen.add(row["patient"])
        if row.get("label") not in (0, 1):
            fail(f"{key}.label", "0 or 1", row.get("label"))
        if not _is_fraction(row.get("probability")):
            fail(f"{key}.probability", "a number from 0 to 1", row.get("probability"))


def _is_fraction(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_number(value: Any) -> bool:
    """A finite number that a float can hold; JSON's integers have no bound."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e300 < value < 1e300


def _is_point(point: Any) -> bool:
    if not (isinstance(point, list) and len(point) == 2):
        return False
    return _is_number(point[0]) and (point[1] is None or _is_number(point[1]))
