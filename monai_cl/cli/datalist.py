"""``python -m monai_cl datalist ...``: make, check, divide and describe data lists."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from monai_cl.errors import UserError, echo


class DataListCommands:
    """Make, check, divide and describe data lists."""

    def create(
        self,
        folder: str,
        output: str | None = None,
        name: str | None = None,
        images: str | None = None,
        labels: str | None = None,
        organs: Any = None,
        patient: str | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write a data list for the scans in a folder, and the schema beside it for your editor.

        Example:
            python -m monai_cl datalist create /data/liver --images "ct/{case}.nii.gz" --labels "seg/{case}.nii.gz"

        Args:
            folder: folder of the data set; the paths in the list are relative to it.
            output: the list to write; default: data_list.json in the folder.
            name: name of the data set; default: the name of the folder.
            images: pattern of the image files or DICOM folders; {case} is what image and label have in common,
                {patient} names the patient, * is anything. Default: the known layout that fits best.
            labels: pattern of the label files.
            organs: organ names as JSON, e.g. '{"1": "liver"}', or a JSON file with them. Default: from dataset.json in
                the folder, else the ids that occur in the label files, for you to name.
            patient: regular expression whose first group names the patient in an image's path, e.g. 'P([0-9]+)'.
            overwrite: replace an existing list.
        """
        from monai_cl.data.datalist.create import create_data_list, organ_names

        root = Path(str(folder)).expanduser()
        target = Path(str(output)) if output is not None else root / "data_list.json"
        _refuse_existing(target, overwrite)
        found = create_data_list(
            root,
            name=None if name is None else str(name),
            images=images,
            labels=labels,
            organs=organ_names(organs),
            patient=None if patient is None else str(patient),
        )
        document = found.document
        inside = _inside(root, target)
        if inside:
            document = {"name": document["name"], "root": inside} | document
        _write(document, target, overwrite=overwrite, ship_schema=True)
        items = document["training"]
        echo(f"{target}: {len(items)} scans, {sum('label' in item for item in items)} with labels")
        echo(f"  images {found.images}, labels {found.labels}")
        for file in found.unlabelled:
            echo(f"  without a label file: {file}")
        for file in found.orphans:
            echo(f"  label without an image, left out: {file}")
        if not found.named:
            echo('  give the organs their names under "labels"')
        if inside is None:
            echo(f"  use it with data_root={root}")

    def validate(
        self,
        path: str,
        data_root: str | None = None,
        read_voxels: bool = True,
        workers: int = 1,
        allow_outside: bool = False,
        uneven_slices: str = "error",
    ) -> None:
        """Check a data list and every file it names; print all problems at once; status 2 if there are any.

        Example:
            python -m monai_cl datalist validate data_lists/btcv.json --data_root /data/btcv --workers 4

        Args:
            path: the list.
            data_root: folder the paths start from; default: the folder of the list.
            read_voxels: False checks headers only, in seconds.
            workers: processes that read; -1 for one per processor.
            allow_outside: accept absolute paths, and paths and links that leave the root.
            uneven_slices: "error", or "interpolate" DICOM series with missing or uneven slices.
        """
        from monai_cl.data.datalist.validation import validate_data_list

        problems = validate_data_list(
            str(path),
            data_root=None if data_root is None else str(data_root),
            read_voxels=read_voxels,
            allow_outside=allow_outside,
            uneven_slices=uneven_slices,
            workers=workers,
            progress=True,
        )
        for problem in problems:
            echo(problem)
        if problems:
            raise UserError(
                f"data list {path}", found=f"{len(problems)} problem{'s' if len(problems) > 1 else ''}, listed above"
            )
        echo(f"data list {path}: no problems")

    def split(
        self,
        path: str,
        output: str,
        folds: int = 5,
        seed: int = 0,
        stratify: str | None = None,
        data_root: str | None = None,
        replace_folds: bool = False,
        allow_outside: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Divide the training scans into folds by patient and write the list with them.

        Example:
            python -m monai_cl datalist split kits19.json kits19_5folds.json --folds 5 --seed 0

        Args:
            path: the list.
            output: the list to write.
            folds: number of folds.
            seed: another seed gives another division.
            stratify: "target" (equal shares of each target) or "classes" (of each set of organs in a label file).
            data_root: folder the paths start from; needed for "classes" only.
            replace_folds: give new folds to a list that has some.
            allow_outside: accept absolute paths, and paths and links that leave the root.
            overwrite: replace an existing file.
        """
        from monai_cl.data.datalist.edit import with_folds
        from monai_cl.data.datalist.loading import load_data_list
        from monai_cl.data.datalist.summary import format_summary

        target = Path(str(output))
        _refuse_existing(target, overwrite)
        data_list = load_data_list(str(path), data_root=data_root, allow_outside=allow_outside)
        document = with_folds(
            data_list, folds=folds, seed=seed, stratify=stratify, replace=replace_folds, progress=True
        )
        _write(document, target, overwrite=overwrite)
        echo(format_summary(load_data_list(target, allow_outside=allow_outside)))

    def subset(
        self,
        path: str,
        output: str,
        fraction: Any = (0.05, 0.15, 0.5),
        fold: Any = None,
        seed: int = 0,
        allow_outside: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Write a list for each fold and fraction: that part of the fold's training scans, and its validation scans.

        The choice is reproducible, and nested: 15 % contains 5 %. Training with a list's fold and a label fraction
        picks the same scans; the files show which, and can be used by other programs. Each is used without naming a
        fold.

        Example:
            python -m monai_cl datalist subset data_lists/btcv.json subsets --fraction 0.05,0.15,0.5 --fold 0

        Args:
            path: the list.
            output: folder to write to; the files are called NAME_fold0_15.json, or NAME_15.json without folds.
            fraction: one fraction or several, each above 0 and at most 1.
            fold: one fold or several; default: every fold of the list, or its own split if it has none.
            seed: another seed gives another choice.
            allow_outside: accept absolute paths, and paths and links that leave the root.
            overwrite: replace existing files.
        """
        from monai_cl.data.datalist.edit import one_fold
        from monai_cl.data.datalist.folds import check_fraction
        from monai_cl.data.datalist.loading import load_data_list

        data_list = load_data_list(str(path), allow_outside=allow_outside)
        folder = Path(str(output))
        if folder.suffix == ".json" or folder.is_file():
            raise UserError(f"output must be a folder (it gets a file for each fold and fraction), got {folder}")
        fractions = _several(fraction)
        for value in fractions:
            check_fraction(value)
        in_list = {item["fold"] for item in data_list.items()}
        folds = _several(fold) if fold is not None else [None] if None in in_list else sorted(in_list)
        targets = {
            (k, value): folder / f"{data_list.path.stem}{'' if k is None else f'_fold{k}'}_{value * 100:g}.json"
            for k in folds
            for value in fractions
        }
        for target in targets.values():
            _refuse_existing(target, overwrite)
        documents = {key: one_fold(data_list, fold=key[0], label_fraction=key[1], seed=seed) for key in targets}
        for key, target in targets.items():
            _write(documents[key], target, overwrite=overwrite)
            parts = documents[key].get("datasets", [documents[key]])
            count = {split: sum(len(part.get(split, ())) for part in parts) for split in ("training", "validation")}
            echo(f"{target}: {count['training']} training, {count['validation']} validation")
        echo("the paths in them start from the data root of the list they come from: pass it as data_root")

    def summary(self, *paths: str, allow_outside: bool = False) -> None:
        """Print what lists hold: scans, patients, folds, organs, licences.

        Example:
            python -m monai_cl datalist summary data_lists/btcv.json data_lists/mixcl_pretraining.json

        Args:
            paths: the lists.
            allow_outside: accept absolute paths, and paths and links that leave the root.
        """
        from monai_cl.data.datalist.loading import load_data_list
        from monai_cl.data.datalist.summary import format_summary

        if not paths:
            raise UserError("summary", expected="the name of a data list", found="none")
        lists = [load_data_list(str(path), allow_outside=allow_outside) for path in paths]
        echo("\n\n".join(map(format_summary, lists)))


def _refuse_existing(target: Path, overwrite: bool) -> None:
    """Report it before the work, not after it."""
    if target.exists() and not overwrite:
        raise UserError(target, found="exists already and is kept", remedy="choose another name or pass --overwrite")


def _write(document: dict, target: Path, *, overwrite: bool, ship_schema: bool = False) -> None:
    from monai_cl.data.datalist.json_files import read_json, write_json
    from monai_cl.data.datalist.schema import SCHEMA_FILE

    document = {key: value for key, value in document.items() if key != "$schema"}
    schema = target.parent / "schema.json"
    if ship_schema and not schema.exists():
        write_json(schema, read_json(SCHEMA_FILE, what="schema"))
    if schema.exists():
        document = {"$schema": "schema.json"} | document
    write_json(target, document, overwrite=overwrite)


def _inside(root: Path, target: Path) -> str | None:
    """The root relative to the list's folder, or None where it is not below: "" means they are the same."""
    relative = os.path.relpath(os.path.abspath(root), os.path.abspath(target.parent))
    return None if relative.split(os.sep)[0] == ".." else "" if relative == "." else Path(relative).as_posix()


def _several(value: Any) -> list:
    return list(value) if isinstance(value, list | tuple) else [value]
