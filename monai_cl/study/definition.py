"""A study's YAML file: read, checked at the door, and then trusted."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from monai_cl.errors import UserError

KINDS = ("bundle", "command", "program")


@dataclass(frozen=True)
class Step:
    """One kind of cell.

    Attributes:
        kind: what it runs: a ``bundle`` (name or folder), a ``command`` of ``python -m monai_cl``, or any ``program``.
        words: the bundle, or the words of the command.
        configs: of a bundle, merged in this order.
        options: what the cell computes, ``--key value``; part of its identity.
        machine: further options that change no number (workers, store, device); not part of its identity.
    """

    kind: str
    words: tuple[Any, ...]
    configs: tuple[str, ...] = ("train",)
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


_KEYS = ("name", "about", "inputs", "steps", "arms", "settings", "folds", "seeds", "measure", "table", "published")
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
    content = _read(path)
    _known(path, "the study", content, _KEYS)
    for key in _REQUIRED:
        if key not in content:
            raise UserError(path, expected=f"the key {key!r}", found=", ".join(map(str, content)) or "no key")
    steps = {str(name): _step(path, str(name), step) for name, step in _mapping(path, "steps", content).items()}
    arms = _overrides(path, "arms", content["arms"], steps)
    settings = _overrides(path, "settings", content.get("settings") or {"all": {}}, steps)
    own = _mapping(path, "inputs", content)
    for name in inputs or {}:
        _one_of(path, "input", name, own)
    measure = _measure(path, content["measure"], steps)
    table = _mapping(path, "table", content)
    _known(path, "table", table, ("columns", "controls"))
    columns = _columns(path, table.get("columns"), settings)
    controls = tuple(map(str, _sequence(path, "table: controls", table.get("controls") or [])))
    for name in controls:
        _one_of(path, "arm", name, arms)
    published = _mapping(path, "published", content)
    _known(path, "published", published, ("source", "values"))
    values = {str(arm): {str(c): v for c, v in row.items()} for arm, row in _mapping(path, "values", published).items()}
    for arm, row in values.items():
        _one_of(path, "arm", arm, arms)
        for column in row:
            _one_of(path, "column", column, columns)
    return StudyDefinition(
        path=path,
        name=str(content["name"]),
        about=" ".join(str(content.get("about") or "").split()),
        inputs={str(k): str(v) for k, v in {**own, **(inputs or {})}.items()},
        steps=steps,
        arms=arms,
        settings=settings,
        folds=tuple(_sequence(path, "folds", content.get("folds", [0]))),
        seeds=tuple(_sequence(path, "seeds", content.get("seeds", [0]))),
        measure=measure,
        columns=columns,
        controls=controls,
        published=values,
        source=" ".join(str(published.get("source") or "").split()),
    )


class _UniqueKeys(yaml.SafeLoader):
    """YAML keeps the last of two equal keys, and a whole arm would be gone."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        named = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        keys = [self.construct_object(key, deep=deep) for key in named]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} appears twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 -- a safe loader
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(path, expected="a study's YAML file", cause=error) from error
    except yaml.YAMLError as error:
        raise UserError(path, expected="YAML", cause=" ".join(str(error).split())) from error
    if not isinstance(content, dict):
        raise UserError(path, expected=f"the keys {', '.join(_REQUIRED)}", found=type(content).__name__)
    return content


def _step(path: Path, name: str, content: Any) -> Step:
    where = f"step {name!r}"
    if not name.isidentifier() or name in RESERVED:
        raise UserError(path, expected="steps named by letters, digits and _", found=name, remedy="rename it")
    if not isinstance(content, dict):
        raise UserError(path, expected=f"{where} as an object of keys", found=f"{content!r}")
    _known(path, where, content, (*KINDS, "configs", "options", "machine"))
    kinds = [kind for kind in KINDS if kind in content]
    if len(kinds) != 1:
        raise UserError(path, expected=f"one of {', '.join(KINDS)} in {where}", found=", ".join(kinds) or "none")
    words = content[kinds[0]]
    return Step(
        kind=kinds[0],
        words=tuple(words) if isinstance(words, list) else (words,),
        configs=tuple(_sequence(path, f"{where}: configs", content.get("configs", ["train"]))),
        options=_mapping(path, "options", content),
        machine=_mapping(path, "machine", content),
    )


# names that stand for something else in braces
RESERVED = ("seed", "fold", "arm", "setting", "output", "study")


def _measure(path: Path, content: Any, steps: Mapping[str, Step]) -> Measure:
    if not isinstance(content, dict) or "step" not in content:
        raise UserError(path, expected="measure: {step: NAME, metric: dice}", found=f"{content!r}")
    _known(path, "measure", content, tuple(Measure.__dataclass_fields__))
    _one_of(path, "step", content["step"], steps)
    return Measure(**content)


def _columns(path: Path, content: Any, settings: Mapping[str, Any]) -> dict[str, Column]:
    if not content:
        return {name: Column((name,)) for name in settings}
    columns = {}
    for label, column in content.items():
        column = {"settings": [str(label)]} if column is None else column
        _known(path, f"column {label!r}", column, ("settings", "organs"))
        chosen = tuple(map(str, column.get("settings") or settings))
        for name in chosen:
            _one_of(path, "setting", name, settings)
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
            _one_of(path, "step", step, steps)
            if not isinstance(options, dict):
                raise UserError(path, expected=f"{what}: {name}: {step}: option -> value", found=f"{options!r}")
        found[str(name)] = changes
    return found


def _mapping(path: Path, key: str, content: Mapping[str, Any]) -> dict[str, Any]:
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise UserError(path, expected=f"{key}: an object of keys", found=f"{value!r}")
    return value


def _sequence(path: Path, key: str, value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise UserError(path, expected=f"{key}: a list", found=f"{value!r}")
    return value


def _known(path: Path, what: str, content: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in content:
        if key not in keys:
            raise UserError(path, found=f"{what} has no key {key!r}{_hint(str(key), keys)}")


def _one_of(path: Path, what: str, name: Any, names: Mapping[str, Any]) -> None:
    if name not in names:
        raise UserError(path, found=f"no {what} {name!r}{_hint(str(name), list(names))}")


def _hint(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names) or 'none'}"
