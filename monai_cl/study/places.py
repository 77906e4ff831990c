"""What each place of a study measured, case by case: one line of JSON a place, to keep beside a table."""

from __future__ import annotations

import json
from typing import Any

from monai_cl.study.definition import StudyDefinition
from monai_cl.study.expansion import Expansion
from monai_cl.study.folder import StudyFolder
from monai_cl.study.measures import read_results_file

_MEASURED = ("mean_dice", "per_case", "per_patient")


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
        if place.is_done():
            results = read_results_file(place.output / study.measure.file)
            metrics: dict[str, Any] = results.get("metrics") or {}
            line = {"arm": point.arm, "setting": point.setting, "fold": point.fold, "seed": point.seed}
            line |= {key: metrics[key] for key in _MEASURED if key in metrics} or {"metrics": metrics}
            line |= {key: results.get(key) for key in ("git_commit", "versions")}
            lines.append(json.dumps(line, sort_keys=False) + "\n")
    return "".join(lines)
