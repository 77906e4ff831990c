"""What a classifier was trained to tell apart, and what its classes are called: as its data list said."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_cl.data import DataList
from monai_cl.data.records.classes import class_name
from monai_cl.data.records.grade import OWN_CLASSES, Grade, recorded_grade
from monai_cl.data.records.results import FILE_NAME, read_results
from monai_cl.errors import UserError
from monai_cl.networks import read_about
from monai_cl.switches import is_switched_on

logger = logging.getLogger(__name__)


def class_names(checkpoint: str | Path, *, probe: str | Path | None = None) -> list[str]:
    """The names of class 0 and 1; ``class 0`` and ``class 1`` where the training's list gave none, or nothing tells.

    Args:
        checkpoint: ``model.pt`` of a classification run; with ``probe``, of the encoder's pre-training, whose own
            classes are not meant.
        probe: ``probe.npz`` of a probe on it.
    """
    data_list = _recorded(checkpoint) if probe is None else {}
    if not data_list.get("classes"):  # of an earlier version, or moved away from it
        data_list = _data_list(Path(checkpoint if probe is None else probe))
    return [class_name(data_list, label) for label in (0, 1)]


def trained_grade(checkpoint: str | Path, *, probe: str | Path | None = None) -> Grade:
    """What a classifier was trained to tell apart; the list's own classes where nothing tells.

    Args:
        checkpoint: see `class_names`.
        probe: likewise.
    """
    return _known_grade(checkpoint, probe) or OWN_CLASSES


def other_grade(
    data_list: DataList, checkpoint: str | Path, *, probe: str | Path | None = None, allow: bool | str = False
) -> dict[str, Any]:
    """Refuse to score a classifier on patients who are divided by another grade than it was trained for.

    Args:
        data_list: of the patients.
        checkpoint: see `class_names`.
        probe: likewise.
        allow: let it pass; a command line hands ``true`` on as a word.

    Returns:
        What the results then say: ``trained_target``, see `Grade.record`. Empty where the grades are the same, or
        nothing is known of the classifier's.

    Raises:
        UserError: another grade, and it is not allowed; or ``allow`` is neither true nor false.
    """
    allowed = is_switched_on("allow_other_target", allow)
    trained = _known_grade(checkpoint, probe)
    if trained is None or trained == data_list.grade:
        return {}
    if not allowed:
        raise UserError(
            checkpoint if probe is None else probe,
            expected=f"patients divided as in its training, by {trained}",
            found=f"by {data_list.grade}, in {data_list.path}",
            remedy="leave --target_field and --positive_from out, and the model's are used; --allow_other_target True "
            "scores it nevertheless",
        )
    logger.warning(
        "%s was trained for %s and is scored for %s, which allow_other_target permits",
        checkpoint if probe is None else probe, trained, data_list.grade,
    )  # fmt: skip
    return {"trained_target": trained.record()}


def _known_grade(checkpoint: str | Path, probe: str | Path | None) -> Grade | None:
    data_list = _recorded(checkpoint) if probe is None else {}
    data_list = data_list or _data_list(Path(checkpoint if probe is None else probe))
    return recorded_grade(data_list) if data_list else None


def _recorded(checkpoint: str | Path) -> Mapping[str, Any]:
    """The entry of the list in the record inside a file of weights."""
    about = read_about(checkpoint)
    if about is None or about.get("kind") != "classification":
        return {}
    return next(iter(about["training"]["data_lists"]), {})


def _data_list(file: Path) -> Mapping[str, Any]:
    """The entry of the list in the record of the run that left a file."""
    if not (file.parent / FILE_NAME).is_file():
        return {}
    results = read_results(file.parent)
    return results["data_list"] if results["kind"] == "classification" else {}
