"""Images paired with labels by the part of their names that the patterns of a layout leave open."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.folders.description import channels_of
from monai_cl.data.datalist.folders.patterns import best_layout, matches, split_pattern
from monai_cl.data.datalist.folders.published import PublishedLayout, published_layout
from monai_cl.data.datalist.folders.series import series_in
from monai_cl.data.datalist.model import SPLITS
from monai_cl.errors import UserError


@dataclass(frozen=True)
class Layout:
    """How the files of a folder are named.

    Attributes:
        images, labels: patterns.
        series: DICOM series, which have no pattern in common.
        published: the data set whose layout it is.
        channels: channel -> modality, where the folder describes them.
    """

    images: str
    labels: str | None
    published: PublishedLayout | None = None
    series: Sequence[str] = ()
    channels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pairs:
    """The items of a folder.

    Attributes:
        document: split -> items.
        cases: image -> its case.
        orphans: label files without an image.
    """

    document: dict[str, list[dict[str, Any]]]
    cases: dict[str, str]
    orphans: list[str]


def choose_layout(
    folder: Path,
    paths: Sequence[str],
    description: Mapping[str, Any],
    *,
    images: str | None,
    labels: str | None,
    layout: str | None,
) -> Layout:
    """The patterns that are given, those of a published layout, else of the known layout that fits most files, or else
    DICOM series at any depth.

    Args:
        folder: of the data set.
        paths: of its files, relative.
        description: its ``dataset.json``.
        images, labels, layout: as for :func:`create_data_list`.

    Raises:
        UserError: patterns beside the name of a layout, files that no layout fits, scans of several channels.
    """
    if layout is not None:
        if images is not None or labels is not None:
            raise UserError("layout", found="patterns beside it", remedy="give --layout, or --images and --labels")
        published, images, labels = published_layout(layout, folder, paths)
        return Layout(images, labels, published)
    if images is not None:
        return Layout(images, labels)
    known = best_layout(folder, paths)
    if known is None:
        return Layout("DICOM series", None, series=series_in(folder, paths))
    images, labels = known
    channels = channels_of(description)
    if images.rpartition(".nii")[0].endswith("_0000") and len(channels) > 1:
        listed = ", ".join(f"{channel} {modality}" for channel, modality in channels.items())
        raise UserError(
            folder / "dataset.json",
            expected="scans of one channel",
            found=f"{len(channels)} ({listed})",
            remedy=f"choose one by its files: --images '{images}' --labels '{labels}' for the first",
        )
    return Layout(images, labels, channels=channels)


def pair_files(
    folder: Path, paths: Sequence[str], layout: Layout, *, patient: re.Pattern | None, without: Container[str]
) -> Pairs:
    """The images of every split, each with its label and its patient where there are some.

    Args:
        folder: of the data set.
        paths: of its files, relative.
        layout: their patterns.
        patient: searched in the image's path, see :func:`create_data_list`.
        without: images to pass over.

    Raises:
        UserError: no image in ``training``, a pattern of labels that matches all images, two images for one case, an
            image in which ``patient`` is not found.
    """
    pairs = Pairs({split: [] for split in SPLITS}, {}, [])
    for split in SPLITS:
        pattern = _of_split(layout.images, split)
        if pattern is None:
            continue
        images = {path: (path, None) for path in layout.series} or matches(folder, paths, pattern)
        if split == "training" and not images:
            raise UserError(
                folder,
                expected=f"images named {layout.images!r}",
                found=f"none among {len(paths)} files",
                remedy="correct the pattern",
            )
        beside = _of_split(layout.labels, split)
        labels = matches(folder, paths, beside) if beside else {}
        masks = {file for file, _ in labels.values()}  # scan_gt is no scan
        if split == "training" and all(image in masks for image, _ in images.values()):
            raise UserError(
                folder,
                expected=f"images named {layout.images!r} that are no labels",
                found=f"that the labels' pattern {layout.labels!r} matches all of them too",
                remedy="make the pattern of the labels narrower",
            )
        for case, (image, named) in images.items():
            if image in without or image in masks:
                continue
            pairs.cases[image] = case
            named = _patient(image, patient) if patient else named
            label = {"label": labels[case][0]} if case in labels else {}
            pairs.document[split].append({"image": image} | label | ({"patient": named} if named else {}))
        pairs.orphans.extend(file for case, (file, _) in labels.items() if case not in images)
    return pairs


def _of_split(pattern: str | None, split: str) -> str | None:
    return pattern if pattern is None or split == "training" else split_pattern(pattern, split)


def _patient(image: str, expression: re.Pattern) -> str | None:
    named = expression.search(image)
    if named is None:
        raise UserError(
            image,
            found=f"the expression {expression.pattern!r} for the patient does not match",
            remedy="correct it",
        )
    return named.group(1 if expression.groups else 0)
