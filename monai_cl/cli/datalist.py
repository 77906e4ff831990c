"""``python -m monai_cl datalist ...``: make, check, divide and describe data lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_cl.cli.datalist_making import MakingCommands, refuse_existing, write_list
from monai_cl.errors import UserError, echo
from monai_cl.names import names_of


class DataListCommands(MakingCommands):
    """Make, check, divide and describe data lists."""

    def validate(
        self,
        path: str,
        data_root: str | None = None,
        read_voxels: bool = True,
        workers: int = 1,
        allow_outside: bool = False,
        uneven_slices: str = "error",
        against: Any = (),
        against_root: str | None = None,
    ) -> None:
        """Check a data list and every file it names; print all problems at once; status 2 if there are any.

        With other lists, or weights, to compare it against, also which scans those hold too: the same scan by its
        content, in whatever format, or another scan of the same patient.

        Example:
            python -m monai_cl datalist validate data_lists/btcv.json --data_root /data/btcv --workers 4
            python -m monai_cl datalist validate target.json --against pretraining.json,encoder.pt

        Args:
            path: the list.
            data_root: folder the paths start from; default: the folder of the list.
            read_voxels: False checks headers only, in seconds.
            workers: processes that read; -1 for one per processor.
            allow_outside: accept absolute paths, and paths and links that leave the root.
            uneven_slices: "error", or "interpolate" DICOM series with missing or uneven slices.
            against: other lists (.json), or weights that say what they were trained on, separated by commas; scans are
                compared by voxels, so --read_voxels False has no effect then.
            against_root: folder the paths of the other lists start from; default: the folder of each.
        """
        from monai_cl.data.datalist.validation import validate_data_list

        others = names_of(against)
        lists = [one for one in others if one.lower().endswith(".json")]
        problems = validate_data_list(
            str(path),
            data_root=None if data_root is None else str(data_root),
            read_voxels=read_voxels,
            allow_outside=allow_outside,
            uneven_slices=uneven_slices,
            workers=workers,
            progress=True,
            against=lists,
            against_root=None if against_root is None else str(against_root),
            against_weights={one: _trained_scans(one) for one in others if one not in lists},
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
        folds: int | None = None,
        seed: int = 0,
        stratify: str | None = None,
        data_root: str | None = None,
        replace_folds: bool = False,
        keep: str | None = None,
        allow_outside: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Divide the training scans into folds by patient and write the list with them.

        Example:
            python -m monai_cl datalist split kits19.json kits19_5folds.json --folds 5 --seed 0

        Args:
            path: the list.
            output: the list to write.
            folds: number of folds; default: 5, or as many as are kept.
            seed: another seed gives another division.
            stratify: "target" (equal shares of each target) or "classes" (of each set of organs in a label file).
            data_root: folder the paths start from; needed for "classes" only.
            replace_folds: give new folds to a list that has some.
            keep: an earlier division: its patients stay in their folds, new patients fill the smallest ones. May be
                the list itself, some of whose items have no fold yet.
            allow_outside: accept absolute paths, and paths and links that leave the root.
            overwrite: replace an existing file.
        """
        from monai_cl.data.datalist.edit import with_folds
        from monai_cl.data.datalist.loading import load_data_list
        from monai_cl.data.datalist.summary import format_summary

        target = Path(str(output))
        refuse_existing(target, overwrite)
        if keep is not None and replace_folds:
            raise UserError("split", expected="--keep or --replace_folds", found="both")
        options = {"allow_outside": allow_outside, "some_folds": keep is not None}
        data_list = load_data_list(str(path), data_root=data_root, **options)
        document = with_folds(
            data_list,
            folds=folds,
            seed=seed,
            stratify=stratify,
            replace=replace_folds,
            keep=None if keep is None else load_data_list(str(keep), **options),
            progress=True,
        )
        write_list(document, target, overwrite=overwrite)
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
            refuse_existing(target, overwrite)
        documents = {key: one_fold(data_list, fold=key[0], label_fraction=key[1], seed=seed) for key in targets}
        for key, target in targets.items():
            write_list(documents[key], target, overwrite=overwrite)
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

    def statistics(
        self,
        path: str,
        data_root: str | None = None,
        output: Any = (),
        splits: Any = ("training", "validation", "test"),
        uneven_slices: str = "error",
        workers: int = 1,
        allow_outside: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Measure every scan: size, spacing, extent, orientation, intensities, volume of each label; name what differs.

        Scans that cannot be read are named and left out; the status is then 2. See docs/data_lists.md.

        Example:
            python -m monai_cl datalist statistics folds.json --data_root /data --output scans.html,scans.json

        Args:
            path: the list.
            data_root: folder the paths start from; default: the folder of the list.
            output: files to write, separated by commas: .html with plots, .json for `plan`, .csv with a row for each.
            splits: parts of the list to measure, e.g. training,validation.
            uneven_slices: "error", or "interpolate" DICOM series with missing or uneven slices.
            workers: processes that read, each with one scan in memory; -1 for one per processor.
            allow_outside: accept absolute paths, and paths and links that leave the root.
            overwrite: replace existing files.
        """
        from monai_cl.data import list_statistics, load_data_list, statistics_csv, statistics_json
        from monai_cl.files import write_atomically

        def page(document: Any) -> str:
            from monai_cl.report import statistics_html  # matplotlib

            return statistics_html(document)

        formats = {".html": page, ".json": statistics_json, ".csv": statistics_csv}
        targets = [Path(name) for name in names_of(output)]
        for target in targets:
            if target.suffix not in formats:
                raise UserError(target, expected=f"a file that ends in {', '.join(formats)}")
            refuse_existing(target, overwrite)
        data_list = load_data_list(
            str(path), data_root=data_root, allow_outside=allow_outside, uneven_slices=uneven_slices
        )
        found = list_statistics(data_list, splits=names_of(splits), workers=workers, progress=True)
        if found["scans"]:
            from monai_cl.report import statistics_text

            echo(statistics_text(found))
        for target in targets if found["scans"] else ():
            write_atomically(target, formats[target.suffix](found).encode("utf-8", "backslashreplace"))
            echo(f"wrote {target}")
        if failed := found["unreadable"]:
            listed = "" if found["scans"] else "".join(f"\n  {one['reason']}" for one in failed)
            counts = f"{len(failed)} of {len(failed) + len(found['scans'])} scans cannot be read"
            raise UserError(f"data list {path}", found=f"{counts}{listed or ', named above'}", remedy=None)


def _trained_scans(file: str) -> list:
    from monai_cl.engines.overlap import trained_scans

    scans = trained_scans(file) if Path(file).is_file() else None
    if scans is None:
        raise UserError(
            file,
            expected="a data list (.json), or weights that say which scans they were trained on",
            found="neither" if Path(file).exists() else "no such file",
            remedy="give the list of their training instead",
        )
    return scans


def _several(value: Any) -> list:
    return list(value) if isinstance(value, list | tuple) else [value]
