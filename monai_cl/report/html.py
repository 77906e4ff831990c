"""The report: one HTML file that opens without a network, prints, and fits a phone."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from monai_cl.files import write_atomically
from monai_cl.report.classification import classification_tables, patient_table, pca_html, robustness_html, roc_html
from monai_cl.report.comparison import Comparison, compare_runs
from monai_cl.report.figures.curves import curve_lines, curve_names, is_wide
from monai_cl.report.figures.meanings import meanings
from monai_cl.report.figures.quantities import quantity_title, quantity_unit
from monai_cl.report.method_differences import difference_table
from monai_cl.report.method_tables import cohorts_of, method_runs
from monai_cl.report.page.answer import answer_html, comparison_rows
from monai_cl.report.page.charts import chart_legend, line_chart
from monai_cl.report.page.folding import folded, folded_section
from monai_cl.report.page.forest import forest_html
from monai_cl.report.page.pictures import run_pictures
from monai_cl.report.page.shell import page_html, section_html
from monai_cl.report.page.strips import strips_html
from monai_cl.report.page.what_ran import facts_html, what_ran_html
from monai_cl.report.privacy import case_namer, without_names
from monai_cl.report.run_tables import curves_table, runs_table
from monai_cl.report.runs import Run, find_runs
from monai_cl.report.tables import Table, case_table, dice_table, escape_markdown, summary_rows
from monai_cl.report.top_lines import top_lines


def write_report(
    output: str | os.PathLike,
    *runs: str | os.PathLike,
    title: str | None = None,
    hash_patients: bool | str = False,
) -> Path:
    """Write the report on ``runs`` to ``output``: HTML, or the tables alone as Markdown where it ends in ``.md``.

    Args:
        output: the file to write, ``.html`` or ``.md``.
        runs: folders with a ``results.json`` in or below them, or such files.
        title: heading of the page; made from the runs when None.
        hash_patients: show case ids as keyed hashes, runs under numbers, and no path, configuration or command, which
            may hold names. True draws a new key, so that two reports cannot be matched; a string is the key.

    Raises:
        UserError: when there are no results, they cannot be read, or ``output`` cannot be written.
    """
    run_list = find_runs(*runs)
    output = Path(output)
    render = render_markdown if output.suffix.lower() == ".md" else render_html
    # a title from a command line may hold a lone surrogate
    page = render(run_list, title=title, hash_patients=hash_patients).encode("utf-8", errors="backslashreplace")
    write_atomically(output, page)
    return output


def render_markdown(runs: Sequence[Run], *, title: str | None = None, hash_patients: bool | str = False) -> str:
    """The tables of the report as Markdown.

    Args:
        runs: the runs of the report.
        title: heading; None: made from the runs.
        hash_patients: hide case ids, names and paths, see :func:`write_report`.
    """
    name_case = case_namer(hash_patients)
    runs = without_names(runs) if hash_patients else runs
    tables = [runs_table(runs)]
    comparisons = compare_runs(runs)
    for comparison in comparisons:
        tables += [
            dice_table(comparison),
            case_table(comparison, organ=summary_rows(comparison)[-1], name_case=name_case),
        ]
    tables += classification_tables(runs)
    tables += [patient_table(runs, cohort, name_case=name_case) for cohort in cohorts_of(runs)]
    head = [f"# {escape_markdown(title or default_title(runs))}"] + [
        f"> {escape_markdown(line)}" for line in top_lines(runs, comparisons, name_case)
    ]
    return "\n\n".join([*head, *(table.markdown() for table in tables)])


def render_html(runs: Sequence[Run], *, title: str | None = None, hash_patients: bool | str = False) -> str:
    """The report as one HTML document: no script, nothing loaded from elsewhere.

    Args:
        runs: the runs of the report.
        title: heading of the page; None: made from the runs.
        hash_patients: hide case ids, names and paths, see :func:`write_report`.
    """
    name_case, private = case_namer(hash_patients), bool(hash_patients)
    runs = without_names(runs) if private else runs
    title = title or default_title(runs)
    comparisons = compare_runs(runs)
    pretrainings = [run for run in runs if run.kind == "pretraining"]
    segmentations = [run for run in runs if run.kind == "segmentation"]
    answer = answer_html(comparisons, runs)
    pictures = strips_html(segmentations, name_case, private=private)
    sections = [
        ("Dice", _dice(comparisons)),
        ("Case by case", _cases(comparisons, name_case)),
        ("Classification", _classification(runs)),
        ("Patients", _patients(runs, name_case)),
        ("Robustness", robustness_html(runs, private=private)),
        ("Representations", pca_html(runs, private=private)),
        ("Curves", _curves(runs, kind="segmentation")),
        ("Pre-training", _pretraining(pretrainings, runs, name_case, private=private)),
        ("What ran", what_ran_html(runs, name_case, private=private)),
    ]
    question = "Did it help?" if 'class="lead"' in answer else "Result"
    body = section_html("result", question, answer) + section_html("overlays", "Overlays", pictures)
    body += "".join(folded_section(name, text) for name, text in sections if text)
    ran = sorted(str(run.results["created"])[:10] for run in runs)
    days = ran[0] if ran[0] == ran[-1] else f"{ran[0]} to {ran[-1]}"
    sub = f"{len(runs)} run{'' if len(runs) == 1 else 's'}, {days}"
    return page_html(body, title=title, sub=sub, banners=top_lines(runs, comparisons, name_case))


def default_title(runs: Sequence[Run]) -> str:
    """What the page is about, in words."""
    several = len(method_runs(runs)) > 1 or any(len(comparison.columns) > 1 for comparison in compare_runs(runs))
    if several and any(run.is_pretrained for run in runs):
        return "What pre-training changed"
    return runs[0].name if len(runs) == 1 else f"Report on {len(runs)} runs"


def _dice(comparisons: Sequence[Comparison]) -> str:
    """The table of each comparison and, beside it, its differences organ by organ."""
    parts = []
    for comparison in comparisons:
        rows = [row for organ in summary_rows(comparison) for row in comparison_rows(comparison, organ=organ)]
        figure = forest_html(rows, quantity="difference of Dice", compact=True) if rows else ""
        parts.append(f'<div class="split">\n<div>{dice_table(comparison).html()}</div>\n{figure}</div>\n')
    return "".join(parts)


def _classification(runs: Sequence[Run]) -> str:
    """Methods side by side: their measures, their differences, their ROC curves."""
    differences = difference_table(runs)
    tables = [*classification_tables(runs), *([] if differences is None else [differences])]
    if not tables:
        return ""
    left = "".join(table.html() for table in tables)
    return f'<div class="split">\n<div>{left}</div>\n<div>{"".join(roc_html(runs))}</div>\n</div>\n'


def _patients(runs: Sequence[Run], name_case: Callable[[str], str]) -> str:
    return "".join(
        folded(f"Every patient of {cohort}", patient_table(runs, cohort, name_case=name_case).html())
        for cohort in cohorts_of(runs)
    )


def _cases(comparisons: Sequence[Comparison], name_case: Callable[[str], str]) -> str:
    """The mean of every case, comparisons side by side, then organ by organ."""
    means, single = [], []
    for comparison in comparisons:
        *organs, last = summary_rows(comparison)
        means.append(f"<div>{case_table(comparison, organ=last, name_case=name_case).html()}</div>\n")
        tables = [case_table(comparison, organ=organ, name_case=name_case).html() for organ in organs]
        if tables:
            body = _grid([f"<div>{table}</div>\n" for table in tables])
            single.append(folded(f"Organ by organ, {comparison.title}", body))
    return _grid(means) + "".join(single)


def _curves(runs: Sequence[Run], *, kind: str) -> str:
    main, minor = [], []
    names = [name for key, name in curve_names(runs) if key == kind]
    drawn = {name: curve_lines(runs, kind=kind, name=name) for name in names}
    # a legend of all charts, so that a line has one colour
    labels = list(dict.fromkeys(label for lines in drawn.values() for label in lines))
    for name, lines in drawn.items():
        figure = line_chart(
            lines,
            labels=labels,
            title=quantity_title(name),
            x_label="iteration",
            y_label=quantity_unit(name),
            logarithmic=is_wide(lines),
        )
        # one curve per organ would hide the others
        (minor if name.startswith("dice/") or name == "learning_rate" else main).append(figure)
    charts = [f'<div class="charts">{"".join(figures)}</div>\n' if figures else "" for figures in (main, minor)]
    legend = chart_legend(labels) if len(labels) > 1 else ""
    parts = [legend, charts[0]]
    parts += [folded("Curves of single organs and of the learning rate", charts[1])] if minor else []
    parts += [folded("What these curves say", facts_html(said))] if (said := meanings(names)) else []
    return "".join(parts)


def _grid(blocks: Sequence[str]) -> str:
    """Blocks side by side where there is room."""
    return f'<div class="grid">{"".join(blocks)}</div>\n' if blocks else ""


def _pretraining(
    pretrainings: Sequence[Run], runs: Sequence[Run], name_case: Callable[[str], str], *, private: bool
) -> str:
    if not pretrainings:
        return ""
    tables = []
    for run in pretrainings:
        if run.results["curves"]:
            tables.append(curves_table(run).html())
        numbers = {
            name: value
            for name, value in (run.results.get("metrics") or {}).items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        if numbers:
            rows = tuple((name, f"{value:.4g}") for name, value in numbers.items())
            tables.append(Table(f"Measures of {run.title}", ("measure", "value"), rows).html())
    grid = _grid([f"<div>{table}</div>\n" for table in tables])
    parts = [_curves(runs, kind="pretraining"), folded("First, last and extreme values", grid) if grid else ""]
    pictures = run_pictures(pretrainings, name_case, private=private)
    return "".join(parts) + (f"<h3>Pictures</h3>\n{pictures}" if pictures else "")
