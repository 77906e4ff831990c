"""How long do labels on a scan's own grid take, by `InvertLabelsd` and by MONAI's `Invertd` with argmax?

    OMP_NUM_THREADS=1 python benchmarks/inverse_labels.py scan.nii.gz label.nii.gz --spacing 1.5 1.5 2

The class scores, on the network's grid, are those of the label map itself, blurred over 5³ voxels. Times are of the
processor, both in turn; the labels are compared.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median

import torch
from monai.data import MetaTensor
from monai.transforms import AsDiscreted, Compose, Invertd, LoadImaged, Orientationd, ResampleToMatchd
from provenance import provenance, write_record

from monai_cl.engines.segmentation.data import image_preprocessing
from monai_cl.transforms import InvertLabelsd


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", help="a CT")
    parser.add_argument("label", help="its label map, ids 0 to 13 as those of BTCV")
    parser.add_argument("--spacing", type=float, nargs=3, default=(1.5, 1.5, 2.0), help="of the network's grid, mm")
    parser.add_argument("--classes", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="JSON file; printed in any case")
    options = parser.parse_args()
    torch.set_num_threads(1)

    preprocessing = image_preprocessing(spacing=options.spacing)
    item = preprocessing({"image": options.scan})
    reading = [LoadImaged("label", ensure_channel_first=True), Orientationd("label", "RAS", labels=None)]
    label = Compose([*reading, ResampleToMatchd("label", "image", mode="nearest")])({**item, "label": options.label})
    ids = torch.arange(options.classes)[:, None, None, None]
    scores = (label["label"].as_tensor() == ids).float()
    scores = torch.nn.functional.avg_pool3d(scores[None], 5, 1, 2)[0]

    ways = {
        "InvertLabelsd": InvertLabelsd("pred", preprocessing, "image"),
        "Invertd, AsDiscreted": Compose(
            [Invertd("pred", preprocessing, "image", nearest_interp=False), AsDiscreted("pred", argmax=True)]
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    labels = {}
    for _ in range(options.rounds):
        for name, way in ways.items():
            given = {**item, "pred": MetaTensor(scores.clone(), meta=dict(item["image"].meta))}
            begin = time.process_time()
            labels[name] = way(given)["pred"]
            seconds[name].append(time.process_time() - begin)
    ours, theirs = labels.values()
    record = {
        "what": "labels on the scan's own grid from class scores on the network's",
        "grid": list(scores.shape),
        "scan": list(theirs.shape[1:]),
        "seconds": {name: round(median(taken), 2) for name, taken in seconds.items()},
        "voxels_that_differ": int((ours != theirs).sum()),
        "scores_not_written_bytes": theirs.numel() * options.classes * 4,
        **provenance(),
    }
    write_record(record, options.output)


if __name__ == "__main__":
    main()
