"""Records of previews that are made up: arrays of a few voxels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from monai_cl.data.records.previewed import PATCH, Preview, PreviewedSample, SourceScan, View

SCAN = SourceScan(
    "case_1", "patient_1", "liver", (1.5, 1.5, 2.0), "HU", (-1000.0, 300.0), (0.4, 0.02), 1.0, (-150.0, 250.0)
)


def view(name: str = "patch", *, organ: bool = True, seed: int = 0, **more: Any) -> View:
    """A patch of 16 voxels a side with an organ of label 1 in rows 4 to 8."""
    image = np.random.default_rng(seed).random((1, 16, 16, 16), dtype=np.float32)
    label = np.zeros((16, 16, 16), np.uint8)
    label[4:8, 4:8, 10:12] = organ
    return replace(View(name, image, PATCH, label), **more)


def sample(*, organ: bool = True, seed: int = 0, scan: SourceScan = SCAN, **more: Any) -> PreviewedSample:
    """A sample of one patch, with a depth."""
    made = view(organ=organ, seed=seed)
    share = float((made.label > 0).mean())
    return replace(PreviewedSample(1, {"depth": 0.5}, (scan,), 0.01, (share,), (made,)), **more)


def preview(*samples: PreviewedSample, **more: Any) -> Preview:
    """Of these samples, or of four that differ."""
    chosen = samples or tuple(sample(seed=seed) for seed in range(4))
    made = Preview(
        bundle="spleen_unetr_segmentation",
        config=("/home/someone/train.yaml",),
        overrides={"dataset_dir": "/data/ward_7"},
        seed=0,
        samples=chosen,
        targets=(),
        organs={"liver": {1: "liver"}},
        classes={"0": "no sign", "1": "cirrhosis"},
        batch_size=len(chosen),
        sample_bytes=2**20,
        batch_bytes=2**22,
        batch_seconds=0.02,
        prepared=0,
        prepared_seconds=0.0,
        store="/data/store",
        notes=("/data/ward_7: one scan has no label",),
    )
    return replace(made, **more)
