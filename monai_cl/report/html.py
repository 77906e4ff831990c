"""The report: one HTML file that opens without a network, prints, and fits a phone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from monai_cl._version import __version__
from monai_cl.files import write_atomically
from monai_cl.report.classification import (
    classification_results,
    classification_tables,
    patient_table,
    pca_html,
    roc_html,
)
from monai_cl.report.comparison import MEAN, Comparison, compare_runs, share_of_labels
from monai_cl.report.method_tables import cohorts_of
from monai_cl.report.pictures import data_uri, pictures_html
from monai_cl.report.privacy import case_namer, without_names
from monai_cl.report.run_tables import config_table, curves_table, runs_table
from monai_cl.report.runs import Run, find_runs
from monai_cl.report.statistics import paired_difference
from monai_cl.report.style import STYLE
from monai_cl.report.tables import (
    Table,
    case_table,
    dice_table,
    escape_markdown,
    fraction,
    row_name,
    signed,
    summary_rows,
)
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
    sections = [
        ("Result", _result(comparisons, runs)),
        ("Dice", "".join(dice_table(comparison).html() + _differences(comparison) for comparison in comparisons)),
        ("Classification", _classification(runs)),
        ("Patients", _patients(runs, name_case)),
        ("Representations", pca_html(runs, private=private)),
        ("Case by case", _cases(comparisons, name_case)),
        ("Overlays", pictures_html(segmentations, name_case, private=private)),
        ("Curves", _curves(runs, kind="segmentation")),
        ("Pre-training", _pretraining(pretrainings, runs, name_case, private=private)),
        ("What ran", _what_ran(runs, name_case, private=private)),
    ]
    sections = [(name, body) for name, body in sections if body]
    links = "".join(f'<li><a href="#{_anchor(name)}">{escape(name)}</a></li>' for name, _ in sections)
    banner = "".join(f'<p class="banner">{escape(line)}</p>' for line in top_lines(runs, comparisons, name_case))
    body = "\n".join(
        f'<section id="{_anchor(name)}" aria-labelledby="{_anchor(name)}-h">\n'
        f'<h2 id="{_anchor(name)}-h">{escape(name)}</h2>\n{text}</section>'
        for name, text in sections
    )
    ran = sorted(str(run.results["created"])[:10] for run in runs)
    days = ran[0] if ran[0] == ran[-1] else f"{ran[0]} to {ran[-1]}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header>
<h1>{escape(title)}</h1>
<p class="sub">{len(runs)} run{"" if len(runs) == 1 else "s"}, {escape(days)} · monai_cl {escape(__version__)}</p>
{banner}
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main id="content">
{body}
</main>
<footer><p>Research software, not a medical device.</p></footer>
</body>
</html>
"""


def default_title(runs: Sequence[Run]) -> str:
    """What the page is about, in words."""
    if any(len(comparison.columns) > 1 for comparison in compare_runs(runs)):
        return "What pre-training changed"
    return runs[0].name if len(runs) == 1 else f"Report on {len(runs)} runs"


def _result(comparisons: Sequence[Comparison], runs: Sequence[Run]) -> str:
    """The result in one sentence per comparison, and one per classification method."""
    sentences = []
    for comparison in comparisons:
        reference, *others = comparison.columns
        start = reference.mean(MEAN)
        for column in others:
            difference = paired_difference(reference.dice[MEAN], column.dice[MEAN])
            if difference.mean is None or start is None:
                continue
            text = f"<b>{signed(difference.mean)}</b>"
            if difference.low is not None:
                text += f" (95 % interval {signed(difference.low)} to {signed(difference.high)})"
            if reference.failed or column.failed:
                sound = paired_difference(reference.sound_dice[MEAN], column.sound_dice[MEAN])
                text += f" (without failed runs <b>{signed(sound.mean)}</b>, {sound.pairs} cases)"
            sentences.append(
                f"<li>{escape(comparison.title)}: mean Dice {escape(reference.label)} <b>{start:.3f}</b>, "
                f"{escape(column.label)} <b>{column.mean(MEAN):.3f}</b>; paired difference {text} over "
                f"{difference.pairs} case{'' if difference.pairs == 1 else 's'}"
                f"{escape('; ' + difference.note if difference.note and difference.low is None else '')}.</li>"
            )
        if not others and start is not None:
            sound = f" (without failed runs {fraction(reference.sound_mean(MEAN))})" if reference.failed else ""
            sentences.append(
                f"<li>{escape(comparison.title)}: mean Dice {escape(reference.label)} <b>{start:.3f}</b>{sound}; "
                "none of these runs can be compared with it.</li>"
            )
    sentences += classification_results(runs)
    return f'<ul class="result">{"".join(sentences)}</ul>\n' if sentences else ""


def _classification(runs: Sequence[Run]) -> str:
    return "".join(table.html() for table in classification_tables(runs)) + roc_html(runs)


def _patients(runs: Sequence[Run], name_case: Callable[[str], str]) -> str:
    return "".join(
        _details(f"Every patient of {cohort}", patient_table(runs, cohort, name_case=name_case).html())
        for cohort in cohorts_of(runs)
    )


def _cases(comparisons: Sequence[Comparison], name_case: Callable[[str], str]) -> str:
    parts = []
    for comparison in comparisons:
        *organs, last = summary_rows(comparison)
        parts.append(case_table(comparison, organ=last, name_case=name_case).html())
        for organ in organs:
            table = case_table(comparison, organ=organ, name_case=name_case).html()
            parts.append(_details(f"{organ}, {comparison.title}", table))
    return "".join(parts)


def _differences(comparison: Comparison) -> str:
    """The paired differences drawn: the mean over organs at once, single organs folded away."""
    from monai_cl.report.figures.pairs import pairs_figure

    if len(comparison.columns) < 2:
        return ""
    *organs, last = summary_rows(comparison)
    figures = []
    for organ in (last, *organs):
        uri = data_uri(pairs_figure(comparison, organ=organ, file_format="svg"), "image/svg+xml")
        alt = escape(f"Paired differences of Dice case by case, {row_name(organ)}, {comparison.title}")
        figures.append(f'<figure><img src="{uri}" width="442" height="288" alt="{alt}"></figure>\n')
    shown = f'<div class="curves">{figures[0]}</div>\n'
    rest = f'<div class="curves">{"".join(figures[1:])}</div>\n'
    return shown + (_details(f"Paired differences of single organs, {comparison.title}", rest) if organs else "")


def _curves(runs: Sequence[Run], *, kind: str) -> str:
    from monai_cl.report.figures.curves import curve_figure, curve_names

    main, minor = [], []
    for key, name in curve_names(runs):
        if key == kind:
            uri = data_uri(curve_figure(runs, kind=kind, name=name), "image/svg+xml")
            alt = escape(f"Curve of {name} against the iteration")
            figure = f'<figure><img src="{uri}" width="442" height="288" alt="{alt}"></figure>\n'
            # one curve per organ would hide the others
            (minor if name.startswith("dice/") or name == "learning_rate" else main).append(figure)
    parts = [f'<div class="curves">{"".join(figures)}</div>\n' if figures else "" for figures in (main, minor)]
    return parts[0] + (_details("Curves of single organs and of the learning rate", parts[1]) if minor else "")


def _pretraining(
    pretrainings: Sequence[Run], runs: Sequence[Run], name_case: Callable[[str], str], *, private: bool
) -> str:
    if not pretrainings:
        return ""
    parts = [_curves(runs, kind="pretraining")]
    for run in pretrainings:
        if run.results["curves"]:
            parts.append(curves_table(run).html())
        numbers = {
            name: value
            for name, value in (run.results.get("metrics") or {}).items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        if numbers:
            rows = tuple((name, f"{value:.4g}") for name, value in numbers.items())
            parts.append(Table(f"Measures of {run.name}", ("measure", "value"), rows).html())
    pictures = pictures_html(pretrainings, name_case, private=private)
    return "".join(parts) + (f"<h3>Pictures</h3>\n{pictures}" if pictures else "")


def _what_ran(runs: Sequence[Run], name_case: Callable[[str], str], *, private: bool) -> str:
    parts = [runs_table(runs).html()]
    segmentations = [run for run in runs if run.kind == "segmentation"]
    differing = config_table(segmentations) if len(segmentations) > 1 else None
    if differing is not None:
        parts.append(_details("Where the configurations of the segmentation runs differ", differing.html()))
    for run in runs:
        results = run.results
        facts = [
            ("bundle", results.get("bundle")),
            ("created", results["created"]),
            ("commit", _commit(results)),
            ("versions", ", ".join(f"{name} {version}" for name, version in results["versions"].items() if version)),
            ("device", results["device"]),
            ("iterations", results.get("iterations")),
            ("best validation", _best(results.get("best"))),
            ("initialisation", results["initialisation"]),
            ("data list", run.data_name if private else f"{run.data_name}: {run.data_list.get('path')}"),
            ("source of the data", run.data_list.get("source")),
            ("sha256 of the list", run.data_list.get("sha256")),
            ("share of labels", share_of_labels(run.label_fraction)),
            ("fold", run.fold),
            ("training cases", ", ".join(name_case(case) for case in run.data_list.get("training_cases") or [])),
            ("command", results.get("command")),
        ]
        listed = "".join(
            f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in facts if value not in (None, "")
        )
        text = f"<dl>{listed}</dl>\n"
        if private:
            text += '<p class="sub">Paths, configuration, command and the name of the run are left out.</p>\n'
        elif results["config"]:
            config = escape(json.dumps(results["config"], indent=2, ensure_ascii=False))
            name = escape(f"Configuration of {run.name}")
            text += f'<pre role="region" tabindex="0" aria-label="{name}">{config}</pre>\n'
        parts.append(_details(f"{run.name}, seed {run.seed}: circumstances and configuration", text))
    return "".join(parts)


def _commit(results: dict) -> str:
    commit = results.get("git_commit")
    if not commit:
        return "none (installed package)"
    return f"{commit}, with uncommitted changes" if results.get("git_dirty") else str(commit)


def _best(best: Any) -> str | None:
    if not isinstance(best, Mapping) or not isinstance(best.get("mean_dice"), (int, float)):
        return None
    return f"mean Dice {best['mean_dice']:.3f} at iteration {best.get('iteration')}"


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>\n{body}</details>\n"


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")
