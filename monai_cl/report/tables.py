"""Dice side by side and case by case; a table comes as Markdown and as HTML, everything escaped."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from monai_cl.report.columns import MEAN, Column, column_difference
from monai_cl.report.comparison import Comparison
from monai_cl.report.statistics import PairedDifference

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
        notes = "".join(f"- {escape_markdown(note)}\n" for note in self.notes)
        return f"**{escape_markdown(self.caption)}**\n\n" + "\n".join(lines) + "\n" + (f"\n{notes}" if notes else "")

    def text(self) -> str:
        """Columns under one another for a terminal: caption, table, notes."""
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows)]
        lines = [self.caption, ""]
        for row in (self.header, tuple("-" * width for width in widths), *self.rows):
            cells = [
                cell.ljust(width) if number < self.text_columns else cell.rjust(width)
                for number, (cell, width) in enumerate(zip(row, widths))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join([*lines, *self.notes])

    def html(self) -> str:
        """A table in a region that scrolls sideways and can be reached by keyboard; the notes below it."""
        # numbers have no class: there are many
        kinds = [' class="w"' if number < self.text_columns else "" for number in range(len(self.header))]
        head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for kind, name in zip(kinds, self.header))
        body = []
        for number, row in enumerate(self.rows):
            cells = "".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds[1:], row[1:]))
            start = '<tr class="strong">' if number in self.strong_rows else "<tr>"
            body.append(f'{start}<th scope="row">{escape(row[0])}</th>{cells}</tr>')
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return (
            f'<figure class="table">\n<figcaption>{escape(self.caption)}</figcaption>\n'
            f'<div class="scroll" role="group" tabindex="0" aria-label="{escape(self.caption)}">\n'
            f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
            + "\n".join(body)
            + "\n</tbody>\n</table>\n</div>\n</figure>\n"
            + (f'<ul class="notes">{notes}</ul>\n' if notes else "")
        )


def dice_table(comparison: Comparison) -> Table:
    """Mean Dice of every organ and over organs, one column per initialisation, with differences to the first column.

    Where runs have failed, their column and its difference are there again without them.

    Args:
        comparison: see :func:`monai_cl.report.compare_runs`.
    """
    reference, *others = comparison.columns
    header = ["organ", "cases", *(column.label for column in comparison.columns)]
    header += [f"{column.label} without failed runs" for column in comparison.columns if column.failed]
    for column in others:
        header += [_difference_name(comparison, column.label), "95 % interval", "p"]
        header += ["difference without failed runs", "95 % interval"] if _without_failed(reference, column) else []
    rows, notes, seeded = [], list(comparison.notes), False
    doubts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for organ in summary_rows(comparison):
        row = [row_name(organ), _cases(comparison, organ)]
        row += [_with_deviation(column.mean(organ), column.seed_deviation.get(organ)) for column in comparison.columns]
        row += [fraction(column.sound.mean(organ)) for column in comparison.columns if column.failed]
        for column in others:
            difference = column_difference(reference, column, organ)
            row += _difference_cells(difference)
            seeded = seeded or difference.seeds > 1
            if _without_failed(reference, column):
                sound = column_difference(reference.sound, column.sound, organ)
                row += _difference_cells(sound)[:2]
            if difference.note:
                doubts[column.label, difference.note].append(row_name(organ))
        rows.append(tuple(row))
    for (label, note), names in doubts.items():
        where = "every row" if len(names) == len(rows) else ", ".join(names)
        notes.append(f"{label} against {reference.label}, {where}: {note}.")
    if len(rows) > 1:
        notes.append("Mean over organs: a case's mean over the organs it has, then the mean over cases.")
    if any(comparison.absent(organ) for organ in comparison.organs):
        notes.append("A case whose truth lacks an organ is not counted for it (“absent”).")
    if any(column.seed_deviation for column in comparison.columns):
        notes.append("± is the standard deviation between seeds.")
    if others:
        notes.append(
            f"Differences are paired by {'seed and ' if seeded else ''}case; interval: bootstrap over "
            f"{'seeds and ' if seeded else ''}cases; p: Wilcoxon signed-rank over cases, two-sided, not corrected for "
            "the number of organs."
        )
    return Table(
        caption=f"Dice on {comparison.title}",
        header=tuple(header),
        rows=tuple(rows),
        notes=tuple(notes),
        strong_rows=frozenset({len(rows) - 1}) if len(rows) > 1 else frozenset(),
    )


def _without_failed(reference: Column, column: Column) -> bool:
    """Whether the difference of two columns is another one without runs that failed."""
    return bool(reference.failed or column.failed)


def summary_rows(comparison: Comparison) -> tuple[str, ...]:
    """The organs and, where there are several, the mean over them."""
    return comparison.organs if len(comparison.organs) == 1 else (*comparison.organs, MEAN)


def row_name(organ: str) -> str:
    """How a row of the tables is called."""
    return "mean over organs" if organ == MEAN else organ


def case_table(comparison: Comparison, *, organ: str = MEAN, name_case: Callable[[str], str] = str) -> Table:
    """Dice of every case for one organ (or the mean over organs), with differences to the first column.

    Args:
        comparison: see :func:`monai_cl.report.compare_runs`.
        organ: name of the organ; `MEAN`: the mean over the organs that every column has.
        name_case: how a case id is shown (pseudonyms).

    Raises:
        ValueError: when no run has the organ.
    """
    if organ != MEAN and organ not in comparison.organs:
        raise ValueError(f"organ must be one of {', '.join(comparison.organs)}, got {organ!r}")
    rows = []
    # by the name shown: the order of hashed cases must not reveal the order of their ids
    for case in sorted(comparison.cases, key=name_case):
        values = [column.dice[organ].get(case) for column in comparison.columns]
        row = [name_case(case), *map(fraction, values)]
        row += [signed(None if None in (values[0], value) else value - values[0]) for value in values[1:]]
        rows.append(tuple(row))
    return Table(
        caption=f"Dice case by case, {row_name(organ)}, {comparison.title}",
        header=(
            "case",
            *(column.label for column in comparison.columns),
            *(_difference_name(comparison, column.label) for column in comparison.columns[1:]),
        ),
        rows=tuple(rows),
    )


def _difference_name(comparison: Comparison, label: str) -> str:
    if len(comparison.columns) == 2:
        return "difference"
    return f"{label} − {comparison.columns[0].label}"


def _cases(comparison: Comparison, organ: str) -> str:
    counts = [len(column.dice[organ]) for column in comparison.columns]
    text = str(counts[0]) if len(set(counts)) == 1 else " / ".join(map(str, counts))
    absent = comparison.absent(organ)
    return f"{text} ({absent} absent)" if absent else text


def _difference_cells(found: PairedDifference) -> list[str]:
    interval = NOTHING if found.low is None else f"{signed(found.low)} to {signed(found.high)}"
    if found.p_value is None:
        p_value = NOTHING
    else:
        p_value = "< 0.001" if found.p_value < 0.001 else f"{found.p_value:.3f}"
    return [signed(found.mean), interval, p_value]


def fraction(value: float | None) -> str:
    """Three decimals, or the sign for a missing value."""
    return NOTHING if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """Three decimals with a sign, or the sign for a missing value; what rounds to zero has no sign."""
    if value is None:
        return NOTHING
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", "−")


def _with_deviation(value: float | None, deviation: float | None) -> str:
    return fraction(value) if value is None or deviation is None else f"{value:.3f} ± {deviation:.3f}"


def _markdown_row(cells: Sequence[str], *, strong: bool = False) -> str:
    return (
        "| " + " | ".join(f"**{escape_markdown(cell)}**" if strong else escape_markdown(cell) for cell in cells) + " |"
    )


def escape_markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    text = escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\|*_`\[\]])", r"\\\1", text)
