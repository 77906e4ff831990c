"""Walk through a data list and the lists it includes; collect data sets and problems, and continue after each."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from posixpath import normpath
from typing import Any

from monai_cl.data.datalist.findings import item_findings
from monai_cl.data.datalist.items import CT, default_ids, modality_word
from monai_cl.data.datalist.json_files import read_json
from monai_cl.data.datalist.model import SPLITS, DataSet
from monai_cl.data.datalist.paths import _is_link, _real_path, name_fault, path_fault
from monai_cl.data.datalist.patient_labels import add_targets, table_of
from monai_cl.data.datalist.problems import Problem
from monai_cl.data.datalist.rules import item_problems
from monai_cl.data.datalist.schema import schema_problems
from monai_cl.data.io.formats import is_series
from monai_cl.data.records.json_schema import where
from monai_cl.errors import UserError


class ListReader:
    """Reads one data list.

    Args:
        data_root: absolute path that the roots of the data sets start from.
        allow_outside: accept absolute paths, ``..`` and symbolic links that leave the root.
        uneven_slices: ``"error"`` or ``"interpolate"``, of DICOM series whose items do not say it themselves.

    Attributes:
        datasets: what could be read. An item whose shape is wrong is left out; labels whose shape is wrong are empty.
        problems: all problems, except those that concern several data sets.
        content: the parsed files without their ``$schema``.
    """

    def __init__(self, data_root: str, *, allow_outside: bool, uneven_slices: str = "error") -> None:
        self.data_root = data_root
        self.uneven_slices = uneven_slices
        self.allow_outside = allow_outside
        self._real: dict[str, str] = {}
        self.datasets: list[DataSet] = []
        self.problems: list[Problem] = []
        self.content: list[Any] = []

    def read(
        self, path: Path, *, sub_root: str = "", name: str | None = None, chain: tuple[Path, ...] = ()
    ) -> dict[str, Any]:
        """Read ``path`` and what it includes; return its document ({} if it is not an object).

        Args:
            path: the list file.
            sub_root: folder below the data root that its own roots start from.
            name: the name its data set gets instead of its own.
            chain: the files that include it, outermost first.
        """
        document = with_known_splits(read_json(path))
        shape = _Shape(schema_problems(document, path))
        self.problems += shape.problems
        if not isinstance(document, dict):
            return {}
        self.content.append({key: value for key, value in document.items() if key != "$schema"})
        if "datasets" not in document:
            self._add(document, path, (), shape, sub_root=sub_root, name=name)
            return document
        sub_root = self._join_root(sub_root, document, path, ())
        entries = document["datasets"] if isinstance(document["datasets"], list) else []
        if name is not None and len(entries) > 1:
            expected = "one data set, since the including list gives it a name"
            self._complain("name", path, "datasets", expected, f"{len(entries)} data sets")
        for i, entry in enumerate(entries):
            if not isinstance(entry, dict):
                continue
            if "list" not in entry:
                self._add(entry, path, ("datasets", i), shape, sub_root=sub_root, name=name)
            elif shape.is_sound("datasets", i):
                self._include(entry, path, i, sub_root=sub_root, name=name, chain=chain)
        return document

    def _include(
        self, entry: dict, path: Path, i: int, *, sub_root: str, name: str | None, chain: tuple[Path, ...]
    ) -> None:
        place = where("datasets", i, "list")
        if self._refuses(entry["list"], path, place, "a list in or below the folder of this one"):
            return
        target = path.parent / entry["list"]
        if reason := self._link_fault(str(target), str(path.parent)):
            self._complain("outside", path, place, "a list in or below the folder of this one", reason)
            return
        chain = (*chain, path)
        if _real_path(os.fspath(target)) in [_real_path(os.fspath(link)) for link in chain]:
            circle = " -> ".join([*(link.name for link in chain), target.name])
            self._complain("cycle", path, place, "lists that do not include one another", f"the circle {circle}")
            return
        sub_root = self._join_root(sub_root, entry, path, ("datasets", i))
        try:
            self.read(target, sub_root=sub_root, name=name or entry.get("name"), chain=chain)
        except UserError as error:
            self._complain("included list", path, place, "a readable data list", str(error), file=entry["list"])

    def _add(self, document: dict, path: Path, parts: tuple, shape: _Shape, *, sub_root: str, name: str | None) -> None:
        sub_root = self._join_root(sub_root, document, path, parts)
        root = os.path.join(self.data_root, sub_root) if sub_root else self.data_root
        if name is None:
            name = document["name"] if shape.is_sound(*parts, "name") and "name" in document else path.stem
        labels, label_map = document.get("labels", {"0": "background"}), document.get("label_map")
        if not (shape.is_sound(*parts, "labels") and shape.is_sound(*parts, "label_map")):
            labels = label_map = {}
        label_map = None if label_map is None else {int(value): int(label) for value, label in label_map.items()}
        ignore = document.get("ignore") if shape.is_sound(*parts, "ignore") else None
        sound = {
            (split, i): {"image": raw} if isinstance(raw, str) else raw
            for split in SPLITS
            if isinstance(document.get(split), list)
            for i, raw in enumerate(document[split])
            if shape.is_sound(*parts, split, i)
        }
        ids, refused = default_ids(sound), False
        # acquisitions of one series are of one patient
        owners = {normpath(raw["image"]): raw.get("patient", ids[key]) for key, raw in reversed(sound.items())}
        items: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
        places: dict[str, list[str]] = {split: [] for split in SPLITS}
        for (split, i), raw in sound.items():
            place = where(*parts, split, i)
            named = [key for key in ("image", "label") if key in raw]
            files = {key: file for key in named if (file := self._path(raw[key], root, path, f"{place}.{key}"))}
            if len(files) < len(named):  # a path that is not allowed is not looked at either
                refused = True
                continue
            item = {
                "image": files["image"],
                "fold": int(raw["fold"]) if "fold" in raw else None,
                "patient": raw.get("patient", owners[normpath(raw["image"])]),
                "id": ids[split, i],
                "dataset": name,
                "label_map": label_map,
            }
            if "label" in files:
                item |= {
                    "label": files["label"],
                    "label_ids": tuple(sorted(int(label) for label in labels)),
                    "label_names": {int(label): organ for label, organ in labels.items()},
                } | ({} if ignore is None else {"ignore": ignore})
            if self.uneven_slices != "error" and is_series(files["image"]):
                item["uneven_slices"] = self.uneven_slices
            more = ("target", "meta", "series_part", "uneven_slices")
            item |= {key: raw[key] for key in more if raw.get(key) is not None}
            modality = modality_word(raw.get("modality", document.get("modality")))
            item |= item_findings(raw) | ({"modality": modality} if "modality" in raw or modality != CT else {})
            items[split].append(item)
            places[split].append(place)
        if "patient_labels" in document and shape.is_sound(*parts, "patient_labels"):
            self._add_targets(
                document["patient_labels"], path, parts, [item for split in SPLITS for item in items[split]]
            )
        dataset = DataSet(
            name=name,
            labels={int(label): organ for label, organ in labels.items()},
            label_map=label_map,
            root=Path(root),
            splits={split: tuple(items[split]) for split in SPLITS},
            document=document,
            list_file=str(path),
            place=where(*parts),
            places={split: tuple(places[split]) for split in SPLITS},
            sub_root=sub_root,
            ignore=ignore,
            stated_patients=frozenset(raw["patient"] for raw in sound.values() if "patient" in raw),
        )
        self.problems += item_problems(dataset, sound=shape.is_sound(*parts) and not refused)
        self.datasets.append(dataset)

    def _add_targets(self, spec: dict[str, Any], path: Path, parts: tuple, items: list[dict[str, Any]]) -> None:
        place, expected = where(*parts, "patient_labels", "table"), "a table in or below the folder of the list"
        if self._refuses(spec["table"], path, place, expected):
            return
        if reason := self._link_fault(str(path.parent / spec["table"]), str(path.parent)):
            self._complain("outside", path, place, expected, reason)
            return
        try:
            labels = table_of(spec, path.parent)
            add_targets(items, labels)
        except UserError as error:
            place, expected = where(*parts, "patient_labels"), "a label for each patient"
            self._complain("patient labels", path, place, expected, str(error), file=spec["table"])
            return
        self.content.append({"table": spec["table"], "sha256": labels.sha256})

    def _join_root(self, sub_root: str, document: dict, path: Path, parts: tuple) -> str:
        root = document.get("root")
        if not isinstance(root, str) or not root.strip():
            return sub_root
        if self._refuses(root, path, where(*parts, "root"), "a sub-folder of the data root"):
            return sub_root
        joined = posixpath.normpath(posixpath.join(sub_root, root))
        if reason := self._link_fault(os.path.join(self.data_root, joined), self.data_root):
            self._complain("outside", path, where(*parts, "root"), "a sub-folder of the data root", reason)
        return "" if joined == "." else joined

    def _path(self, relative: str, root: str, path: Path, place: str) -> str | None:
        """The file that is meant, or None (and a problem) where the path is not allowed."""
        if self._refuses(relative, path, place, "a relative path below the root of the data set", file=relative):
            return None
        file = os.path.normpath(os.path.join(root, relative))
        if self._link_fault(root, self.data_root):
            return None  # the root itself is a link that leaves the data root: one problem is enough
        if reason := self._link_fault(file, self.data_root):
            self._complain("outside", path, place, "a file that lies below the data root", reason, file=relative)
            return None
        return file

    def _refuses(self, relative: str, path: Path, place: str, expected: str, *, file: str | None = None) -> bool:
        """Whether a path is not allowed in a list; a problem is then recorded."""
        if reason := name_fault(relative):
            self._complain("file name", path, place, "a possible file name", reason, file=file)
        elif not self.allow_outside and (reason := path_fault(relative)):
            self._complain("outside", path, place, expected, reason, file=file)
        else:
            return False
        return True

    def _link_fault(self, file: str, root: str) -> str | None:
        """Where ``file`` leads, if symbolic links take it out of ``root`` and that is not allowed."""
        if self.allow_outside:
            return None
        folder = os.path.dirname(file)
        for known in (root, folder):
            if known not in self._real:
                self._real[known] = _real_path(known)
        real_path = os.path.join(self._real[folder], os.path.basename(file))
        if _is_link(real_path):
            real_path = _real_path(real_path)
        inside = self._real[root]
        if real_path == inside or real_path.startswith(inside.rstrip(os.sep) + os.sep):
            return None
        return f"a symbolic link to {real_path}, outside {root}"

    def _complain(
        self, kind: str, path: Path, place: str, expected: str, found: str, *, file: str | None = None
    ) -> None:
        remedy = None
        if kind == "outside":
            remedy = "write the path from the folder of the data (data_root; of a bundle, dataset_dir)"
            if "backslashes" in found:  # allowed or not, they lead nowhere on other systems
                remedy = "write it with forward slashes, from the folder of the data"
            else:
                remedy = f"{'move it there' if file is None else remedy}, or trust the list with --allow_outside True"
        self.problems.append(Problem(kind, str(path), place, expected, found, file=file, remedy=remedy))


class _Shape:
    """What the schema finds wrong in one file, and which places are free of problems."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        # an unknown key does not prevent reading
        self._faults = [problem.where for problem in problems if problem.kind != "unknown key"]

    def is_sound(self, *parts: str | int) -> bool:
        """Whether nothing at or below this place is wrong."""
        place = where(*parts)
        return not any(
            not place or fault == place or fault.startswith((f"{place}.", f"{place}[")) for fault in self._faults
        )


def with_known_splits(document: Any) -> Any:
    """A parsed list in which ``testing``, MONAI's other name, is ``test``; with both it stays, to be refused."""
    if not isinstance(document, dict):
        return document
    if isinstance(document.get("datasets"), list):
        return document | {"datasets": [with_known_splits(entry) for entry in document["datasets"]]}
    if "testing" in document and "test" not in document:
        return {"test" if key == "testing" else key: value for key, value in document.items()}
    return document
