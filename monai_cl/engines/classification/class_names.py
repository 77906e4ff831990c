"""What a classifier's classes are called: as the data list named them that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_cl.data.records.classes import class_name
from monai_cl.data.records.results import FILE_NAME, read_results
from monai_cl.networks import read_about


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
