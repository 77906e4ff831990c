"""``python -m monai_cl datalist merge_masks``: one label map per scan out of one mask file per organ."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from monai_cl.errors import echo
from monai_cl.names import names_of


def merge_masks_command(
    folder: str,
    output: str | None = None,
    images: str | None = None,
    masks: str | None = None,
    labels: str = "{case}/labels.nii.gz",
    organs: Any = None,
    priority: Any = (),
    missing: str = "error",
    overwrite: bool = False,
) -> None:
    """Make one label map per scan out of one mask file per organ, and say where masks overlap.

    TotalSegmentator and AbdomenAtlas keep CASE/ct.nii.gz and CASE/segmentations/ORGAN.nii.gz; these patterns are
    the default. All label maps are written or none.

    Example:
        python -m monai_cl datalist merge_masks /data/totalsegmentator --organs liver,spleen,kidney_left

    Args:
        folder: folder of the data set.
        output: folder of the label maps; default: the folder of the data set.
        images: pattern of the scans, with {case}.
        masks: pattern of the masks, with {case} and {organ}.
        labels: pattern of the label maps, below the output.
        organs: names of the masks to merge, in the order of their ids; default: all, in alphabetical order.
        priority: organs, the strongest first: which one wins a voxel that two masks claim. Without it overlaps are
            refused, with their counts.
        missing: what it means that a scan has no mask file of an organ: "error", "empty" (the organ is not in the
            scan) or "leave_out" (it was not annotated; the scan gets no label map).
        overwrite: replace label maps that are there.
    """
    from monai_cl.data.datalist.folders.masks import merge_masks

    root = Path(str(folder)).expanduser()
    target = root if output is None else Path(str(output))
    merged = merge_masks(
        root,
        output=target,
        images=images,
        masks=masks,
        labels=labels,
        organs=names_of(organs) or None,
        priority=names_of(priority),
        missing=missing,
        overwrite=overwrite,
        progress=True,
    )
    for (winner, loser), scans in merged.overlaps.items():
        echo(f"  {winner} and {loser}: {sum(scans.values())} voxels of both in {len(scans)} scans: {winner}")
    if not merged.overlaps:
        echo("  no masks overlap")
    for organ in merged.organs.values():
        if merged.absent[organ]:
            echo(f"  {organ}: no mask file in {len(merged.absent[organ])} scans ({missing})")
        if merged.empty[organ]:
            echo(f"  {organ}: empty in {merged.empty[organ]} scans")
    for scan, why in merged.left_out.items():
        echo(f"  no label map for {scan}: {why}")
    for mask in merged.orphans:
        echo(f"  mask without a scan: {mask}")
    echo(f"{target}: {len(merged.files)} label maps of {len(merged.organs)} organs, named in dataset.json")
    echo(f"  next: python -m monai_cl datalist create {_next(root, target, merged.images, merged.labels)}")


def _next(root: Path, target: Path, images: str, labels: str) -> str:
    """The words of `datalist create` for label maps in ``target``."""
    root, target = Path(os.path.abspath(root)), Path(os.path.abspath(target))
    above = Path(os.path.commonpath([root, target]))
    patterns = [
        (folder.relative_to(above) / pattern).as_posix() for folder, pattern in ((root, images), (target, labels))
    ]
    named = "" if target == above else f" --organs {target / 'dataset.json'}"
    return f"{above} --images '{patterns[0]}' --labels '{patterns[1]}'{named}"
