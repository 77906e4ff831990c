"""A study's table as it stands: from the cells that are done to Markdown, CSV and HTML."""

from __future__ import annotations

import csv
import functools
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any

from monai_cl.report.page import STYLE
from monai_cl.report.tables import NOTHING, Table, escape_markdown
from monai_cl.study.auc import auc_gain, auc_mean
from monai_cl.study.convergence import ConvergenceTable, convergence_table
from monai_cl.study.definition import Column, StudyDefinition
from monai_cl.study.expansion import Expansion, Point
from monai_cl.study.folder import StudyFolder
from monai_cl.study.measures import read_measure, read_patients, read_predictions, read_results_file
from monai_cl.study.places import measured_places, partly_measured
from monai_cl.study.table import Difference, Mean, difference_of, mean_of, pooled

AUC = "auc"
_CONTROL = ("control", "difference", "low", "high", "wins", "losses", "pairs")


@dataclass(frozen=True)
class Summary:
    """The table.

    Attributes:
        study: its definition.
        means: (arm, column) -> what was measured.
        differences: (control, arm, column) -> likewise.
        notes: what a reader has to know: what is missing, and why.
        drawn: what the intervals draw beside the seeds.
        partial: (arm, column) -> how many of how many places its mean is over, where it is not all.
        convergence: the table of epochs, where the study asks for it.
    """

    study: StudyDefinition
    means: dict[tuple[str, str], Mean]
    differences: dict[tuple[str, str, str], Difference]
    notes: tuple[str, ...]
    drawn: str = "patients"
    partial: Mapping[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    convergence: ConvergenceTable | None = None

    def tables(self) -> list[Table]:
        """Means first, then a table of differences for each control, then epochs."""
        columns = list(self.study.columns)
        rows = [(arm, *(self._mean(arm, column) for column in columns)) for arm in self.study.arms]
        found = [Table(self.study.name, ("arm", *columns), tuple(rows), self.notes)]
        if self.study.published:
            rows = [(arm, *(self._published(arm, column) for column in columns)) for arm in self.study.published]
            notes = (self.study.source,) if self.study.source else ()
            found.append(Table("Published", ("arm", *columns), tuple(rows), notes))
        for control in self.study.controls:
            others = [arm for arm in self.study.arms if arm != control]
            rows = [(arm, *(self._difference(control, arm, column) for column in columns)) for arm in others]
            pair = "seed" if self.study.measure.metric == AUC else "seed and case"
            note = f"Pairs of the same {pair}; 95 % bootstrap over seeds and {self.drawn}; in brackets wins and losses."
            found.append(Table(f"Difference to {control}", ("arm", *columns), tuple(rows), (note,)))
        return found if self.convergence is None else [*found, self.convergence.table()]

    def markdown(self) -> str:
        """All tables, for a README or an issue."""
        about = f"{escape_markdown(self.study.about)}\n\n" if self.study.about else ""
        return about + "\n".join(table.markdown() for table in self.tables())

    def html(self) -> str:
        """One page that opens without a network."""
        title = escape(self.study.name)
        body = "".join(table.html() for table in self.tables())
        return (
            f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>\n'
            f"<style>{STYLE}</style></head>\n<body><main>\n<h1>{title}</h1>\n<p>{escape(self.study.about)}</p>\n"
            f"{body}</main></body>\n</html>\n"
        )

    def csv(self) -> str:
        """A line for each arm, column and control, numbers in full, in the units of the results."""
        stream = io.StringIO()
        write = csv.writer(stream, lineterminator="\n").writerow
        write(("arm", "column", "mean", "sd", "seeds", "cases", "published", *_CONTROL))
        for arm, column in itertools.product(self.study.arms, self.study.columns):
            mean = self.means[arm, column]
            published = self.study.published.get(arm, {}).get(column)
            start = (arm, column, mean.mean, mean.deviation, mean.seeds, mean.cases, published)
            controls = [control for control in self.study.controls if control != arm]
            for control in controls or [None]:
                if control is None:
                    write((*start, *[None] * len(_CONTROL)))
                    continue
                found = self.differences[control, arm, column]
                low, high = found.interval or (None, None)
                write((*start, control, found.mean, low, high, found.wins, found.losses, found.pairs))
        return stream.getvalue()

    def _mean(self, arm: str, column: str) -> str:
        found = self.means[arm, column]
        if found.mean is None:
            return NOTHING
        spread = "" if found.deviation is None else f" ± {self.number(found.deviation)}"
        places = " ({} of {})".format(*self.partial[arm, column]) if (arm, column) in self.partial else ""
        return f"{self.number(found.mean)}{spread}{places}"

    def _published(self, arm: str, column: str) -> str:
        value = self.study.published[arm].get(column)
        if value is None:
            return NOTHING
        return " ± ".join(map(str, value)) if isinstance(value, list) else str(value)

    def _difference(self, control: str, arm: str, column: str) -> str:
        found = self.differences[control, arm, column]
        if found.mean is None:
            return NOTHING
        text = self.number(found.mean, sign=True)
        if found.interval is not None:
            text += f" [{', '.join(self.number(value, sign=True) for value in found.interval)}]"
        return f"{text} ({found.wins} : {found.losses})"

    def number(self, value: float, *, sign: bool = False) -> str:
        """A value in the unit of the table, with its decimals; a minus sign that is not a hyphen.

        Args:
            value: in the unit of the results.
            sign: whether a plus is written.
        """
        measure = self.study.measure
        text = f"{measure.scale * value:{'+' if sign else ''}.{measure.decimals}f}"
        return (text.lstrip("+-") if float(text) == 0 else text).replace("-", "−")


def summarise(study: StudyDefinition, expansion: Expansion, folder: StudyFolder) -> Summary:
    """The table from the cells that are done.

    Args:
        study: its definition.
        expansion: its cells; others that lie in the folder do not count.
        folder: where they lie.

    Raises:
        UserError: cells are done, and none of them holds what the study measures.
    """
    measured, unread = measured_places(study, expansion, folder)
    means, differences, apart = {}, {}, []
    patients, drawn = _patients(measured, study, expansion, folder)
    is_auc = study.measure.metric == AUC
    mean: Callable[..., Mean] = auc_mean if is_auc else mean_of
    difference: Callable[..., Difference] = functools.partial(auc_gain if is_auc else difference_of, patients=patients)
    for label, column in study.columns.items():
        values = {arm: _values(arm, column, measured, study, expansion, folder) for arm in study.arms}
        means |= {(arm, label): _with_spread(mean, found, study) for arm, found in values.items()}
        for control, arm in itertools.product(study.controls, study.arms):
            if arm != control:
                try:
                    differences[control, arm, label] = difference(values[arm], values[control])
                except ValueError as error:  # AUC of arms that learn other classes of the same patients
                    differences[control, arm, label] = Difference(None, None, 0, 0, 0)
                    apart.append(f"No difference of {arm} to {control} in {label}: {error}.")
    partial = partly_measured(study, expansion, measured)
    notes = _notes(study, expansion, folder, measured)
    notes += [*apart, *(f"No value: {name}: {reason}" for name, reason in unread.items())]
    if partial:
        notes.insert(1, "In brackets behind a mean: how many of its places are measured.")
    convergence = None if study.convergence is None else convergence_table(study, expansion, folder)
    return Summary(study, means, differences, tuple(notes), drawn, partial, convergence)


def _with_spread(mean: Callable[..., Mean], values: Mapping[Any, Mapping], study: StudyDefinition) -> Mean:
    """Mean and deviation of an arm in a column; of a study with one seed the deviation is that between folds."""
    found = mean(values)
    if len(study.seeds) > 1:
        return found
    folds: dict[Any, dict] = {}
    for cases in values.values():
        for key, value in cases.items():
            (_, fold), _ = key
            folds.setdefault(fold, {})[key] = value
    return replace(found, deviation=mean(folds).deviation)


def _patients(
    measured: Sequence[Point], study: StudyDefinition, expansion: Expansion, folder: StudyFolder
) -> tuple[dict[Any, Any] | None, str]:
    """Case of a place -> patient, or None where they are not all known; and what is drawn, in words."""
    found: dict[Any, Any] = {}
    for point in measured:
        output = folder.of(expansion.cells[expansion.points[point]]).output
        for case, patient in read_patients(output, study.measure).items():
            key = ((point.setting, point.fold), case)
            # the same patient in another setting is no other patient
            found[key] = found.get(key) if patient is None else str(patient)
    if not found:
        return None, "cases"
    return (None, "cases, as results do not say the patients") if None in found.values() else (found, "patients")


def _values(
    arm: str,
    column: Column,
    measured: Sequence[Point],
    study: StudyDefinition,
    expansion: Expansion,
    folder: StudyFolder,
) -> dict[Any, dict]:
    parts = []
    for point in measured:
        if point.arm == arm and point.setting in column.settings:
            output = folder.of(expansion.cells[expansion.points[point]]).output
            values: Mapping[str, Any]
            if study.measure.metric == AUC:
                values = read_predictions(output, study.measure)
            else:
                values = read_measure(output, study.measure, organs=column.organs)
            parts.append((point.seed, (point.setting, point.fold), values))
    return pooled(parts)


def _notes(study: StudyDefinition, expansion: Expansion, folder: StudyFolder, measured: Sequence[Point]) -> list[str]:
    seeds, folds = ", ".join(map(str, study.seeds)), ", ".join(map(str, study.folds))
    notes = [f"{len(measured)} of {len(expansion.points)} places measured; seeds {seeds}; folds {folds}."]
    if max(len(study.seeds), len(study.folds)) > 1:
        notes.append(f"± is the standard deviation between {'seeds' if len(study.seeds) > 1 else 'folds'}.")
    commits = set()
    for point in measured:
        output = folder.of(expansion.cells[expansion.points[point]]).output
        commits.add(str(read_results_file(output / study.measure.file).get("git_commit")))
    if len(commits) > 1:
        notes.append(f"Cells were run with the code of several commits: {', '.join(sorted(commits))}.")
    for cell in expansion.cells.values():
        place = folder.of(cell)
        if not place.is_done() and (record := place.record("failed")) is not None:
            uses = [p for p, identity in expansion.points.items() if cell.identity in expansion.chain(identity)]
            shown = "; ".join(f"{p.arm}, {p.setting}, fold {p.fold}, seed {p.seed}" for p in uses[:3])
            more = f" and {len(uses) - 3} more" if len(uses) > 3 else ""
            notes.append(f"Failed: {cell.name} ({shown}{more}): {record['reason']}")
    return [*notes, *folder.warnings(expansion.cells)]
