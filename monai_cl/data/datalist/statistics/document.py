"""The statistics of a list as one document: measured, written as JSON or CSV, and read again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.items import describe_item
from monai_cl.data.datalist.model import SPLITS, DataList
from monai_cl.data.datalist.statistics.outliers import find_outliers
from monai_cl.data.datalist.statistics.quantities import group_summaries, quantities, summarise
from monai_cl.data.datalist.statistics.scan import measure_scan
from monai_cl.data.records.csv_rows import csv_text
from monai_cl.errors import UserError
from monai_cl.jobs import for_each

KIND, VERSION = "statistics of a data list", 2


def list_statistics(
    data_list: DataList, *, splits: Sequence[str] = SPLITS, workers: int = 1, progress: bool = False
) -> dict[str, Any]:
    """Measure every scan of a list; a scan that cannot be read is named and left out.

    Args:
        data_list: of `load_data_list`.
        splits: parts of the list to measure.
        workers: processes, each with one scan and its label in memory; -1 for one per processor.
        progress: show a progress bar.

    Returns:
        ``kind``, ``version``, ``data_list`` (name, path, sha256), ``scans`` (of `measure_scan`, with their ``split``),
        ``unreadable`` (id, dataset, image, reason), ``groups`` (of `group_summaries`: one for each data set and
        modality), ``overall`` (of `summarise`), ``outliers`` (of `find_outliers`). JSON can hold it.

    Raises:
        UserError: no scan in these splits.
    """
    tasks = [(split, item) for split in splits for item in data_list.items(split)]
    if not tasks:
        raise UserError(
            f"data list {data_list.path}",
            expected=f"scans under {', '.join(splits)}",
            found="none",
            remedy="name others",
        )
    results = for_each(
        _measured, [(item,) for _, item in tasks], workers=workers, what="statistics" if progress else None
    )
    scans: list[dict[str, Any]] = []
    unreadable: list[dict[str, str]] = []
    for (split, item), result in zip(tasks, results):
        if isinstance(result, str):
            names = {key: str(item[key]) for key in ("id", "dataset", "image")}
            unreadable.append({**names, "reason": result})
        else:
            scans.append({**result, "split": split})
    return {
        "kind": KIND,
        "version": VERSION,
        "data_list": {"name": data_list.name, "path": str(data_list.path), "sha256": data_list.sha256},
        "scans": scans,
        "unreadable": unreadable,
        "groups": group_summaries(scans),
        "overall": summarise(scans),
        "outliers": find_outliers(scans),
    }


def _measured(item: Mapping[str, Any]) -> dict[str, Any] | str:
    try:
        return measure_scan(item)
    except (UserError, OSError, MemoryError) as error:
        return f"{describe_item(item)}: {str(error) or type(error).__name__}".replace("\n", " ")


def statistics_json(document: Mapping[str, Any]) -> str:
    """Statistics as JSON text, which `read_statistics` and `plan` take.

    Args:
        document: of `list_statistics`.
    """
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def statistics_csv(document: Mapping[str, Any]) -> str:
    """Statistics as CSV, a row for each scan: who it is, and its `quantities`; empty where it lacks a label.

    Args:
        document: of `list_statistics`.
    """
    words = ("id", "patient", "dataset", "split", "image", "modality", "unit", "phase", "orientation", "oblique")
    rows = [{**{key: scan[key] for key in words}, **quantities(scan)} for scan in document["scans"]]
    return csv_text(list(dict.fromkeys([*words, *(key for row in rows for key in row)])), rows)


def read_statistics(path: str | Path) -> dict[str, Any]:
    """The document that `statistics_json` has written to a file.

    Args:
        path: the JSON file.

    Raises:
        UserError: no such file, not JSON, not such a document, or without a scan.
    """
    expected = 'the JSON file that "datalist statistics" writes'
    remedy = "make it with python -m monai_cl datalist statistics LIST --output statistics.json"
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(path, expected=expected, cause=error, remedy=remedy) from error
    if not isinstance(document, dict) or (document.get("kind"), document.get("version")) != (KIND, VERSION):
        raise UserError(path, expected=expected, found="another document, or that of another version", remedy=remedy)
    if not document.get("scans"):
        raise UserError(path, expected="at least one scan that could be read", found="none", remedy=remedy)
    return document
