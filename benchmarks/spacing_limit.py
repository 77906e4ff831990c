"""Dice of a label with itself, brought to a spacing and back by the nearest voxel: what can be reached at that spacing.

python benchmarks/spacing_limit.py --data /data/real_ct --data_list runs/lists/target.json --spacing 5
"""

from __future__ import annotations

import argparse

import torch
from monai.transforms import EnsureChannelFirst, LoadImage, Orientation, ResampleToMatch, Spacing

from monai_cl.data import load_data_list


def limits(label: torch.Tensor, spacing: float) -> dict[int, tuple[float, float]]:
    """Value -> Dice, and volume in ml.

    Args:
        label: (1, X, Y, Z) with its affine.
        spacing: mm.
    """
    there = Spacing((spacing,) * 3, mode="nearest")(label)
    back = ResampleToMatch(mode="nearest")(there, label)
    voxel = float(label.affine[:3, :3].det().abs()) / 1000
    found = {}
    for value in label.unique().int().tolist():
        one, other = label == value, back == value
        found[value] = (2 * int((one & other).sum()) / int(one.sum() + other.sum()), int(one.sum()) * voxel)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="the paths of the list start here")
    parser.add_argument("--data_list", required=True)
    parser.add_argument("--spacing", type=float, default=5.0, help="mm")
    options = parser.parse_args()
    content = load_data_list(options.data_list, data_root=options.data)
    read = LoadImage(image_only=True), EnsureChannelFirst(), Orientation("RAS", labels=None)
    for item in [item for split in ("training", "validation", "test") for item in content.items(split)]:
        label = item["label"]
        for step in read:
            label = step(label)
        names = next(data.classes for data in content.datasets if data.name == item["dataset"])
        for value, (dice, volume) in limits(label, options.spacing).items():
            if value in names and value:
                print(f"{item['id']}  {names[value]:32s} {volume:8.1f} ml  {dice:.2f}")


if __name__ == "__main__":
    main()
