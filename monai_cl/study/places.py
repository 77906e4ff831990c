"""The places of a study that are measured, and what each measured, case by case: lines of JSON beside a table."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from monai_cl.errors import UserError
from monai_cl.study.definition import StudyDefinition
from monai_cl.study.expansion import Expansion, Point
from monai_cl.study.folder import StudyFolder
from monai_cl.study.measures import read_measure, read_predictions, read_results_file

_MEASURED = ("mean_dice", "per_case", "per_patient")


def measured_places(
    study: StudyDefinition, expansion: Expansion, folder: StudyFolder
) -> tuple[list[Point], dict[str, str]]:
    """The places whose cells are done and hold what the study measures.

    Args:
        study: its definition.
        expansion: its cells.
        folder: where they lie.

    Returns:
        The places, and cell -> why it has no value, such as the AUC of patients of one class.

    Raises:
        UserError: cells are done, and none of them holds it: the measure is none of theirs.
    """
    read = read_predictions if study.measure.metric == "auc" else read_measure
    refused: dict[str, UserError] = {}
    measured: list[Point] = []
    for point, identity in expansion.points.items():
        cell = expansion.cells[identity]
        if folder.of(cell).is_done() and cell.name not in refused:
            try:
                read(folder.of(cell).output, study.measure)
                measured.append(point)
            except UserError as error:
                refused[cell.name] = error
    if refused and not measured:
        raise next(iter(refused.values()))
    return measured, {name: str(error) for name, error in refused.items()}


def partly_measured(
    study: StudyDefinition, expansion: Expansion, measured: Sequence[Point]
) -> dict[tuple[str, str], tuple[int, int]]:
    """(arm, column) -> how many of how many places are measured, where some are and not all.

    Args:
        study: its definition.
        expansion: its cells.
        measured: of `measured_places`.
    """
    found = {}
    for (label, column), arm in itertools.product(study.columns.items(), study.arms):
        here, all_of_them = (
            sum(point.arm == arm and point.setting in column.settings for point in points)
            for points in (measured, expansion.points)
        )
        if 0 < here < all_of_them:
            found[arm, label] = (here, all_of_them)
    return found


def place_lines(study: StudyDefinition, expansion: Expansion, folder: StudyFolder) -> str:
    """The places that are measured, a JSON object a line.

    Args:
        study: its definition.
        expansion: its cells.
        folder: where they lie.

    Returns:
        Lines with arm, setting, fold and seed; of the results' ``metrics`` what is a case's, a patient's or the mean
        Dice, or all of them where they have neither; commit and versions.
    """
    lines = []
    for point, identity in expansion.points.items():
        place = folder.of(expansion.cells[identity])
        if not place.is_done():
            continue
        results = read_results_file(place.output / study.measure.file)
        first = study.measure.metric.split(".")[0]  # of a number that a program of one's own calls otherwise
        name = "metrics" if study.measure.metric in ("dice", "auc") or first == "metrics" else first
        found: Any = results.get(name)
        line: dict[str, Any] = {"arm": point.arm, "setting": point.setting, "fold": point.fold, "seed": point.seed}
        line |= {key: found[key] for key in _MEASURED if isinstance(found, dict) and key in found} or {name: found}
        line |= {key: results.get(key) for key in ("git_commit", "versions")}
        lines.append(json.dumps(line, sort_keys=False) + "\n")
    return "".join(lines)
