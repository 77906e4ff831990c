"""Methods by cohorts, and σ by cohorts: the layouts of the WSP paper's Tables 1 and 3, from classification runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from monai_cl.data.records.classes import class_name
from monai_cl.report.runs import Run
from monai_cl.report.settings import differing_settings, differing_text, settings_text
from monai_cl.report.tables import NOTHING, Table, signed

# the paper's names and order; other methods follow under the name they were given
METHODS = {
    "supervised": "supervised",
    "random": "random",
    "imagenet": "ImageNet",
    "simclr": "SimCLR",
    "byol": "BYOL",
    "clustering": "online clustering",
    "supcon": "SupCon",
    "depth_aware": "depth-aware",
    "wsp": "WSP",
}
BACKBONES = {
    "resnet18": "ResNet-18",
    "tinynet": "TinyNet",
    "resnet50": "ResNet-50",
    "resnet50w2": "ResNet-50w2",
    "resnet50w4": "ResNet-50w4",
    "resnet152": "ResNet-152",
}
MEASURES = {"auc": "AUC", "balanced_accuracy": "Balanced accuracy", "depth_r2": "R² of depth"}
_SWEPT = {"sigma": "σ", "temperature": "τ"}


@dataclass(frozen=True)
class MethodRuns:
    """The runs of one method: its cohorts and seeds.

    Attributes:
        method, backbone: as in the results; backbone may be None.
        label: name for people; with σ or τ where these runs have several values of it.
        runs: the runs.
    """

    method: str
    backbone: str | None
    label: str
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """Method and backbone in words."""
        return self.label if self.backbone is None else f"{self.label}, {backbone_name(self.backbone)}"

    def of(self, cohort: str) -> list[Run]:
        """The runs on a cohort."""
        return [run for run in self.runs if cohort_of(run) == cohort]


def backbone_name(backbone: str | None) -> str:
    """The backbone as the paper writes it."""
    return NOTHING if backbone is None else BACKBONES.get(backbone, backbone)


def cohort_of(run: Run) -> str:
    """The cohort a classification run was evaluated on."""
    return run.results["cohort"]


def classification_runs(runs: Sequence[Run]) -> list[Run]:
    """The classification runs among ``runs``."""
    return [run for run in runs if run.kind == "classification"]


def cohorts_of(runs: Sequence[Run]) -> list[str]:
    """Cohorts of the classification runs, in order of appearance."""
    return list(dict.fromkeys(cohort_of(run) for run in classification_runs(runs)))


def name_class(runs: Sequence[Run], cohort: str, label: int, *, short: bool = False) -> str:
    """What a class of a cohort is called: as its data list names it, else ``class 1``, or ``1`` if that is ``short``.

    Args:
        runs: of the report.
        cohort: of the classification runs.
        label: 0 or 1.
        short: the bare number where there is no name.
    """
    names = {class_name(run.data_list, label) for run in classification_runs(runs) if cohort_of(run) == cohort}
    named = names - {f"class {label}"}
    if len(named) == 1:
        return named.pop()
    return str(label) if short else f"class {label}"


def method_runs(runs: Sequence[Run]) -> list[MethodRuns]:
    """Classification runs grouped by backbone, method and, where it was varied, σ and τ; in the paper's order.

    Those that differ in further settings on one cohort are groups of their own, with the settings in their label.
    """
    by_method: dict[tuple, list[Run]] = {}
    chosen = classification_runs(runs)
    for run in chosen:
        key = (_text(run, "backbone"), run.results["method"], *(run.results.get(name) for name in _SWEPT))
        by_method.setdefault(key, []).append(run)
    groups: list[tuple[tuple, MethodRuns]] = []
    for (backbone, method, *values), group in by_method.items():
        label = METHODS.get(method, method)
        kin = [key for key in by_method if key[:2] == (backbone, method)]
        swept = [
            f"{sign} = {_number(value)}"
            for position, (sign, value) in enumerate(zip(_SWEPT.values(), values))
            if len({key[2 + position] for key in kin}) > 1
        ]
        order = (_rank(BACKBONES, backbone), _rank(METHODS, method), *map(_sortable, values))
        for settings, part in _by_settings(group):
            told = [*swept, settings] if settings else swept
            groups.append(
                (order, MethodRuns(method, backbone, f"{label} ({', '.join(told)})" if told else label, part))
            )
    return [group for _, group in sorted(groups, key=lambda pair: pair[0])]


def unlike_cohorts(runs: Sequence[Run]) -> list[str]:
    """A sentence for each cohort whose runs differ in more than backbone, method and what is varied of it."""
    lines = []
    for cohort in cohorts_of(runs):
        own = [run for run in classification_runs(runs) if cohort_of(run) == cohort]
        settings = differing_settings(own, ignored=("backbone", "width", *_SWEPT))
        if settings[0]:
            lines.append(f"Runs on {cohort} differ in more than their method: {differing_text(settings)}.")
    return lines


def _by_settings(group: Sequence[Run]) -> list[tuple[str, tuple[Run, ...]]]:
    """Runs of one method apart by their settings, with these as text; together where no cohort has runs of several."""
    settings = differing_settings(group)
    seen: dict[str, set[tuple[str, ...]]] = {}
    for run, own in zip(group, settings, strict=True):
        seen.setdefault(cohort_of(run), set()).add(tuple(own.values()))
    if all(len(values) == 1 for values in seen.values()):
        return [("", tuple(group))]
    parts: dict[tuple[str, ...], list[Run]] = {}
    texts: dict[tuple[str, ...], str] = {}
    for run, own in zip(group, settings, strict=True):
        parts.setdefault(tuple(own.values()), []).append(run)
        texts[tuple(own.values())] = settings_text(own)
    return [(texts[values], tuple(part)) for values, part in parts.items()]


def method_table(runs: Sequence[Run], *, measure: str = "auc") -> Table:
    """One row per method, one column per cohort (as Table 1).

    With one run a cell is the mean over folds ± standard deviation over folds; with several seeds the mean of their
    means ± standard deviation between seeds.

    Args:
        runs: runs of any kind; those of classification are taken.
        measure: ``auc``, ``balanced_accuracy`` or ``depth_r2``.

    Raises:
        ValueError: an unknown measure, or no classification run.
    """
    groups, cohorts = _checked(runs, measure), cohorts_of(runs)
    several = len({group.backbone for group in groups}) > 1
    rows = []
    for group in groups:
        head = [backbone_name(group.backbone)] if several else []
        rows.append((*head, group.label, *(cell(group.of(cohort), measure) for cohort in cohorts)))
    backbone = "" if several or groups[0].backbone is None else f", {backbone_name(groups[0].backbone)}"
    return Table(
        caption=f"{MEASURES[measure]} by method{backbone}",
        header=((*(["backbone"] if several else []), "method", *cohorts)),
        rows=tuple(rows),
        notes=tuple(_notes(groups, cohorts, measure)),
        text_columns=2 if several else 1,
    )


def sigma_tables(runs: Sequence[Run], *, measure: str = "auc") -> list[Table]:
    """One row per σ, one column per cohort (as Table 3); one table for every method and backbone with several σ.

    Args:
        runs: runs of all kinds; those of a classification with a σ are taken.
        measure: which metric of the results is shown, one of `MEASURES`: ``auc``, ``balanced_accuracy`` or
            ``depth_r2``.

    Raises:
        ValueError: an unknown measure.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, got {measure!r}")
    tables: dict[tuple, dict[float, list[Run]]] = {}
    for run in classification_runs(runs):
        sigma = run.results.get("sigma")
        if isinstance(sigma, (int, float)) and not isinstance(sigma, bool):
            key = (_text(run, "backbone"), run.results["method"], run.results.get("temperature"))
            tables.setdefault(key, {}).setdefault(float(sigma), []).append(run)
    made = []
    for (backbone, method, temperature), by_sigma in tables.items():
        if len(by_sigma) < 2:
            continue
        every = [run for group in by_sigma.values() for run in group]
        cohorts = cohorts_of(every)
        groups = [
            MethodRuns(method, backbone, f"σ = {_number(sigma)}", tuple(group))
            for sigma, group in sorted(by_sigma.items())
        ]
        parts = [METHODS.get(method, method)]
        parts += [backbone_name(backbone)] if backbone else []
        parts += [] if temperature is None else [f"τ = {_number(temperature)}"]
        made.append(
            Table(
                caption=f"{MEASURES[measure]} by σ, {', '.join(parts)}",
                header=("σ", *cohorts),
                rows=tuple(
                    (_number(sigma), *(cell(group.of(cohort), measure) for cohort in cohorts))
                    for sigma, group in zip(sorted(by_sigma), groups)
                ),
                notes=tuple(_notes(groups, cohorts, measure)),
            )
        )
    return made


def cell(runs: Sequence[Run], measure: str) -> str:
    """Mean ± standard deviation of a measure: over folds for one run, between runs for several."""
    metrics = [run.results["metrics"] for run in runs]
    values = [metric[measure] for metric in metrics if metric.get(measure) is not None]
    if not values:
        return NOTHING
    spread = stdev(values) if len(values) > 1 else metrics[0].get(f"{measure}_std")
    mean = signed(fmean(values)).lstrip("+")
    return mean if spread is None else f"{mean} ± {spread:.3f}"


def _checked(runs: Sequence[Run], measure: str) -> list[MethodRuns]:
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, got {measure!r}")
    groups = method_runs(runs)
    if not groups:
        raise ValueError("runs must hold a classification run, got none")
    return groups


def _notes(groups: Sequence[MethodRuns], cohorts: Sequence[str], measure: str) -> list[str]:
    notes = []
    for cohort in cohorts:
        runs = [run for group in groups for run in group.of(cohort)]
        metrics = [run.results["metrics"] for run in runs]
        sizes = {(metric.get("patients"), metric.get("positive")) for metric in metrics}
        if len(sizes) == 1 and None not in (size := next(iter(sizes))):
            notes.append(f"{cohort}: {size[0]} patients, {size[1]} of {name_class(runs, cohort, 1)}.")
        if len({metric.get("folds_sha256") for metric in metrics}) > 1:
            notes.append(f"{cohort}: the runs were not evaluated on the same patients and folds; do not compare them.")
    counts = {len(group.of(cohort)) for group in groups for cohort in cohorts} - {0}
    if counts == {1}:
        notes.append("± is the standard deviation over folds.")
    elif 1 in counts:
        notes.append("± is the standard deviation between seeds; over folds where there is one run.")
    else:
        notes.append("Mean over seeds; ± is the standard deviation between them.")
    if len(counts) > 1:
        notes.append(f"The methods have between {min(counts)} and {max(counts)} runs on a cohort.")
    if measure == "balanced_accuracy":
        notes.append("A patient counts as class 1 from a mean probability of 0.5 on.")
    return notes


def _rank(known: dict[str, str], name: str | None) -> tuple[int, str]:
    names = list(known)
    return (names.index(name) if name in known else len(names), name or "")


def _sortable(value: Any) -> tuple[bool, float, str]:
    number = isinstance(value, (int, float))
    return (number, float(value) if number else 0.0, str(value))


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else "–" if value is None else str(value)


def _text(run: Run, key: str) -> str | None:
    value = run.results.get(key)
    return None if value is None else str(value)
