"""A study's YAML file: read, checked at the door, and then trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_cl.errors import UserError
from monai_cl.study.file_keys import known, mapping, one_of, read_keys, sequence

KINDS = ("bundle", "command", "program")


@dataclass(frozen=True)
class Step:
    """One kind of cell.

    Attributes:
        kind: what it runs: a ``bundle`` (name or folder), a ``command`` of ``python -m monai_cl``, or any ``program``.
        words: the bundle, or the words of the command.
        configs: of a bundle, merged in this order.
        run_id: the entry of these that is run, such as ``finetune``; None: ``run``.
        options: what the cell computes, ``--key value``; part of its identity.
        machine: further options that change no number (workers, store, device); not part of its identity.
    """

    kind: str
    words: tuple[Any, ...]
    configs: tuple[str, ...] = ("train",)
    run_id: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """A column of the table: the mean over these settings, and for Dice over these organs (empty: all)."""

    settings: tuple[str, ...]
    organs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measure:
    """What is read from the last step.

    Attributes:
        step: whose results count.
        metric: ``dice``, by case from ``metrics.per_case``; ``auc``, from the probabilities of ``metrics.per_patient``;
            or the path of a number in the file, ``metrics.auc``.
        file: in the cell's output.
        scale: factor in the table; 100 for points.
        decimals: in the table.
    """

    step: str
    metric: str = "dice"
    file: str = "results.json"
    scale: float = 1.0
    decimals: int = 3


@dataclass(frozen=True)
class Convergence:
    """Which curve of AUC says how soon a run is near its best.

    Attributes:
        step: whose ``results.json`` has it.
        curve: its name there.
    """

    step: str
    curve: str


@dataclass(frozen=True)
class StudyDefinition:
    """A study; see docs/studies.md for the keys of its file."""

    path: Path
    name: str
    about: str
    inputs: Mapping[str, str]
    steps: Mapping[str, Step]
    arms: Mapping[str, Mapping[str, Mapping[str, Any]]]
    settings: Mapping[str, Mapping[str, Mapping[str, Any]]]
    folds: tuple[Any, ...]
    seeds: tuple[int, ...]
    measure: Measure
    columns: Mapping[str, Column]
    controls: tuple[str, ...]
    published: Mapping[str, Mapping[str, Any]]
    source: str
    convergence: Convergence | None = None


_KEYS = (
    *("name", "about", "inputs", "steps", "arms", "settings", "folds", "seeds"),
    *("measure", "table", "published", "convergence"),
)
_REQUIRED = ("name", "steps", "arms", "measure")


def load_study(path: str | Path, *, inputs: Mapping[str, str] | None = None) -> StudyDefinition:
    """Read a study.

    Args:
        path: the YAML file.
        inputs: paths that replace those of its ``inputs``, by name.

    Raises:
        UserError: not YAML, a key that is unknown or missing, or a name that nothing bears.
    """
    path = Path(path)
    content = read_keys(path, required=_REQUIRED)
    known(path, "the study", content, _KEYS)
    for key in _REQUIRED:
        if key not in content:
            raise UserError(path, expected=f"the key {key!r}", found=", ".join(map(str, content)) or "no key")
    steps = {str(name): _step(path, str(name), step) for name, step in mapping(path, "steps", content).items()}
    arms = _overrides(path, "arms", content["arms"], steps)
    settings = _overrides(path, "settings", content.get("settings") or {"all": {}}, steps)
    own = mapping(path, "inputs", content)
    for name in inputs or {}:
        one_of(path, "input", name, own)
    measure = _measure(path, content["measure"], steps)
    table = mapping(path, "table", content)
    known(path, "table", table, ("columns", "controls"))
    columns = _columns(path, table.get("columns"), settings)
    controls = tuple(map(str, sequence(path, "table: controls", table.get("controls") or [])))
    for name in controls:
        one_of(path, "arm", name, arms)
    published = mapping(path, "published", content)
    known(path, "published", published, ("source", "values"))
    values = {str(arm): {str(c): v for c, v in row.items()} for arm, row in mapping(path, "values", published).items()}
    for arm, row in values.items():
        one_of(path, "arm", arm, arms)
        for column in row:
            one_of(path, "column", column, columns)
    return StudyDefinition(
        path=path,
        name=str(content["name"]),
        about=" ".join(str(content.get("about") or "").split()),
        inputs={str(k): str(v) for k, v in {**own, **(inputs or {})}.items()},
        steps=steps,
        arms=arms,
        settings=settings,
        folds=tuple(sequence(path, "folds", content.get("folds", [0]))),
        seeds=tuple(sequence(path, "seeds", content.get("seeds", [0]))),
        measure=measure,
        columns=columns,
        controls=controls,
        published=values,
        source=" ".join(str(published.get("source") or "").split()),
        convergence=_convergence(path, content["convergence"], steps, controls) if "convergence" in content else None,
    )


def _step(path: Path, name: str, content: Any) -> Step:
    where = f"step {name!r}"
    if not name.isidentifier() or name in RESERVED:
        raise UserError(path, expected="steps named by letters, digits and _", found=name, remedy="rename it")
    if not isinstance(content, dict):
        raise UserError(path, expected=f"{where} as an object of keys", found=f"{content!r}")
    known(path, where, content, (*KINDS, "configs", "run_id", "options", "machine"))
    kinds = [kind for kind in KINDS if kind in content]
    if len(kinds) != 1:
        raise UserError(path, expected=f"one of {', '.join(KINDS)} in {where}", found=", ".join(kinds) or "none")
    words, run_id = content[kinds[0]], content.get("run_id")
    if run_id is not None and (kinds[0] != "bundle" or not isinstance(run_id, str)):
        raise UserError(path, expected=f"run_id of a bundle, as in {where}: run_id: finetune", found=f"{run_id!r}")
    return Step(
        kind=kinds[0],
        words=tuple(words) if isinstance(words, list) else (words,),
        configs=tuple(sequence(path, f"{where}: configs", content.get("configs", ["train"]))),
        run_id=run_id,
        options=mapping(path, "options", content),
        machine=mapping(path, "machine", content),
    )


# names that stand for something else in braces
RESERVED = ("seed", "fold", "arm", "setting", "output", "study")


def _measure(path: Path, content: Any, steps: Mapping[str, Step]) -> Measure:
    if not isinstance(content, dict) or "step" not in content:
        raise UserError(path, expected="measure: {step: NAME, metric: dice}", found=f"{content!r}")
    known(path, "measure", content, tuple(Measure.__dataclass_fields__))
    one_of(path, "step", content["step"], steps)
    return Measure(**content)


def _convergence(path: Path, content: Any, steps: Mapping[str, Step], controls: Sequence[str]) -> Convergence:
    if not isinstance(content, dict) or sorted(map(str, content)) != ["curve", "step"]:
        expected = "convergence: {step: STEP, curve: auc}"
        raise UserError(path, expected=expected, found=f"{content!r}", remedy="give these two keys and no other")
    found = Convergence(str(content["step"]), str(content["curve"]))
    if found.step not in steps:
        expected, remedy = f"one of the steps {', '.join(steps)}", "name the step that trains"
        raise UserError(path, expected=expected, found=f"convergence: step: {found.step}", remedy=remedy)
    if "auc" not in found.curve.lower():  # what counts as learned is a value of AUC
        remedy = "name one, such as auc"
        raise UserError(path, expected="a curve of AUC", found=f"convergence: curve: {found.curve}", remedy=remedy)
    if not controls:
        remedy = "add table: {controls: [ARM]}, the arm from scratch, or leave convergence out"
        raise UserError(path, expected="a control that convergence compares with", found="none", remedy=remedy)
    return found


def _columns(path: Path, content: Any, settings: Mapping[str, Any]) -> dict[str, Column]:
    if not content:
        return {name: Column((name,)) for name in settings}
    columns = {}
    for label, column in content.items():
        column = {"settings": [str(label)]} if column is None else column
        known(path, f"column {label!r}", column, ("settings", "organs"))
        chosen = tuple(map(str, column.get("settings") or settings))
        for name in chosen:
            one_of(path, "setting", name, settings)
        columns[str(label)] = Column(chosen, tuple(column.get("organs") or ()))
    return columns


def _overrides(path: Path, what: str, content: Any, steps: Mapping[str, Step]) -> dict[str, dict[str, dict[str, Any]]]:
    if not isinstance(content, dict) or not content:
        raise UserError(path, expected=f"{what}: name -> step -> options", found=f"{content!r}")
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name, changes in content.items():
        changes = changes or {}
        if not isinstance(changes, dict):
            raise UserError(path, expected=f"{what}: {name}: step -> options", found=f"{changes!r}")
        for step, options in changes.items():
            one_of(path, "step", step, steps)
            if not isinstance(options, dict):
                raise UserError(path, expected=f"{what}: {name}: {step}: option -> value", found=f"{options!r}")
        found[str(name)] = changes
    return found
