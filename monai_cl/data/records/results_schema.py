"""Check ``results.json`` against ``results_schema.json`` and say where it differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl.data.records.json_schema import expectation, missing_key, schema_validator, shown
from monai_cl.data.records.json_schema import where as place
from monai_cl.errors import UserError

SCHEMA = 1
SCHEMA_FILE = Path(__file__).with_name("results_schema.json")


def check_results(results: Any, *, where: str) -> None:
    """Raise :class:`UserError` naming ``where`` and the key, unless ``results`` (plain JSON) fits the schema."""
    complaint = _complaint(results)
    if complaint is not None:
        key, expected, found = complaint
        raise UserError(f"{where}: {key}", expected=expected, found=found, remedy="was this file written by monai_cl?")


def _complaint(results: Any) -> tuple[str, str, str] | None:
    """The first difference: its key, what was expected, what was found."""
    for error in schema_validator(SCHEMA_FILE).iter_errors(results):
        path = list(error.absolute_path)
        if error.validator == "required" and "expected" not in error.schema:
            return place(*path, missing_key(error)), "this required key", "nothing"
        return place(*path) or "top level", expectation(error), shown(error.instance)
    # in code: jsonschema takes some 40 µs for a point, and a long run has many
    for name, points in results["curves"].items():
        if not isinstance(points, list) or not all(map(_is_point, points)):
            return f"curves.{name}", "a list of [iteration, value] pairs", shown(points)
    metrics = results.get("metrics") or {}
    if results["kind"] == "classification":
        return _repeated(metrics["per_patient"], "metrics.per_patient", "patient", "every patient id once")
    return _repeated(metrics.get("per_case", []), "metrics.per_case", "id", "every case id once")


def _repeated(rows: Sequence[Mapping[str, Any]], rows_key: str, key: str, rule: str) -> tuple[str, str, str] | None:
    seen: set[str] = set()
    for number, row in enumerate(rows):
        if row[key] in seen:
            return f"{rows_key}[{number}].{key}", rule, shown(row[key])
        seen.add(row[key])
    return None


def _is_point(point: Any) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and _is_number(point[0])
        and (point[1] is None or _is_number(point[1]))
    )


def _is_number(value: Any) -> bool:
    """A finite number that a float can hold; JSON's integers have no bound."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e300 < value < 1e300
