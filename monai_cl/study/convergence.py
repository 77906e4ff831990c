"""A study's second table: epochs to 98 % of the best, and what an arm saves against the first control."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from monai_cl.data.records.convergence import epochs_to
from monai_cl.errors import UserError
from monai_cl.report.convergence import LEARNED, SpeedUp, speed_up
from monai_cl.report.tables import NOTHING, Table, fraction, signed
from monai_cl.study.definition import StudyDefinition
from monai_cl.study.expansion import Expansion
from monai_cl.study.folder import StudyFolder
from monai_cl.study.measures import read_curve

# number of the run -> AUC of each of its validations; a number stands for the same fold and seed in every arm
Curves = Mapping[int, Sequence[float]]


@dataclass(frozen=True)
class Row:
    """One arm in one setting.

    Attributes:
        own: of each run, epochs to 98 % of its own best.
        common: likewise to that of the control's best, of the runs that reach it.
        saved: against the control, over the runs that both have.
        left_out: runs that are in none of these numbers: one of the pair has learned nothing.
    """

    own: dict[int, int]
    common: dict[int, int]
    saved: SpeedUp
    left_out: tuple[int, ...]


@dataclass(frozen=True)
class ConvergenceTable:
    """The table.

    Attributes:
        study: its definition.
        rows: (setting, arm) -> what was measured.
        runs: the name of each, in the order of their numbers.
        notes: what a reader has to know.
    """

    study: StudyDefinition
    rows: Mapping[tuple[str, str], Row]
    runs: tuple[str, ...]
    notes: tuple[str, ...]

    def table(self) -> Table:
        """As text, with the number of runs behind a mean that is not over all of them."""
        control = self.study.controls[0]
        header = (
            *("setting", "arm", "epochs, own best", f"epochs, best of {control}"),
            *("speed-up, own best", f"speed-up, best of {control}", "never", "left out"),
        )
        rows = []
        for (setting, arm), row in self.rows.items():
            cells = [self._over(_mean(row.own), len(row.own)), self._over(_mean(row.common), len(row.common))]
            found = row.saved.summary()
            if arm == control or not found["seeds"]:
                cells += [NOTHING] * 3
            else:
                cells.append(self._over(_spread(found["mean"], found["deviation"]), len(row.saved.own)))
                cells.append(self._over(_spread(found["common_mean"], found["common_deviation"]), len(row.common)))
                cells.append(f"{found['never']} of {found['seeds']}")
            rows.append((setting, arm, *cells, self._named(row.left_out) or NOTHING))
        return Table("Epochs to 98 % of the best", header, tuple(rows), self.notes, text_columns=2)

    def csv(self) -> str:
        """A line for each setting and arm, numbers in full."""
        stream = io.StringIO()
        write = csv.writer(stream, lineterminator="\n").writerow
        saved = ("mean", "deviation", "common_mean", "common_deviation", "seeds", "never")
        names = ("speed_up_own", "speed_up_own_sd", "speed_up_control", "speed_up_control_sd", "pairs", "never")
        write(("setting", "arm", "control", "epochs_own", "runs", "epochs_control", *names, "left_out"))
        for (setting, arm), row in self.rows.items():
            control = self.study.controls[0]
            found: Mapping[str, Any] = {} if arm == control else row.saved.summary()
            start = (setting, arm, None if arm == control else control, _mean(row.own), len(row.own), _mean(row.common))
            write((*start, *(found.get(key) for key in saved), self._named(row.left_out)))
        return stream.getvalue()

    def _named(self, runs: Sequence[int]) -> str:
        return ", ".join(self.runs[number] for number in runs)

    def _over(self, value: float | str | None, runs: int) -> str:
        if value is None:
            return NOTHING
        text = value if isinstance(value, str) else f"{value:.1f}"
        return text if runs == len(self.runs) else f"{text} ({runs} of {len(self.runs)})"


def convergence_table(study: StudyDefinition, expansion: Expansion, folder: StudyFolder) -> ConvergenceTable:
    """The table from the cells that are done.

    Args:
        study: its definition, with ``convergence``.
        expansion: its cells.
        folder: where they lie.

    Raises:
        UserError: cells of its step are done, and none of them has the curve.
    """
    wanted = study.convergence
    assert wanted is not None
    runs = list(itertools.product(study.folds, study.seeds))
    curves: dict[tuple[str, str], dict[int, list[float]]] = {
        key: {} for key in itertools.product(study.settings, study.arms)
    }
    refused: dict[str, UserError] = {}
    without: set[str] = set()
    for point, identity in expansion.points.items():
        cells = [expansion.cells[one] for one in expansion.chain(identity)]
        cell = next((cell for cell in cells if cell.step == wanted.step), None)
        if cell is None:
            without.add(point.arm)
        elif folder.of(cell).is_done():
            try:
                values = read_curve(folder.of(cell).output, wanted.curve)
                curves[point.setting, point.arm][runs.index((point.fold, point.seed))] = values
            except UserError as error:
                refused[cell.name] = error
    read = sum(map(len, curves.values()))
    if refused and not read:
        raise next(iter(refused.values()))
    control = study.controls[0]
    rows = {(setting, arm): _row(found, curves[setting, control]) for (setting, arm), found in curves.items()}
    of_seeds = len(study.folds) == 1
    notes = [
        f"{read} of {len(expansion.points)} places have the curve {wanted.curve} of {wanted.step}. An epoch is a "
        "validation, counted from 1. In brackets behind a mean: how many of its runs it is over.",
        f"Speed-up: 1 − epochs / epochs of {control}, mean ± standard deviation between "
        f"{'seeds' if of_seeds else 'folds and seeds'}. Never: runs that do not reach 98 % of the best of {control}. "
        f"Left out: {'seeds' if of_seeds else 'runs'} of which the arm's run or that of {control} has learned nothing "
        f"(best {wanted.curve} below {LEARNED}).",
        *(f"{arm} does not run {wanted.step} everywhere." for arm in study.arms if arm in without),
        *(f"No curve: {name}: {error}" for name, error in refused.items()),
    ]
    names = [str(seed) if of_seeds else f"fold {fold} seed {seed}" for fold, seed in runs]
    return ConvergenceTable(study, rows, tuple(names), tuple(notes))


def _row(curves: Curves, control: Curves) -> Row:
    saved = speed_up(control, curves) if curves.keys() & control.keys() else SpeedUp({}, {}, ())
    weak = {number for number, values in curves.items() if max(values) < LEARNED} | set(saved.left_out)
    own = {number: epochs_to(values) for number, values in curves.items() if number not in weak}
    common = {number: epochs_to(curves[number], reference=max(control[number])) for number in saved.own}
    return Row(_known(own), _known(common), saved, tuple(sorted(weak)))


def _known(epochs: Mapping[int, int | None]) -> dict[int, int]:
    return {number: epoch for number, epoch in epochs.items() if epoch is not None}


def _mean(epochs: Mapping[int, int]) -> float | None:
    return fmean(epochs.values()) if epochs else None


def _spread(mean: float | int | None, deviation: float | int | None) -> str | None:
    if mean is None:
        return None
    return signed(mean) if deviation is None else f"{signed(mean)} ± {fraction(deviation)}"
