"""Tables of a report: Dice side by side, values per case, what ran; as Markdown and as HTML, everything escaped."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from monai_cl.report.comparison import MEAN, Comparison, share_of_labels
from monai_cl.report.runs import Run, initialisation_labels
from monai_cl.report.statistics import PairedDifference, paired_difference

NOTHING = "–"


@dataclass(frozen=True)
class Table:
    """Cells are plain text; the first ``text_columns`` are words (left), the rest numbers (right).

    Attributes:
        notes: sentences printed under the table.
        strong_rows: indices of the rows that sum up.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    text_columns: int = 1
    strong_rows: frozenset[int] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        if any(len(row) != len(self.header) for row in self.rows):
            raise ValueError(f"every row must have {len(self.header)} cells, got {[len(row) for row in self.rows]}")

    def markdown(self) -> str:
        """GitHub-flavoured Markdown: caption, table, notes as a list."""
        rule = ["---"] * self.text_columns + ["---:"] * (len(self.header) - self.text_columns)
        lines = [_markdown_row(self.header), "| " + " | ".join(rule) + " |"]
        lines += [_markdown_row(row, strong=number in self.strong_rows) for number, row in enumerate(self.rows)]
        notes = "".join(f"- {_markdown(note)}\n" for note in self.notes)
        return f"**{_markdown(self.caption)}**\n\n" + "\n".join(lines) + "\n" + (f"\n{notes}" if notes else "")

    def html(self) -> str:
        """A table in a region that scrolls sideways and can be reached by the keyboard; the notes under it."""
        kinds = ["w" if number < self.text_columns else "n" for number in range(len(self.header))]
        head = "".join(f'<th scope="col" class="{kind}">{escape(name)}</th>' for kind, name in zip(kinds, self.header))
        body = []
        for number, row in enumerate(self.rows):
            cells = "".join(f'<td class="{kind}">{escape(cell)}</td>' for kind, cell in zip(kinds[1:], row[1:]))
            start = '<tr class="strong">' if number in self.strong_rows else "<tr>"
            body.append(f'{start}<th scope="row">{escape(row[0])}</th>{cells}</tr>')
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return (
            f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(self.caption)}">\n'
            f"<table>\n<caption>{escape(self.caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
            + "\n".join(body)
            + "\n</tbody>\n</table>\n</div>\n"
            + (f'<ul class="notes">{notes}</ul>\n' if notes else "")
        )


def dice_table(comparison: Comparison, *, resamples: int = 10_000, seed: int = 0) -> Table:
    """Mean Dice of every organ and over organs, a column an initialisation, with differences to the first column.

    Args:
        comparison: see :func:`monai_cl.report.compare_runs`.
        resamples, seed: of the bootstrap, see :func:`monai_cl.report.paired_difference`.
    """
    reference, *others = comparison.columns
    header = ["organ", "cases", *(column.label for column in comparison.columns)]
    for column in others:
        header += [_difference_name(comparison, column.label), "95 % interval", "p"]
    rows, notes = [], list(comparison.notes)
    for organ in (*comparison.organs, MEAN):
        row = [organ if organ != MEAN else "mean over organs", _cases(comparison, organ)]
        row += [_with_deviation(column.mean(organ), column.seed_deviation.get(organ)) for column in comparison.columns]
        for column in others:
            found = paired_difference(reference.dice[organ], column.dice[organ], resamples=resamples, seed=seed)
            row += _difference_cells(found)
            if found.note:
                notes.append(f"{column.label} against {reference.label}, {row[0]}: {found.note}.")
        rows.append(tuple(row))
    if any(comparison.absent(organ) for organ in comparison.organs):
        notes.append("A case whose truth lacks an organ counts neither for nor against it (“absent”).")
    if any(column.seed_deviation for column in comparison.columns):
        notes.append("± is the standard deviation between seeds.")
    if others:
        notes.append(
            "Differences are paired by case; interval: bootstrap over cases; p: Wilcoxon signed-rank, two-sided, "
            "not corrected for the number of organs."
        )
    return Table(
        caption=f"Dice on {comparison.title}",
        header=tuple(header),
        rows=tuple(rows),
        notes=tuple(_merge_repeats(notes)),
        strong_rows=frozenset({len(rows) - 1}),
    )


def case_table(comparison: Comparison, *, organ: str = MEAN, name_case: Callable[[str], str] = str) -> Table:
    """Dice of every case for one organ (or the mean over organs), with differences to the first column.

    Args:
        name_case: how a case id is shown (pseudonyms).

    Raises:
        ValueError: when no run has the organ.
    """
    if organ != MEAN and organ not in comparison.organs:
        raise ValueError(f"organ must be one of {', '.join(comparison.organs)}, got {organ!r}")
    rows = []
    for case in comparison.cases:
        values = [column.dice[organ].get(case) for column in comparison.columns]
        row = [name_case(case), *map(_fraction, values)]
        row += [_signed(None if None in (values[0], value) else value - values[0]) for value in values[1:]]
        rows.append(tuple(row))
    return Table(
        caption=f"{'Mean over organs' if organ == MEAN else organ}, case by case, {comparison.title}",
        header=(
            "case",
            *(column.label for column in comparison.columns),
            *(_difference_name(comparison, column.label) for column in comparison.columns[1:]),
        ),
        rows=tuple(rows),
    )


def runs_table(runs: Sequence[Run]) -> Table:
    """What ran: one row a run."""
    labels = initialisation_labels(runs)
    rows = []
    for run in runs:
        mean = (run.results.get("metrics") or {}).get("mean_dice")
        rows.append(
            (
                run.name,
                run.kind,
                labels[run.initialisation] if run.kind == "segmentation" else NOTHING,
                f"{run.data_name}, {share_of_labels(run.label_fraction)}",
                NOTHING if run.fold is None else str(run.fold),
                str(run.seed),
                str(len(run.data_list.get("training_cases") or [])),
                _fraction(mean) if isinstance(mean, (int, float)) else NOTHING,
                _duration(run.results.get("wall_seconds")),
                str(run.results["device"]),
            )
        )
    header = ("run", "kind", "start", "data", "fold", "seed", "training cases", "mean Dice", "time", "device")
    return Table(caption="Runs", header=header, rows=tuple(rows), text_columns=4)


def curves_table(run: Run) -> Table:
    """First, last and extreme value of every curve of a run: the numbers behind the diagnostics."""
    rows = []
    for name, points in run.results["curves"].items():
        values = [value for _, value in points if value is not None]
        lost = len(points) - len(values)
        if values:
            shown = [f"{value:.4g}" for value in (values[0], values[-1], min(values), max(values))]
        else:
            shown = [NOTHING] * 4
        rows.append((name, *shown, str(len(points)), str(lost)))
    return Table(
        caption=f"Quantities of {run.name}",
        header=("quantity", "first", "last", "lowest", "highest", "points", "not finite"),
        rows=tuple(rows),
    )


def config_table(runs: Sequence[Run]) -> Table | None:
    """The configuration entries in which runs of one kind differ; None when there are none."""
    flat = [dict(_flatten(run.results["config"])) for run in runs]
    keys = list(dict.fromkeys(key for config in flat for key in config))
    different = [key for key in keys if len({config.get(key, NOTHING) for config in flat}) > 1]
    if not different:
        return None
    return Table(
        caption="Where the configurations differ",
        header=("entry", *(run.name for run in runs)),
        rows=tuple((key, *(config.get(key, NOTHING) for config in flat)) for key in different),
        text_columns=1 + len(runs),
    )


def _difference_name(comparison: Comparison, label: str) -> str:
    if len(comparison.columns) == 2:
        return f"difference to {comparison.columns[0].label}"
    return f"{label} − {comparison.columns[0].label}"


def _cases(comparison: Comparison, organ: str) -> str:
    counts = [len(column.dice[organ]) for column in comparison.columns]
    text = str(counts[0]) if len(set(counts)) == 1 else " / ".join(map(str, counts))
    absent = comparison.absent(organ)
    return f"{text} ({absent} absent)" if absent else text


def _difference_cells(found: PairedDifference) -> list[str]:
    interval = NOTHING if found.low is None else f"{_signed(found.low)} to {_signed(found.high)}"
    if found.p_value is None:
        p_value = NOTHING
    else:
        p_value = "< 0.001" if found.p_value < 0.001 else f"{found.p_value:.3f}"
    return [_signed(found.mean), interval, p_value]


def _merge_repeats(notes: Sequence[str]) -> list[str]:
    """Notes that differ in the organ only become one: thirteen organs of five cases would print the same thing."""
    merged: dict[tuple[str, str], list[str]] = {}
    for note in notes:
        match = re.fullmatch(r"(.* against .*), ([^,]*): (.*)", note)
        key = (match[1], match[3]) if match else (note, "")
        merged.setdefault(key, []).append(match[2] if match else "")
    return [
        note if not why else f"{note}, {organs[0] if len(organs) == 1 else f'{len(organs)} rows'}: {why}"
        for (note, why), organs in merged.items()
    ]


def _fraction(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _signed(value: float | None) -> str:
    if value is None:
        return NOTHING
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", "−")


def _with_deviation(value: float | None, deviation: float | None) -> str:
    return _fraction(value) if value is None or deviation is None else f"{value:.3f} ± {deviation:.3f}"


def _duration(seconds: Any) -> str:
    if not isinstance(seconds, (int, float)):
        return NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def _flatten(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        return [pair for key, item in value.items() for pair in _flatten(item, f"{prefix}{key}.")]
    return [(prefix.rstrip("."), str(value))]


def _markdown_row(cells: Sequence[str], *, strong: bool = False) -> str:
    return "| " + " | ".join(f"**{_markdown(cell)}**" if strong else _markdown(cell) for cell in cells) + " |"


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    text = escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\|*_`\[\]])", r"\\\1", text)
