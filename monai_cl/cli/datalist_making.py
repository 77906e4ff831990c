"""``python -m monai_cl datalist create`` and ``add``: lists out of folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from monai_cl.cli.merge_masks import merge_masks_command
from monai_cl.errors import UserError, echo


class MakingCommands:
    """Make data lists out of folders."""

    def create(
        self,
        folder: str,
        output: str | None = None,
        name: str | None = None,
        images: str | None = None,
        labels: str | None = None,
        organs: Any = None,
        patient: str | None = None,
        validation: float = 0.0,
        splits: str | None = None,
        read_voxels: bool = True,
        overwrite: bool = False,
        layout: str | None = None,
        modality: str | None = None,
    ) -> None:
        """Write a data list for the scans in a folder, and the schema beside it for your editor.

        Example:
            python -m monai_cl datalist create /data/liver --images "ct/{case}.nii.gz" --labels "seg/{case}.nii.gz"

        Args:
            folder: folder of the data set, and the paths in the list are relative to it; or one scan, a file or the
                folder of a DICOM series, whose paths are relative to the folder that it lies in.
            output: the list to write; default: data_list.json in the folder that paths are relative to.
            name: name of the data set; default: the name of the folder.
            images: pattern of the image files or DICOM folders; {case} is what image and label have in common,
                {patient} names the patient, * is anything; without any of them it is one file. Default: the known
                layout that fits best, else all DICOM series below the folder.
            labels: pattern of the label files.
            organs: organ names as JSON, e.g. '{"1": "liver"}', or a JSON file with them; values that are not named
                become background. Default: from dataset.json in the folder, else the values that occur in the label
                files, for you to name.
            patient: regular expression whose first group names the patient in an image's path, e.g. 'P([0-9]+)'.
                Default: {patient}, else of DICOM series the PatientID in their headers.
            validation: part of the patients with labels whose scans are kept for validation, e.g. 0.2.
            splits: nnU-Net's splits_final.json; its validation parts become the folds.
            read_voxels: False does not look into label files; validate then says what does not fit.
            overwrite: replace an existing list.
            layout: acdc, promise12 or mmwhs: with their patients, phases, modality and label values. mednist: 2D images
                in a folder for each class, which becomes their target.
            modality: of the scans or images, such as MR; needed for PNG and JPEG of unknown classes.
        """
        from monai_cl.data.datalist.create import create_data_list, list_root
        from monai_cl.data.datalist.folders.description import organ_names

        root = Path(str(folder)).expanduser()
        place = list_root(root, images)[0]
        place = root if os.path.abspath(root) == str(place) else place
        target = place / "data_list.json" if output is None else Path(str(output))
        refuse_existing(target, overwrite)
        found = create_data_list(
            root,
            name=None if name is None else str(name),
            images=images,
            labels=labels,
            organs=organ_names(organs),
            patient=None if patient is None else str(patient),
            validation=validation,
            splits=splits,
            read_voxels=read_voxels,
            progress=True,
            layout=layout,
            modality=None if modality is None else str(modality),
        )
        document, inside = found.document, _inside(place, target)
        if inside:
            document = {"name": document["name"], "root": inside} | document
        options = {"data_root": place} if inside is None else {}
        write_list(document, target, overwrite=overwrite, ship_schema=True, check=options)
        items = [item for split in ("training", "validation", "test") for item in document.get(split, ())]
        labelled = sum("label" in item or "target" in item for item in items)
        echo(f"{target}: {len(items)} scans, {labelled} with labels{_splits(document)}")
        _report(found)
        if not found.named:
            echo('  give the organs their names under "labels"')
        if inside is None:
            echo(f"  use it with data_root={place}")

    def add(
        self,
        path: str,
        images: str | None = None,
        labels: str | None = None,
        dataset: str | None = None,
        patient: str | None = None,
        data_root: str | None = None,
        seed: int = 0,
        read_voxels: bool = True,
        allow_outside: bool = False,
    ) -> None:
        """Add new scans to a list, which otherwise stays as it is; in a list with folds they get folds too.

        A scan of a known patient gets the patient's fold, a new patient the smallest fold.

        Example:
            python -m monai_cl datalist add my_liver.json --images "ct/{case}.nii.gz" --labels "seg/{case}.nii.gz"

        Args:
            path: the list; it is replaced.
            images: pattern of the images, below the folder that the list's paths start from; those that the list has
                are passed over. Without {case} it is one file. Default: the known layout that fits best.
            labels: pattern of the label files.
            dataset: name of the data set, in a list of several.
            patient: regular expression whose first group names the patient in an image's path.
            data_root: folder the paths start from; default: the folder of the list.
            seed: decides between folds of one size.
            read_voxels: False does not look into the new label files.
            allow_outside: accept absolute paths, and paths and links that leave the root.
        """
        from monai_cl.data.datalist.folders.additions import add_scans
        from monai_cl.data.datalist.loading import load_data_list

        options = {"data_root": data_root, "allow_outside": allow_outside}
        data_list = load_data_list(str(path), **options)
        extended = add_scans(
            data_list,
            dataset=None if dataset is None else str(dataset),
            images=images,
            labels=labels,
            patient=None if patient is None else str(patient),
            seed=seed,
            read_voxels=read_voxels,
            progress=True,
        )
        write_list(extended.document, data_list.path, overwrite=True, check=options)
        for split, items in extended.added.items():
            for item in items:
                fold = f", fold {item['fold']}" if "fold" in item else ""
                echo(f"  {split}: {item['image']}{'' if 'label' in item else ', without label'}{fold}")
        echo(f"{data_list.path}: {sum(map(len, extended.added.values()))} scans added")
        _report(extended.found)

    merge_masks = staticmethod(merge_masks_command)


def refuse_existing(target: Path, overwrite: bool) -> None:
    """Report a file that is there before the work, not after it.

    Args:
        target: the file to write.
        overwrite: it may be there.
    """
    if target.exists() and not overwrite:
        raise UserError(target, found="exists already and is kept", remedy="choose another name or pass --overwrite")


def write_list(
    document: dict[str, Any],
    target: Path,
    *,
    overwrite: bool,
    ship_schema: bool = False,
    check: dict[str, Any] | None = None,
) -> None:
    """Write a list, with a reference to the schema if that is beside it.

    Args:
        document: the list.
        target: the file.
        overwrite: replace it.
        ship_schema: put the schema beside it.
        check: options of `check_data_list`: a list with problems is then not written.
    """
    from monai_cl.data.datalist.json_files import read_json, write_json
    from monai_cl.data.datalist.loading import check_document
    from monai_cl.data.datalist.schema import SCHEMA_FILE

    document = {key: value for key, value in document.items() if key != "$schema"}
    if check is not None:
        check_document(document, target, **check)
    schema = target.parent / "schema.json"
    if ship_schema and not schema.exists():
        write_json(schema, read_json(SCHEMA_FILE, what="schema"))
    if schema.exists():
        document = {"$schema": "schema.json"} | document
    write_json(target, document, overwrite=overwrite)


def _report(found: Any) -> None:
    """Print what a `FoundList` says beside the list."""
    echo(f"  images {found.images}" + (f", labels {found.labels}" if found.labels else ""))
    for file in found.unlabelled:
        echo(f"  without a label file: {file}")
    for file in found.left_out:
        echo(f"  none of the organs in it, listed without label: {file}")
    for file in found.orphans:
        echo(f"  label without an image, left out: {file}")
    if "ignore" in found.document:
        echo(f"  voxels of the value {found.document['ignore']} take no part")


def _splits(document: dict[str, Any]) -> str:
    counts = {split: len(document.get(split, ())) for split in ("training", "validation", "test")}
    used = [f"{count} {split}" for split, count in counts.items() if count]
    return "" if list(filter(counts.get, counts)) == ["training"] else f" ({', '.join(used)})"


def _inside(root: Path, target: Path) -> str | None:
    """The root relative to the list's folder, or None where it is not below: "" means they are the same."""
    relative = os.path.relpath(os.path.abspath(root), os.path.abspath(target.parent))
    return None if relative.split(os.sep)[0] == ".." else "" if relative == "." else Path(relative).as_posix()
