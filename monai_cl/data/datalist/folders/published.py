"""Published data sets that a pattern alone does not describe: their patients, phases, modality and label values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_cl.data.datalist.folders.class_folders import LAYOUT
from monai_cl.data.datalist.folders.patterns import ENDING, matches
from monai_cl.data.io.formats import FILE_ENDINGS
from monai_cl.errors import UserError

# the archives are unpacked into one folder, or into parts of it
_BELOW = ("", "*/", "*/*/")


@dataclass(frozen=True)
class PublishedLayout:
    """How a data set comes from its archive.

    Attributes:
        images, labels: patterns, with `ENDING`.
        modality: of the list.
        organs: value in the label files -> name.
        information: file beside the image that names frames of the heart's phases, "" where there is none.
    """

    images: str
    labels: str
    modality: str
    organs: dict[int, str] = field(default_factory=dict)
    information: str = ""

    def describe(self, folder: Path, item: dict[str, Any]) -> None:
        """Add what the file beside the image says to an item: its ``phase``, where the frame is one that has a name.

        Raises:
            UserError: no such file, or one that names no phase.
        """
        if not self.information:
            return
        image = folder / item["image"]
        path = image.with_name(self.information)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        named = {key.strip(): value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}
        frames = {phase: named[phase] for phase in ("ED", "ES") if named.get(phase, "").isdigit()}
        if not frames:
            raise UserError(
                path,
                expected="the frames of ED and ES, lines such as ED: 1",
                found="no such lines" if path.is_file() else "no such file",
                remedy="unpack the whole archive, or leave out --layout and write the phases yourself",
            )
        frame = int(image.name.partition("_frame")[2].partition(".")[0])
        phase = next((phase for phase, number in frames.items() if int(number) == frame), None)
        if phase is not None:
            item["meta"] = {**item.get("meta", {}), "phase": phase}


PUBLISHED = {
    # Bernard et al., IEEE TMI 2018
    "acdc": PublishedLayout(
        "{patient}/{patient}_frame{case}.nii.gz",
        "{patient}/{patient}_frame{case}_gt.nii.gz",
        "MR",
        {1: "right ventricle", 2: "myocardium", 3: "left ventricle"},
        "Info.cfg",
    ),
    # Litjens et al., Medical Image Analysis 2014
    "promise12": PublishedLayout("Case{case}.nii.gz", "Case{case}_segmentation.nii.gz", "MR", {1: "prostate"}),
    # Zhuang et al., Medical Image Analysis 2019; the CT part, with the classes of Peng et al.
    "mmwhs": PublishedLayout(
        "ct_train_{case}_image.nii.gz",
        "ct_train_{case}_label.nii.gz",
        "CT",
        {205: "myocardium", 420: "left atrium", 500: "left ventricle", 820: "ascending aorta"},
    ),
}


def published_layout(name: str, folder: Path, paths: Sequence[str]) -> tuple[PublishedLayout, str, str]:
    """A published layout, and its patterns of images and labels as they fit the folder best.

    Args:
        name: of `PUBLISHED`.
        folder: for messages.
        paths: what lies below it.

    Raises:
        UserError: an unknown name, or no scan with a label.
    """
    if name not in PUBLISHED:
        raise UserError("layout", expected=f"one of {', '.join([*PUBLISHED, LAYOUT])}", found=f"{name!r}")
    layout = PUBLISHED[name]
    counted = []
    for place in _BELOW:
        for ending in FILE_ENDINGS:
            images, labels = (place + pattern.replace(ENDING, ending) for pattern in (layout.images, layout.labels))
            both = matches(folder, paths, labels).keys() & matches(folder, paths, images).keys()
            counted.append((len(both), images, labels))
    most, images, labels = max(counted, key=lambda entry: entry[0])
    if not most:
        some = ", ".join([path for path in paths if not (folder / path).is_dir()][:3]) or "no file"
        raise UserError(
            folder,
            expected=f"files as {name} has them, {layout.images} and {layout.labels}",
            found=some,
            remedy="give the folder that the archive was unpacked to, or --images and --labels in place of --layout",
        )
    return layout, images, labels
