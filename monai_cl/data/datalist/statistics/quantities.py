"""The numbers of a scan by name, and what they are in a group of scans: count, median, range; of one unit only."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from monai_cl.data.io.modality import modality_name

HU = "HU"
"""``unit`` of a scan whose intensities are Hounsfield units; that of others, which have their own, is ``""``."""
AXES = "ras"
SHOWN_PERCENTILES = ("0.5", "50", "99.5")


def quantities(scan: Mapping[str, Any]) -> dict[str, float]:
    """``size_r`` (voxels), ``spacing_r`` and ``extent_r`` (mm) and so on, percentiles of intensity such as ``body_50``,
    ``body_ml``, and of each label ``<name> ml`` and ``<name> mean``.

    Args:
        scan: of `measure_scan`.
    """
    return _sizes(scan) | _intensities(scan)


def group_summaries(scans: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A summary for each data set and modality, with both names, in the order in which they come.

    Args:
        scans: of `measure_scan`.

    Returns:
        ``dataset``, ``modality``, and what `summarise` gives.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for scan in scans:
        groups.setdefault((scan["dataset"], scan["modality"]), []).append(scan)
    return [{"dataset": dataset, "modality": modality, **summarise(own)} for (dataset, modality), own in groups.items()]


def summarise(scans: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a group of scans has in common.

    Args:
        scans: of `measure_scan`.

    Returns:
        ``scans``, ``patients``, ``labelled``: counts; ``modalities``, ``phases``, ``orientations`` and ``labels``:
        word -> scans; ``quantities``: name -> ``count``, ``median``, ``lowest``, ``highest``; ``unit`` of those of
        intensity: ``"HU"``, ``""`` for the scans' own, None where there is no common one: then there are none of them.
        A CT that is not in HU is left out of those in HU.
    """
    unit, comparable = _of_one_unit(scans)
    values: dict[str, list[float]] = {}
    for own, numbers in ((scans, _sizes), (comparable, _intensities)):
        for scan in own:
            for name, value in numbers(scan).items():
                values.setdefault(name, []).append(value)
    labelled = [scan for scan in scans if scan["labels"] is not None]
    return {
        "scans": len(scans),
        "patients": len({scan["patient"] for scan in scans}),
        "labelled": len(labelled),
        "modalities": dict(Counter(scan["modality"] for scan in scans)),
        "phases": dict(Counter(scan["phase"] or "not stated" for scan in scans)),
        "orientations": dict(Counter(scan["orientation"] for scan in scans)),
        "labels": dict(Counter(name for scan in labelled for name in scan["labels"])),
        "unit": unit,
        "quantities": {
            name: {
                "count": len(own),
                "median": round(statistics.median(own), 4),
                "lowest": min(own),
                "highest": max(own),
            }
            for name, own in values.items()
        },
    }


def _sizes(scan: Mapping[str, Any]) -> dict[str, float]:
    found = {
        f"{name}_{axis}": float(value)
        for name, key in (("size", "shape"), ("spacing", "spacing"), ("extent", "extent"))
        for axis, value in zip(AXES, scan[key])
    }
    found["body_ml"] = float(scan["body_ml"])
    return found | {f"{name} ml": float(label["ml"]) for name, label in (scan["labels"] or {}).items()}


def _intensities(scan: Mapping[str, Any]) -> dict[str, float]:
    found = {
        f"{name}_{percent}": float(scan[key][percent])
        for name, key in (("scan", "intensity"), ("body", "body"))
        for percent in SHOWN_PERCENTILES
    }
    return found | {f"{name} mean": float(label["mean"]) for name, label in (scan["labels"] or {}).items()}


def _of_one_unit(scans: Sequence[Mapping[str, Any]]) -> tuple[str | None, Sequence[Mapping[str, Any]]]:
    """The unit that the intensities of a group have in common, and the scans that have it."""
    if len({modality_name(scan["modality"]) for scan in scans}) > 1:
        return None, ()
    in_hu = [scan for scan in scans if scan["unit"] == HU]
    return (HU, in_hu) if in_hu else ("", scans)
