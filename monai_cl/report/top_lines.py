"""What a reader of a report has to know before any number: scans seen in training, unlike runs, failures, phantoms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monai_cl.report.comparison import Comparison
from monai_cl.report.method_tables import unlike_cohorts
from monai_cl.report.runs import Run

_MOST_NAMED = 10


def top_lines(runs: Sequence[Run], comparisons: Sequence[Comparison], name_case: Callable[[str], str]) -> list[str]:
    """The lines, as plain text.

    Args:
        runs: of the report.
        comparisons: of these runs, with their warnings.
        name_case: how a case id is shown.
    """
    warnings = dict.fromkeys(line for comparison in comparisons for line in comparison.warnings)
    return [*_synthetic_lines(runs), *_overlap_lines(runs, name_case), *warnings, *unlike_cohorts(runs)]


def _synthetic_lines(runs: Sequence[Run]) -> list[str]:
    names = list(dict.fromkeys(run.data_name for run in runs if run.is_synthetic))
    if not names:
        return []
    which = "" if all(run.is_synthetic for run in runs) else f": {', '.join(names)}"
    return [
        f"Synthetic data{which}. These images were computed, not scanned; the numbers show that the software runs and "
        "say nothing about patients."
    ]


def _overlap_lines(runs: Sequence[Run], name_case: Callable[[str], str]) -> list[str]:
    """One line for each run that ``allow_overlap`` let pass, see `monai_cl.engines.scored_overlap`."""
    lines = []
    for run in runs:
        overlap = run.data_list.get("overlap") or {}
        scans, patients = (list(map(str, overlap.get(key) or ())) for key in ("scans", "patients"))
        if not scans and not patients:
            continue
        what = [f"the scan{'s' if len(scans) > 1 else ''} {_named(scans, name_case)}"] if scans else []
        if patients:
            what.append(f"other scans of the patients of {_named(patients, name_case)}")
        lines.append(
            f"Not a test on unseen data: {run.name}, seed {run.seed}. The weights it started from were trained on "
            f"{' and '.join(what)}, of {overlap.get('scored', 'the')} that are scored. Its numbers are too good."
        )
    return lines


def _named(cases: list[str], name_case: Callable[[str], str]) -> str:
    rest = len(cases) - _MOST_NAMED
    return ", ".join(map(name_case, cases[:_MOST_NAMED])) + (f" and {rest} more" if rest > 0 else "")
