"""The first screen: did it help? One figure of the paired differences between runs and their controls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from monai_cl.report.classification import classification_results
from monai_cl.report.columns import MEAN, Column, column_difference
from monai_cl.report.comparison import Comparison
from monai_cl.report.method_differences import method_differences
from monai_cl.report.page.forest import ForestRow, forest_html, verdict
from monai_cl.report.runs import SCRATCH, Run
from monai_cl.report.statistics import PairedDifference
from monai_cl.report.tables import fraction, row_name, signed, summary_rows


def answer_html(comparisons: Sequence[Comparison], runs: Sequence[Run]) -> str:
    """The answer in a sentence, the figure, and the results that cannot be compared with others.

    Args:
        comparisons: of the runs.
        runs: of the report.
    """
    parts = [(comparison_rows(part), part.columns[0].runs[0].initialisation == SCRATCH) for part in comparisons]
    dice, auc = [row for rows, _ in parts for row in rows], auc_rows(runs)
    # a difference of two encoders, or of two settings, does not say whether pre-training helped
    answers = [*(row for rows, has_control in parts if has_control for row in rows), *auc]
    panels = [("difference of mean Dice", dice), ("difference of AUC", auc)]
    figure = "".join(forest_html(rows, quantity=quantity) for quantity, rows in panels if rows)
    single = [line for comparison in comparisons for line in _single(comparison)]
    single += [] if auc else classification_results(runs)
    text = f'<p class="lead">{escape(_sentence(answers))}</p>\n' if answers else ""
    if figure:
        dots = [("case (Dice)", dice), ("seed (AUC)", auc)]
        units = " or ".join(unit for unit, rows in dots if any(row.found.differences for row in rows))
        caption = f"A small dot is one {units}, the large one the mean" if units else "The dot is the mean"
        caption += ", the bar its 95 % interval."
        text += f'<figure class="answer">{figure}<figcaption>{caption}</figcaption></figure>\n'
    return text + (f'<ul class="result">{"".join(single)}</ul>\n' if single else "")


def comparison_rows(comparison: Comparison, *, organ: str | None = None) -> list[ForestRow]:
    """A row for each column but the first, and one without failed runs where there are such; several are a group.

    Args:
        comparison: of segmentation runs.
        organ: one of its organs, or the mean over them; None: the summary, named after the comparison.
    """
    what = summary_rows(comparison)[-1] if organ is None else organ
    reference, *others = comparison.columns
    rows = []
    for column in others:
        what_of = comparison.title if organ is None else row_name(organ)
        group, name = ("", what_of) if len(others) == 1 else (what_of, f"{column.label} − {reference.label}")
        pairs = [(name, reference, column)]
        if reference.failed or column.failed:
            pairs.append((f"{name}, without failed runs", reference.sound, column.sound))
        for title, before, after in pairs:
            found = column_difference(before, after, what)
            if found.mean is not None:
                rows.append(ForestRow(title, _detail(before, after, what, found), found, group))
    return rows


def auc_rows(runs: Sequence[Run]) -> list[ForestRow]:
    """A row for each classification method that has a control.

    Args:
        runs: of the report.
    """
    rows = []
    for one in method_differences(runs):
        low, high = one.found.interval or (None, None)
        note, seeds = one.found.note or "", one.found.seeds
        found = PairedDifference(
            one.found.patients, one.found.mean, low, high, None, note, seeds, one.found.by_seed if seeds > 1 else ()
        )
        detail = f"AUC: {one.control} {one.found.first:.3f}, {one.method} {one.found.second:.3f}; "
        detail += f"{one.found.patients} patients{_seeds(seeds)}"
        rows.append(ForestRow(f"{one.method} − {one.control}", detail, found, one.cohort))
    return rows


def _detail(before: Column, after: Column, organ: str, found: PairedDifference) -> str:
    cases = len(found.differences)
    return (
        f"{before.label} {fraction(before.mean(organ))}, {after.label} {fraction(after.mean(organ))}; "
        f"{cases} case{'' if cases == 1 else 's'}{_seeds(found.seeds)}"
    )


def _seeds(count: int) -> str:
    return f", {count} seeds" if count > 1 else ""


def _sentence(rows: Sequence[ForestRow]) -> str:
    """Yes, no, or not shown; counted where there are several comparisons."""
    words = Counter(verdict(row.found) for row in rows)
    if len(rows) == 1:
        (row,) = rows
        found, word = row.found, verdict(row.found)
        interval = "" if found.low is None else f" (95 % interval {signed(found.low)} to {signed(found.high)})"
        start = {"better": "Yes", "worse": "No, it did harm", "no difference shown": "Not shown"}.get(word, "Unknown")
        end = f": {found.note}" if word == "too few to say" and found.note else ""
        return f"{start}: {signed(found.mean)}{interval}{end}."
    said = {
        "better": "better in",
        "worse": "worse in",
        "no difference shown": "no difference shown in",
        "too few to say": "too few cases to say in",
    }
    counted = [f"{text} {words[word]}" for word, text in said.items() if words[word]]
    text = ", ".join(counted)
    return f"{text[:1].upper()}{text[1:]} of {len(rows)} comparisons."


def _single(comparison: Comparison) -> list[str]:
    """The result of a comparison with one column, or whose columns share no case."""
    reference, *others = comparison.columns
    start = reference.mean(MEAN)
    if start is None or any(column_difference(reference, column).mean is not None for column in others):
        return []
    sound = f" (without failed runs {fraction(reference.sound.mean(MEAN))})" if reference.failed else ""
    return [
        f"<li>{escape(comparison.title)}: mean Dice {escape(reference.label)} <b>{start:.3f}</b>{sound}; "
        "no other run here can be compared with it.</li>"
    ]
