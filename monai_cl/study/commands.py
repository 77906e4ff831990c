"""The command line of a cell."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from monai_cl.study.definition import StudyDefinition
from monai_cl.study.expansion import Cell, Expansion
from monai_cl.study.folder import StudyFolder
from monai_cl.study.identity import find_bundle, input_path
from monai_cl.study.placeholders import fill


def command_of(cell: Cell, study: StudyDefinition, expansion: Expansion, folder: StudyFolder) -> list[str]:
    """The words of the process that computes a cell.

    Args:
        cell: of the expansion.
        study: whose inputs the cell reads.
        expansion: which knows the cells that this one needs.
        folder: where the study lies.
    """
    beside = study.path.resolve().parent
    values: dict[str, Any] = {name: str(input_path(value, beside=beside)) for name, value in study.inputs.items()}
    values |= {step: str(folder.of(expansion.cells[identity]).output) for step, identity in cell.needs.items()}
    values |= {"output": str(folder.of(cell).output), "study": str(folder.path)}
    words, options = fill(cell.words, values), fill({**cell.options, **cell.machine}, values)
    if cell.kind == "bundle":
        configs = find_bundle(str(words[0]), beside=beside) / "configs"
        files = [(configs / f"{name}.yaml").as_posix() for name in cell.configs]
        named = files[0] if len(files) == 1 else repr(files)
        options = {"output_dir": values["output"], **options}
        run = ["--run_id", cell.run_id] if cell.run_id else []
        words = [sys.executable, "-m", "monai.bundle", "run", *run, "--config_file", named]
    elif cell.kind == "command":
        words = [sys.executable, "-m", "monai_cl", *words]
    elif words[0] == "python":
        words = [sys.executable, *words[1:]]
    return [*map(_word, words), *_options(options)]


def _options(options: Mapping[str, Any]) -> list[str]:
    return [word for key, value in options.items() for word in (f"--{key}", _word(value))]


def _word(value: Any) -> str:
    """As Fire reads it back: lists and objects as JSON, with Python's words for truth and nothing."""
    if isinstance(value, (list, dict)):
        return json.dumps(value) if not _has_constants(value) else repr(value)
    return str(value)


def _has_constants(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or isinstance(value, bool) or any(map(_has_constants, inner))
