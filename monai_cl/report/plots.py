"""The report's plots as PNG files, for slides and papers."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from monai_cl.files import write_atomically
from monai_cl.report.classification import roc_predictions
from monai_cl.report.comparison import compare_runs
from monai_cl.report.figures.curves import curve_figure, curve_names
from monai_cl.report.figures.pairs import pairs_figure
from monai_cl.report.figures.roc import roc_figure
from monai_cl.report.runs import Run
from monai_cl.report.tables import summary_rows


def write_plots(folder: str | os.PathLike, runs: Sequence[Run]) -> list[Path]:
    """Write curves, paired differences and ROC curves of the runs as PNG.

    Args:
        folder: to write to; files of these names are replaced.
        runs: as `find_runs` gives them.

    Returns:
        the files.

    Raises:
        UserError: ``folder`` cannot be written.
    """
    plots = {f"curve_{kind}_{name}": curve_figure(runs, kind=kind, name=name) for kind, name in curve_names(runs)}
    for comparison in compare_runs(runs):
        if len(comparison.columns) > 1:
            for organ in summary_rows(comparison):
                plots[f"differences_{comparison.title}_{organ}"] = pairs_figure(comparison, organ=organ)
    for cohort, curves in roc_predictions(runs).items():
        plots[f"roc_{cohort}"] = roc_figure(curves, title=cohort)
    written: dict[Path, None] = {}
    for name, content in plots.items():
        path = _free(Path(folder) / f"{_slug(name)}.png", written)
        write_atomically(path, content)
        written[path] = None
    return list(written)


def _slug(name: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", name)
    return re.sub(r"-*_-*", "_", name).strip("-")[:100] or "plot"


def _free(path: Path, taken: dict[Path, None]) -> Path:
    """Two names that differ only in characters a file name cannot hold must not share a file."""
    number, free = 2, path
    while free in taken:
        free = path.with_stem(f"{path.stem}-{number}")
        number += 1
    return free
