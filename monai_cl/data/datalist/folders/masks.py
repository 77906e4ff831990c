"""One label map per scan out of one mask file per organ, as TotalSegmentator and AbdomenAtlas publish them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from monai_cl.data.datalist.folders.mask_voxels import Pair, mask_voxels, overlaps, painted, winner
from monai_cl.data.datalist.folders.patterns import MASK_LAYOUTS, matched, matches, paths_below
from monai_cl.data.datalist.json_files import format_json
from monai_cl.data.io.nifti_output import nifti_bytes
from monai_cl.data.io.reading import Volume, read_grid, read_volume
from monai_cl.errors import UserError
from monai_cl.files import new_file, reported
from monai_cl.jobs import shown

_KEYS = ("case", "organ")
_MISSING = ("error", "empty", "leave_out")


@dataclass
class Merged:
    """What :func:`merge_masks` did.

    Attributes:
        images, labels: patterns of the scans and of the label maps, for `create_data_list`.
        organs: id -> name in the label maps.
        files: the label maps that were written.
        overlaps: (winner, loser) -> scan -> voxels of both.
        empty: organ -> number of scans in which its mask has no voxel.
        absent: organ -> scans without a mask of it.
        left_out: scan -> why it has no label map.
        orphans: masks without a scan.
    """

    images: str
    labels: str
    organs: dict[int, str]
    files: list[Path] = field(default_factory=list)
    overlaps: dict[Pair, dict[str, int]] = field(default_factory=dict)
    empty: Counter[str] = field(default_factory=Counter)
    absent: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    orphans: list[str] = field(default_factory=list)


def merge_masks(
    folder: str | Path,
    *,
    output: str | Path | None = None,
    images: str | None = None,
    masks: str | None = None,
    labels: str = "{case}/labels.nii.gz",
    organs: Sequence[str] | None = None,
    priority: Sequence[str] = (),
    missing: str = "error",
    overwrite: bool = False,
    progress: bool = False,
) -> Merged:
    """Write a label map for every scan, and a ``dataset.json`` that names its values: all of them or none.

    Every mask must lie on the grid of its scan, in any axis order, and hold one value besides 0. A voxel that several
    masks claim goes to the organ that comes first in ``priority``; where neither is named there, nothing is written.

    Args:
        folder: of the data set.
        output: folder of the label maps; default: ``folder``.
        images: pattern of the scans, with ``{case}``. Default: that of TotalSegmentator and AbdomenAtlas.
        masks: pattern of the masks, with ``{case}`` and ``{organ}``.
        labels: pattern of the label maps below ``output``, ending in .nii or .nii.gz.
        organs: those to merge, in the order of their ids 1, 2, …; default: all, in alphabetical order.
        priority: organs, the strongest first; each wins over those after it and over those not named.
        missing: what the absence of a mask file means: ``"error"``; ``"empty"``, the organ is not in the scan;
            ``"leave_out"``, it was not annotated there, and the scan gets no label map.
        overwrite: replace files that are there.
        progress: show a progress bar.

    Raises:
        UserError: no scans or masks, organs that are not there, a mask on another grid or with several values, masks
            that are missing, overlaps that ``priority`` does not decide, files that exist.
    """
    folder = Path(os.path.abspath(Path(folder).expanduser()))
    target = folder if output is None else Path(os.path.abspath(Path(output).expanduser()))
    _check_options(missing, labels)
    images, scans, files = _scans_and_masks(folder, images, masks)
    names = _organs(files, organs, priority)
    merged = Merged(images, labels, dict(enumerate(names, start=1)))
    merged.orphans += [mask for case, masks in files.items() if case not in scans for mask in masks.values()]
    targets = {case: target / labels.replace("{case}", case) for case in scans}
    description = target / "dataset.json"
    if not overwrite:
        _check_new([description, *targets.values()])
    for organ in names:
        merged.absent[organ] = [scan for case, scan in scans.items() if organ not in files.get(case, {})]
    if missing == "error":
        _check_present(folder, merged.absent, len(scans))
    undecided: dict[Pair, dict[str, int]] = {}
    with reported(target, remedy="name another --output"), ExitStack() as written:
        written.callback(_remove_empty, _new_folders(description, *targets.values()))
        for case, scan in shown(scans.items(), "merge masks" if progress else None):
            present = {organ: folder / files[case][organ] for organ in names if organ in files.get(case, {})}
            if missing == "leave_out" and len(present) < len(names):
                merged.left_out[scan] = f"no mask of {', '.join(o for o in names if o not in present)}"
                continue
            label = _merge(folder / scan, scan, present, merged, undecided, priority)
            if not label.array.any():
                merged.left_out[scan] = "no voxel of any organ"
                continue
            temporary = written.enter_context(new_file(targets[case]))
            temporary.write_bytes(nifti_bytes(label, compressed=labels.endswith(".gz")))
            merged.files.append(targets[case])
        if undecided:
            raise _undecided(folder, undecided)
        if not merged.files:
            remedy = "look at --organs and --missing"
            raise UserError(folder, expected="masks with voxels", found="none", remedy=remedy)
        content = {"labels": {"0": "background"} | {str(value): organ for value, organ in merged.organs.items()}}
        written.enter_context(new_file(description)).write_text(format_json(content), encoding="utf-8")
    return merged


def _check_options(missing: str, labels: str) -> None:
    if missing not in _MISSING:
        raise UserError("missing", expected=" or ".join(_MISSING), found=missing)
    if "{case}" not in labels or not labels.endswith((".nii", ".nii.gz")):
        raise UserError("labels", expected="a pattern with {case} that ends in .nii or .nii.gz", found=labels)


def _check_new(files: Iterable[Path]) -> None:
    for path in files:
        if path.exists():
            raise UserError(path, found="exists already and is kept", remedy="name another --output or --overwrite")


def _merge(
    file: Path,
    scan: str,
    masks: Mapping[str, Path],
    merged: Merged,
    undecided: dict[Pair, dict[str, int]],
    priority: Sequence[str],
) -> Volume:
    """The label map of one scan; overlaps and empty masks are recorded."""
    grid = read_grid(file) or read_volume(file).grid
    voxels = {organ: mask_voxels(mask, file, grid) for organ, mask in masks.items()}
    merged.empty.update(organ for organ, indices in voxels.items() if not indices.size)
    for pair, count in overlaps(voxels, grid).items():
        ordered, decided = winner(pair, priority)
        (merged.overlaps if decided else undecided).setdefault(ordered, {})[scan] = count
    return Volume(painted(voxels, merged.organs, priority, grid), grid.affine, file)


def _scans_and_masks(
    folder: Path, images: str | None, masks: str | None
) -> tuple[str, dict[str, str], dict[str, dict[str, str]]]:
    """The pattern of the scans; case -> scan; case -> organ -> mask."""
    if not folder.is_dir():
        raise UserError(folder, expected="the folder of the data set", found="nothing there or a file")
    if (images is None) != (masks is None):
        raise UserError(folder, expected="--images and --masks together", found="one of them")
    paths = paths_below(folder)
    tried = MASK_LAYOUTS if images is None or masks is None else ((images, masks),)
    for images, masks in tried:
        scans = {case: path for case, (path, _) in matches(folder, paths, images).items()}
        files: dict[str, dict[str, str]] = {}
        for path, parts in matched(paths, masks, keys=_KEYS):
            if set(parts) != set(_KEYS):
                raise UserError(f"pattern {masks!r}", expected="{case} and {organ}", found=f"only {', '.join(parts)}")
            files.setdefault(parts["case"], {})[parts["organ"]] = path
        if scans.keys() & files.keys():
            return images, scans, files
    raise UserError(
        folder,
        expected=" or ".join(f"scans {images} with masks {masks}" for images, masks in tried),
        found=", ".join(paths[:3]) or "no file",
        remedy="name the files: --images '{case}/ct.nii.gz' --masks '{case}/segmentations/{organ}.nii.gz'",
    )


def _organs(
    files: Mapping[str, Mapping[str, str]], wanted: Sequence[str] | None, priority: Sequence[str]
) -> tuple[str, ...]:
    there = sorted({organ for masks in files.values() for organ in masks})
    for organ in (*(wanted or ()), *priority):
        if organ not in there:
            raise UserError(
                "organs", expected=f"names of mask files ({', '.join(there[:20])})", found=organ, remedy="correct it"
            )
    return tuple(dict.fromkeys(wanted)) if wanted else tuple(there)


def _check_present(folder: Path, absent: Mapping[str, Sequence[str]], scans: int) -> None:
    lacking = {organ: without for organ, without in absent.items() if without}
    if lacking:
        some = ", ".join(f"{organ} in {len(without)} ({without[0]})" for organ, without in list(lacking.items())[:5])
        raise UserError(
            folder,
            expected=f"a mask of every organ for each of the {scans} scans",
            found=f"none of {some}" + (" and more" if len(lacking) > 5 else ""),
            remedy="say what that means: --missing empty (the organ is not in the scan) or --missing leave_out (it was "
            "not annotated: no label map for such scans), or name with --organs those that all have",
        )


def _undecided(folder: Path, pairs: Mapping[Pair, Mapping[str, int]]) -> UserError:
    listed = [
        f"{one} and {other}: {sum(scans.values())} voxels in {len(scans)} scans ({next(iter(scans))})"
        for (one, other), scans in pairs.items()
    ]
    return UserError(
        folder,
        expected="voxels of one organ each",
        found="; ".join(listed[:10]) + (f" and {len(listed) - 10} pairs more" if len(listed) > 10 else ""),
        remedy=f"say which wins, the strongest first, e.g. --priority {','.join(next(iter(pairs)))}",
    )


def _new_folders(*files: Path) -> list[Path]:
    """Folders that are not there yet, the deepest first."""
    new = {folder for file in files for folder in file.parents if not folder.exists()}
    return sorted(new, key=lambda folder: -len(folder.parts))


def _remove_empty(folders: Iterable[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # not empty: the label maps are in it
            folder.rmdir()
