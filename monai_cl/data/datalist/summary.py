"""What a data list holds, as a table."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from monai_cl.data.datalist.model import SPLITS, DataList, DataSet

HEADINGS = ("data set", "training", "validation", "test", "labelled", "patients", "folds", "organs", "licence")
_WRAPPED = {"organs": 44, "licence": 24}


def summary_rows(data_list: DataList) -> list[dict[str, str]]:
    """A row for each data set, and their total where there are several. Keys are ``HEADINGS``."""
    rows = [_row(dataset) for dataset in data_list.datasets]
    if len(rows) > 1:
        total = dict.fromkeys(HEADINGS, "")
        total["data set"] = "total"
        for key in (*SPLITS, "labelled", "patients"):
            total[key] = str(sum(int(row[key]) for row in rows))
        rows.append(total)
    return rows


def _row(dataset: DataSet) -> dict[str, str]:
    items = [item for _, _, item in dataset.entries()]
    folds = Counter(item["fold"] for item in dataset.splits["training"])
    sizes = "+".join(str(folds[fold]) for fold in sorted(set(folds) - {None}))
    return {
        "data set": dataset.name,
        **{split: str(len(dataset.splits[split])) for split in SPLITS},
        "labelled": str(sum("label" in item for item in items)),
        "patients": str(len({item["patient"] for item in items})),
        "folds": f"{len(set(folds) - {None})} ({sizes})" if sizes else "none",
        "organs": ", ".join(f"{label} {organ}" for label, organ in sorted(dataset.classes.items())),
        "licence": str(dataset.document.get("licence", "not stated")),
    }


def format_summary(data_list: DataList) -> str:
    """The table as text for a terminal: name of the list, one line per data set (organs, licence wrap), the total."""
    rows = summary_rows(data_list)
    shown = [
        key for key in HEADINGS if key in ("data set", "training") or any(row[key] not in ("", "0") for row in rows)
    ]
    cells = [[_wrap(key, row[key]) for key in shown] for row in rows]
    table = [[[key] for key in shown], *cells]
    widths = [max(len(line) for row in table for line in row[column]) for column in range(len(shown))]
    rule = "  ".join("-" * width for width in widths)
    lines = [f"{data_list.name} ({data_list.path}), sha256 {data_list.sha256[:12]}", ""]
    for number, row in enumerate(table):
        lines += _lines(row, shown, widths)
        if number == 0 or (len(rows) > 1 and number == len(rows) - 1):
            lines.append(rule)
    return "\n".join(lines)


def _wrap(key: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WRAPPED[key]) or [""] if key in _WRAPPED else [text]


def _lines(row: Sequence[Sequence[str]], shown: Sequence[str], widths: Sequence[int]) -> list[str]:
    lines = []
    for depth in range(max(map(len, row))):
        parts = []
        for cell, key, width in zip(row, shown, widths):
            text = cell[depth] if depth < len(cell) else ""
            is_number = key in (*SPLITS, "labelled", "patients")
            parts.append(text.rjust(width) if is_number else text.ljust(width))
        lines.append("  ".join(parts).rstrip())
    return lines
