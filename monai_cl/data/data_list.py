"""Data lists: which scans, whose, with which labels, in which fold. Reads JSON only; never touches an image file."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from monai_cl.data.list_json import read_json
from monai_cl.data.list_model import SPLITS, DataList, DataSet
from monai_cl.data.list_problems import Problem, raise_problems
from monai_cl.data.list_rules import item_problems, set_problems
from monai_cl.data.list_schema import schema_problems, where
from monai_cl.errors import UserError

__all__ = ["DataList", "DataSet", "check_data_list", "load_data_list"]

_IMAGE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".hdr", ".img.gz", ".img", ".dcm")


def load_data_list(path: str | Path, *, data_root: str | Path | None = None, allow_outside: bool = False) -> DataList:
    """Read a data list and everything it includes. No image file is looked at.

    Args:
        path: the JSON file.
        data_root: folder that the relative paths start from; default: the folder of the list file. A ``root`` in the
            list is a sub-folder of it; a ``root`` beside an included list is put in front of that list's own.
        allow_outside: accept absolute paths and ``..`` that leave the root.

    Raises:
        UserError: with every complaint at once, each naming the place in the list, what was expected and found.
    """
    data_list, problems = check_data_list(path, data_root=data_root, allow_outside=allow_outside)
    raise_problems(path, problems)
    assert data_list is not None
    return data_list


def check_data_list(
    path: str | Path, *, data_root: str | Path | None = None, allow_outside: bool = False
) -> tuple[DataList | None, list[Problem]]:
    """As :func:`load_data_list`, but return what could be read together with the complaints.

    The data list is None where its shape does not allow reading any item. A file that is no JSON at all raises.
    """
    path = Path(path)
    root = Path(os.path.abspath(Path(data_root).expanduser() if data_root is not None else path.parent))
    reader = _Reader(allow_outside=allow_outside)
    document = reader.read(path, data_root=root, sub_root="", chain=())
    problems = reader.problems
    if not reader.datasets:
        return None, problems
    problems += set_problems(reader.datasets)
    name = document["name"] if isinstance(document.get("name"), str) else path.stem
    content = json.dumps(reader.content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    return DataList(path, name, tuple(reader.datasets), sha256), problems


class _Reader:
    """Walks a list and its included lists, collecting data sets and complaints."""

    def __init__(self, *, allow_outside: bool) -> None:
        self.allow_outside = allow_outside
        self.datasets: list[DataSet] = []
        self.problems: list[Problem] = []
        self.content: list[Any] = []

    def read(
        self, path: Path, *, data_root: Path, sub_root: str, chain: tuple[Path, ...], name: str | None = None
    ) -> Any:
        document = read_json(path)
        problems = schema_problems(document, path)
        self.problems += problems
        if not isinstance(document, dict):
            return {}
        self.content.append({key: value for key, value in document.items() if key != "$schema"})
        if "datasets" not in document:
            if not _blocking(problems, ""):
                self._add(document, path, (), data_root=data_root, sub_root=sub_root, name=name)
            return document
        sub_root = self._join_root(sub_root, document, path, ())
        entries = document["datasets"] if isinstance(document["datasets"], list) else []
        if name is not None and len(entries) > 1:
            self._complain(
                "name", path, "", "one data set where the including list gives a name", f"{len(entries)} data sets"
            )
        for i, entry in enumerate(entries):
            parts = ("datasets", i)
            if not isinstance(entry, dict) or _blocking(problems, where(*parts)):
                continue
            if "list" in entry:
                self._include(entry, path, parts, data_root=data_root, sub_root=sub_root, chain=chain)
            else:
                self._add(entry, path, parts, data_root=data_root, sub_root=sub_root, name=name)
        return document

    def _include(
        self, entry: dict, path: Path, parts: tuple, *, data_root: Path, sub_root: str, chain: tuple[Path, ...]
    ) -> None:
        place = where(*parts, "list")
        reason = path_fault(entry["list"])
        if reason and not self.allow_outside:
            self._complain("outside", path, place, "a list below the folder of this one", reason, file=entry["list"])
            return
        chain = (*chain, Path(os.path.realpath(path)))
        target = path.parent / entry["list"]
        if Path(os.path.realpath(target)) in chain:
            names = " -> ".join([*(link.name for link in chain), target.name])
            self._complain("cycle", path, place, "lists that do not include one another", f"the circle {names}")
            return
        sub_root = self._join_root(sub_root, entry, path, parts)
        try:
            self.read(target, data_root=data_root, sub_root=sub_root, chain=chain, name=entry.get("name"))
        except UserError as error:
            self._complain("included list", path, place, "a readable data list", str(error), file=entry["list"])

    def _join_root(self, sub_root: str, document: dict, path: Path, parts: tuple) -> str:
        root = document.get("root", "")
        if not isinstance(root, str):
            return sub_root
        reason = path_fault(root)
        if root and reason and not self.allow_outside:
            self._complain("outside", path, where(*parts, "root"), "a sub-folder of the data root", reason)
            return sub_root
        return posixpath.normpath(posixpath.join(sub_root, root)).removeprefix(".") if root else sub_root

    def _add(
        self, document: dict, path: Path, parts: tuple, *, data_root: Path, sub_root: str, name: str | None
    ) -> None:
        sub_root = self._join_root(sub_root, document, path, parts)
        root = os.path.join(data_root, sub_root) if sub_root else str(data_root)
        name = name or document["name"]
        label_map = document.get("label_map")
        label_map = {int(value): label for value, label in label_map.items()} if label_map is not None else None
        splits: dict[str, tuple[dict[str, Any], ...]] = {}
        ids = _ids(document)
        for split in SPLITS:
            items = []
            for i, raw in enumerate(document.get(split, [])):
                raw = {"image": raw} if isinstance(raw, str) else raw
                place = (*parts, split, i)
                item_id = ids[split, i]
                item = {
                    "image": self._path(raw["image"], root, path, (*place, "image")),
                    "fold": int(raw["fold"]) if "fold" in raw else None,
                    "patient": raw.get("patient", item_id),
                    "id": item_id,
                    "dataset": name,
                    "label_map": label_map,
                }
                if "label" in raw:
                    item["label"] = self._path(raw["label"], root, path, (*place, "label"))
                items.append(item | {key: raw[key] for key in ("target", "meta") if key in raw})
            splits[split] = tuple(items)
        dataset = DataSet(
            name=name,
            labels={int(label): organ for label, organ in document.get("labels", {"0": "background"}).items()},
            label_map=label_map,
            root=Path(root),
            splits=splits,
            document=document,
            place=(str(path), where(*parts)),
            sub_root=sub_root,
        )
        self.problems += item_problems(dataset)
        self.datasets.append(dataset)

    def _path(self, relative: str, root: str, path: Path, place: tuple) -> str:
        reason = path_fault(relative)
        if reason and not self.allow_outside:
            self._complain(
                "outside", path, where(*place), "a relative path below the root of the data set", reason, file=relative
            )
        return os.path.normpath(os.path.join(root, relative))

    def _complain(
        self, kind: str, path: Path, place: str, expected: str, found: str, *, file: str | None = None
    ) -> None:
        remedy = None
        if kind == "outside":
            remedy = "set data_root and write the path from there, or allow it with allow_outside=True"
        self.problems.append(Problem(kind, str(path), place, expected, found, file=file, remedy=remedy))


def path_fault(relative: str) -> str | None:
    """Why ``relative`` may not stand in a list (absolute, leaves the root, backslashes), or None. Looks at no disk."""
    if "\\" in relative:
        return f"{relative!r} with backslashes"
    if relative.startswith(("/", "~")) or re.match(r"[A-Za-z]:", relative):
        return f"the absolute path {relative!r}"
    if posixpath.normpath(relative).split("/")[0] == "..":
        return f"{relative!r}, which leaves it through '..'"
    return None


def _blocking(problems: list[Problem], prefix: str) -> bool:
    """Whether a shape complaint at or below ``prefix`` keeps that object from being read."""
    return any(
        problem.kind != "unknown key"
        and (not prefix or problem.where == prefix or problem.where.startswith((f"{prefix}.", f"{prefix}[")))
        for problem in problems
    )


def strip_ending(name: str) -> str:
    """A file name without the ending of an image format; other dots stay (DICOM folders are named by UIDs)."""
    lower = name.lower()
    for ending in _IMAGE_ENDINGS:
        if lower.endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def _ids(document: dict) -> dict[tuple[str, int], str]:
    """Item ids: as given, else the image's file name, else (where names repeat, as in KiTS) its folders too."""
    given, short, long = {}, {}, {}
    for split in SPLITS:
        for i, raw in enumerate(document.get(split, [])):
            image = posixpath.normpath(raw if isinstance(raw, str) else raw["image"])
            if isinstance(raw, dict) and "id" in raw:
                given[split, i] = raw["id"]
            else:
                short[split, i] = strip_ending(posixpath.basename(image))
                long[split, i] = strip_ending(image).replace("/", "_")
    return given | (short if len(set(short.values())) == len(short) else long)
