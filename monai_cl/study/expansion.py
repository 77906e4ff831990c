"""From a study to its cells: every point of arms × settings × folds × seeds, and the steps that lead to it.

A cell's identity comes from what it computes, not from the point it was made for: what two points have in common, such
as the pre-training of all folds, is one cell.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from monai_cl.errors import UserError
from monai_cl.study.definition import Step, StudyDefinition
from monai_cl.study.identity import config_digest, digest, find_bundle, input_digest, input_path
from monai_cl.study.placeholders import fill, names_in


class Point(NamedTuple):
    """One place of the grid."""

    arm: str
    setting: str
    fold: Any
    seed: Any


@dataclass(frozen=True)
class Cell:
    """One run of a step.

    Attributes:
        step: name of the step.
        identity: 16 hexadecimal digits of what it computes.
        kind, words, configs, run_id, options, machine: of the step, with every name in braces replaced but for
            ``{output}``, ``{study}`` and those of other cells and inputs, which depend on where the study lies.
        needs: step -> identity of the cells whose output it reads.
        content: what the identity is the digest of.
    """

    step: str
    identity: str
    kind: str
    words: tuple[Any, ...]
    configs: tuple[str, ...]
    run_id: str | None
    options: Mapping[str, Any]
    machine: Mapping[str, Any]
    needs: Mapping[str, str]
    content: Mapping[str, Any]

    @property
    def name(self) -> str:
        """``step-identity``: the name of its folder."""
        return f"{self.step}-{self.identity}"


@dataclass(frozen=True)
class Expansion:
    """All cells of a study.

    Attributes:
        cells: identity -> cell; what a cell needs comes before it.
        points: place of the grid -> identity of the cell that is measured there.
        inputs: name -> digest.
    """

    cells: Mapping[str, Cell]
    points: Mapping[Point, str]
    inputs: Mapping[str, str]

    def chain(self, identity: str) -> set[str]:
        """A cell and all that it needs."""
        return {identity}.union(*(self.chain(needed) for needed in self.cells[identity].needs.values()))


def expand(study: StudyDefinition, *, memory: Path | None = None) -> Expansion:
    """The cells of a study.

    Args:
        study: see `load_study`.
        memory: folder in which digests of inputs are remembered.

    Raises:
        UserError: a name in braces that stands for nothing, steps that need each other in a circle, no such bundle, an
            arm or setting with options of a step that is not run there.
    """
    beside = study.path.parent
    inputs = {
        name: input_digest(input_path(value, beside=beside), memory=memory) for name, value in study.inputs.items()
    }
    configs: dict[tuple, str] = {}

    def config_of(step: Step, options: Mapping[str, Any]) -> str:
        named = tuple(sorted(value for value in options.values() if isinstance(value, str)))
        key = (step.words[0], step.configs, step.run_id, named)
        if key not in configs:
            folder = find_bundle(str(step.words[0]), beside=beside)
            configs[key] = config_digest(folder, step.configs, options, run_id=step.run_id)
        return configs[key]

    cells: dict[str, Cell] = {}
    points = {}
    for setting, arm, fold, seed in itertools.product(study.settings, study.arms, study.folds, study.seeds):
        point = Point(arm, setting, fold, seed)
        points[point] = _cell(study, study.measure.step, point, inputs, cells, config_of, above=()).identity
    expansion = Expansion(cells, points, inputs)
    if study.convergence is not None and study.convergence.step not in {cell.step for cell in cells.values()}:
        raise UserError(
            study.path,
            expected=f"convergence: step: one of {', '.join(dict.fromkeys(cell.step for cell in cells.values()))}",
            found=f"{study.convergence.step}, which is run at no place of the study",
            remedy="name the step that trains",
        )
    for what, table in (("arm", study.arms), ("setting", study.settings)):
        for name, changes in table.items():
            measured = {identity for point, identity in points.items() if getattr(point, what) == name}
            run = {cells[identity].step for last in measured for identity in expansion.chain(last)}
            _require_effect(study, what, name, changes, run)
    return expansion


def _require_effect(
    study: StudyDefinition, what: str, name: str, changes: Collection[str], steps: Collection[str]
) -> None:
    """Options of a step that is not run at any place of an arm change nothing: it would be compared with itself."""
    for step in changes:
        if steps and step not in steps:
            raise UserError(
                study.path,
                found=f"options of step {step!r} in the {what} {name!r}, whose chain does not run it",
                remedy=f"name {{{step}}} in an option of {study.measure.step!r} there, or of a step that it needs, or "
                "leave these options out",
            )


def _cell(
    study: StudyDefinition,
    name: str,
    point: Point,
    inputs: Mapping[str, str],
    cells: dict[str, Cell],
    config_of: Callable[[Step, Mapping[str, Any]], str],
    *,
    above: tuple[str, ...],
) -> Cell:
    if name in above:
        raise UserError(study.path, found=f"steps need each other in a circle: {' -> '.join((*above, name))}")
    step = study.steps[name]
    changes = {**study.settings[point.setting].get(name, {}), **study.arms[point.arm].get(name, {})}
    options = {**step.options, **changes}
    named = names_in([step.words, options, step.machine])
    needed = [other for other in study.steps if other in named]
    needs = {
        other: _cell(study, other, point, inputs, cells, config_of, above=(*above, name)).identity for other in needed
    }
    values: dict[str, Any] = {**point._asdict(), **{key: f"{{{key}}}" for key in ("output", "study", *inputs, *needs)}}
    unknown = sorted(named - values.keys())
    if unknown:
        raise UserError(
            study.path,
            found=f"{{{unknown[0]}}} in step {name!r} stands for nothing",
            remedy=f"in braces go {', '.join(values)}, or a step",
        )
    words, options, machine = fill(step.words, values), fill(options, values), fill(step.machine, values)
    run = [step.run_id] if step.run_id else []
    content = {
        "step": name,
        "kind": step.kind,
        "words": words,
        "options": options,
        "config": [list(step.configs), config_of(step, options), *run] if step.kind == "bundle" else None,
        "needs": needs,
        "inputs": {key: inputs[key] for key in inputs if key in names_in([words, options])},
    }
    own = (step.configs, step.run_id, options, machine)
    cell = Cell(name, digest(content), step.kind, tuple(words), *own, needs, content)
    return cells.setdefault(cell.identity, cell)
