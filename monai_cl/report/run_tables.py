"""Tables about the runs themselves: what ran, the numbers behind the curves, where configurations differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai_cl.report.columns import mean_dice
from monai_cl.report.comparison import labelled_scans
from monai_cl.report.runs import Run
from monai_cl.report.settings import flat_config
from monai_cl.report.starts import start_labels
from monai_cl.report.tables import NOTHING, Table, fraction

_LONGEST_VALUE = 200  # characters of an entry of a configuration, in a table


def runs_table(runs: Sequence[Run]) -> Table:
    """What ran: one row per run.

    Args:
        runs: every run of the report, in the order of the rows.
    """
    labels = start_labels(runs)
    # a column only for the kinds that occur
    judged = any(run.kind == "classification" for run in runs)
    rows = []
    for run in runs:
        rows.append(
            (
                run.name,
                run.kind,
                labels[run.initialisation] if run.kind == "segmentation" else NOTHING,
                ", ".join(filter(None, (run.data_name, labelled_scans([run]) if run.kind == "segmentation" else ""))),
                NOTHING if run.fold is None else str(run.fold),
                str(run.seed),
                str(len(run.data_list.get("training_cases") or [])),
                fraction(mean_dice(run)),
                *([fraction((run.results.get("metrics") or {}).get("auc"))] if judged else []),
                _duration(run.results.get("wall_seconds")),
            )
        )
    header = ("run", "kind", "start", "data", "fold", "seed", "training cases", "mean Dice")
    header += (*(["AUC"] if judged else []), "time")
    return Table(caption="Runs", header=header, rows=tuple(rows), text_columns=4)


def curves_table(run: Run) -> Table:
    """First, last and extreme value of every curve of a run: the numbers behind the diagnostics.

    Args:
        run: a run with its recorded curves.
    """
    rows = []
    for name, points in run.results["curves"].items():
        values = [value for _, value in points if value is not None]
        lost = len(points) - len(values)
        if values:
            shown = [f"{value:.4g}" for value in (values[0], values[-1], min(values), max(values))]
        else:
            shown = [NOTHING] * 4
        rows.append((name, *shown, f"{lost} of {len(points)}"))
    header = ("quantity", "first", "last", "lowest", "highest", "not finite")
    # a column for what has happened
    width = 6 if any(None in (value for _, value in points) for points in run.results["curves"].values()) else 5
    return Table(f"Quantities of {run.title}", header[:width], tuple(row[:width] for row in rows))


def config_table(runs: Sequence[Run]) -> Table | None:
    """The configuration entries in which runs of one kind differ; None when there are none.

    Args:
        runs: the runs to compare, within their kind.
    """
    flat = [dict(flat_config(run.results["config"])) for run in runs]
    keys = list(dict.fromkeys(key for config in flat for key in config))
    different = [key for key in keys if len({config.get(key, NOTHING) for config in flat}) > 1]
    if not different:
        return None
    return Table(
        caption="Where the configurations differ",
        header=("entry", *(run.name for run in runs)),
        rows=tuple((key, *(_short(config.get(key, NOTHING)) for config in flat)) for key in different),
        text_columns=1 + len(runs),
    )


def _short(value: str) -> str:
    """A list of handlers takes pages; the whole is with the run."""
    return value if len(value) <= _LONGEST_VALUE else f"{value[: _LONGEST_VALUE - 2]} …"


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, (int, float)):
        return NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
