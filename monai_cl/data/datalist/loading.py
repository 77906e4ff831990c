"""Data lists: which scans, whose, with which labels, in which fold. Reads JSON only; never touches an image file."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.json_files import write_json
from monai_cl.data.datalist.model import DataList, DataSet
from monai_cl.data.datalist.problems import Problem, raise_problems
from monai_cl.data.datalist.reader import ListReader
from monai_cl.data.datalist.rules import set_problems
from monai_cl.errors import UserError
from monai_cl.files import temporary_name

__all__ = ["DataList", "DataSet", "check_data_list", "load_data_list"]


def load_data_list(
    path: str | Path,
    *,
    data_root: str | Path | None = None,
    allow_outside: bool = False,
    uneven_slices: str = "error",
    some_folds: bool = False,
) -> DataList:
    """Read a data list and everything it includes. No image file is looked at.

    Args:
        path: the JSON file.
        data_root: folder that the relative paths start from; default: the folder of the list file. A ``root`` in the
            list is a sub-folder of it; a ``root`` beside an included list is put in front of that list's own.
        allow_outside: accept what leaves the root: absolute paths, ``..``, symbolic links. Without it no file that lies
            elsewhere than below ``data_root`` (a table or included list: below the folder of its list) can be named;
            links are looked up, files are not.
        uneven_slices: ``"error"``, or ``"interpolate"``: all DICOM series whose items do not say otherwise.
        some_folds: accept that some training items have a fold and others none yet.

    Raises:
        UserError: with all problems at once, each naming the place in the list, what was expected and found.
    """
    data_list, problems = check_data_list(
        path, data_root=data_root, allow_outside=allow_outside, uneven_slices=uneven_slices
    )
    raise_problems(path, [one for one in problems if not (some_folds and one.kind == "missing fold")])
    assert data_list is not None
    return data_list


def check_data_list(
    path: str | Path,
    *,
    data_root: str | Path | None = None,
    allow_outside: bool = False,
    uneven_slices: str = "error",
) -> tuple[DataList | None, list[Problem]]:
    """As :func:`load_data_list`, but return what could be read together with the problems.

    Items and labels that cannot be read are left out; the list is None where no data set is left. A file that is not
    JSON at all raises.
    """
    if uneven_slices not in ("error", "interpolate"):
        raise UserError(f'uneven_slices must be "error" or "interpolate", got {uneven_slices!r}')
    path = Path(path)
    root = os.path.abspath(Path(data_root).expanduser() if data_root is not None else path.parent)
    reader = ListReader(root, allow_outside=allow_outside, uneven_slices=uneven_slices)
    document = reader.read(path)
    problems = [*reader.problems, *set_problems(reader.datasets)]
    if not reader.datasets:
        return None, problems
    name = document["name"] if isinstance(document.get("name"), str) else path.stem
    content = json.dumps(reader.content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    sha256 = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    return DataList(path, name, tuple(reader.datasets), sha256), problems


def check_document(
    document: Any, path: str | Path, *, data_root: str | Path | None = None, allow_outside: bool = False
) -> None:
    """Refuse a list that is about to be written to ``path`` and could not be loaded from there.

    Args:
        document: the list.
        path: where it will be; nothing is written there.
        data_root: as of :func:`load_data_list`.
        allow_outside: as of :func:`load_data_list`.

    Raises:
        UserError: with all problems at once; the folder cannot be written to.
    """
    path = Path(path)
    trial = temporary_name(path)
    try:
        write_json(trial, document)
        _, problems = check_data_list(trial, data_root=data_root, allow_outside=allow_outside)
    finally:
        trial.unlink(missing_ok=True)
    raise_problems(path, [replace(one, list=str(path)) if one.list == str(trial) else one for one in problems])
