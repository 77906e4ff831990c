"""The numbers of a scan by name, and what they are in a group of scans: count, median, range."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

AXES = "ras"
SHOWN_PERCENTILES = ("0.5", "50", "99.5")


def quantities(scan: Mapping[str, Any]) -> dict[str, float]:
    """``size_r`` (voxels), ``spacing_r`` and ``extent_r`` (mm) and so on, percentiles of intensity such as ``body_50``,
    ``body_ml``, and of each label ``<name> ml`` and ``<name> mean``.

    Args:
        scan: of `measure_scan`.
    """
    found = {
        f"{name}_{axis}": float(value)
        for name, key in (("size", "shape"), ("spacing", "spacing"), ("extent", "extent"))
        for axis, value in zip(AXES, scan[key])
    }
    for name, key in (("scan", "intensity"), ("body", "body")):
        found |= {f"{name}_{percent}": float(scan[key][percent]) for percent in SHOWN_PERCENTILES}
    found["body_ml"] = float(scan["body_ml"])
    for name, label in (scan["labels"] or {}).items():
        found |= {f"{name} ml": float(label["ml"]), f"{name} mean": float(label["mean"])}
    return found


def summarise(scans: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a group of scans has in common.

    Args:
        scans: of `measure_scan`.

    Returns:
        ``scans``, ``patients``, ``labelled``: counts; ``modalities``, ``phases``, ``orientations`` and ``labels``:
        word -> scans; ``quantities``: name -> ``count``, ``median``, ``lowest``, ``highest``.
    """
    values: dict[str, list[float]] = {}
    for scan in scans:
        for name, value in quantities(scan).items():
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
