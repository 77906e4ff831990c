"""2D images beside volumes, modalities other than CT, and findings."""

from __future__ import annotations

import io
from functools import partial

import numpy as np
from PIL import Image

from tests.bad_input.case import Case
from tests.bad_input.world import Maker, World, cut, document, image, item

_lists_row = partial(Case, "lists")

SLICES = ("datalist validate", "prepare --layout slices")
LIST = ("datalist validate", "datalist summary", "prepare")
NAMES = ["subdural", "epidural"]


def _picture(change=lambda raw: raw, *, frames: int = 1, **more: str) -> Maker:
    """The bad scan is a PNG without label, its bytes changed."""

    def make(world: World) -> None:
        pictures = [
            Image.fromarray(np.random.default_rng(seed).integers(0, 255, (32, 32), dtype=np.uint8))
            for seed in range(frames)
        ]
        stream = io.BytesIO()
        pictures[0].save(stream, "PNG", save_all=frames > 1, append_images=pictures[1:])
        world.image.unlink()
        world.bad.update({"image": "bad.png"} | more)
        del world.bad["label"]
        world.image.write_bytes(change(stream.getvalue()))

    return make


def _findings(names: list[str] | None, **change) -> Maker:
    def make(world: World) -> None:
        item(change)(world)
        if names is not None:
            document(finding_names=names)(world)

    return make


def _constant_mr(world: World) -> None:
    image(lambda array: np.full_like(array, 7))(world)
    world.bad["modality"] = "MR"


IMAGES = [
    Case(
        "bytes", "a PNG cut short", SLICES, _picture(cut(0.6)), ("bad.png", "a readable PNG or JPEG", "copy or export")
    ),
    Case(
        "bytes", "no PNG", SLICES, _picture(lambda _: b"none"), ("bad.png", "a readable PNG or JPEG", "copy or export")
    ),
    Case(
        "bytes", "several pictures in one PNG", SLICES, _picture(frames=2), ("bad.png", "one picture", "split the file")
    ),
    Case(
        "values",
        "a PNG in a list of CT volumes",
        ("prepare",),
        _picture(),
        ("bad.png", "expected Hounsfield units", "8-bit picture"),
    ),
    Case(
        "values",
        "an MR of one value",
        SLICES,
        _constant_mr,
        ("bad.nii.gz", "the value 7 in nearly all voxels", "correct the file"),
    ),
    _lists_row(
        "a finding that finding_names does not have",
        LIST,
        _findings(NAMES, findings={"stroke": 1}),
        ("training[2].findings: bad.nii.gz", "one of the findings subdural, epidural", '"stroke"', "correct it"),
    ),
    _lists_row(
        "findings without finding_names",
        LIST,
        _findings(None, findings={"stroke": 1}),
        ('the key "finding_names"', '"stroke"', "write the names of all findings there"),
    ),
    _lists_row(
        "a finding that is neither 0, 1 nor null",
        LIST,
        _findings(NAMES, findings={"epidural": 0.5}),
        ("training[2].findings.epidural: bad.nii.gz", "0, 1 or null", "0.5"),
    ),
    _lists_row(
        "slice_findings for another number of slices",
        ("datalist validate",),
        _findings(None, slice_findings=[0, 1]),
        ("bad.nii.gz", "slice_findings of 12 values, one for each slice", "give each slice of the file its value"),
    ),
]
