"""Predictions of scans and of variants of them, for a measure of robustness."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from monai_cl.addressing import Stream, address_rng
from monai_cl.data import HeadBoxes
from monai_cl.errors import UserError
from monai_cl.networks import ScanClassifier
from monai_cl.networks.modes import evaluation_mode
from monai_cl.transforms import apply_variant, draw_variant
from monai_cl.transforms.volume.variants import FAMILIES


@torch.no_grad()
def variant_predictions(
    network: ScanClassifier,
    boxes: HeadBoxes,
    *,
    cases: int = 50,
    variants: int = 50,
    seed: int = 0,
    device: torch.device | str = "cpu",
    batch_size: int = 10,
    progress: bool = False,
) -> dict[str, Any]:
    """Probability of class 1 of scans as they are and of variants of each.

    Args:
        network: used in evaluation mode.
        boxes: scans of both classes.
        cases: scans, half of each class, chosen by a hash of seed and patient; fewer where there are fewer.
        variants: of each scan and family, see `monai_cl.transforms.draw_variant`.
        seed: of the choice and of the variants, which depend on seed, the place among the chosen and number.
        device: where the network runs.
        batch_size: volumes of one forward pass.
        progress: show a bar of the scans.

    Returns:
        ``ids`` and ``labels`` of the scans, ``probability`` (n,), and under ``varied`` family -> (n, v).

    Raises:
        UserError: a class without scans.
    """
    from tqdm import tqdm

    chosen = []
    for label in (0, 1):
        own = [number for number, volume in enumerate(boxes.volumes) if volume.target == label]
        if not own:
            raise UserError("robustness", expected="scans of class 0 and 1", found=f"none of class {label}")
        chosen += sorted(own, key=lambda number: _rank(seed, boxes.volumes[number].patient))[: max(1, cases // 2)]

    def predict(volumes: Sequence[torch.Tensor]) -> np.ndarray:
        parts = torch.stack(list(volumes)).to(device).split(batch_size)
        return torch.cat([network.outputs(part)["target"].sigmoid() for part in parts])[:, 0].cpu().numpy()

    probability: list[np.ndarray] = []
    varied: dict[str, list[np.ndarray]] = {family: [] for family in FAMILIES}
    with evaluation_mode(network):
        bar = tqdm(chosen, desc="Robustness", unit="scan", disable=not progress, leave=False)
        for place, number in enumerate(bar):
            image = boxes[number]["image"]
            probability.append(predict([image])[0])
            for family in FAMILIES:
                drawn = [
                    draw_variant(address_rng(seed, Stream.VIEWS, place, variant), family) for variant in range(variants)
                ]
                varied[family].append(predict([apply_variant(image, variant) for variant in drawn]))
    return {
        "ids": [boxes.volumes[number].id for number in chosen],
        "labels": np.array([boxes.volumes[number].target for number in chosen]),
        "probability": np.array(probability),
        "varied": {family: np.stack(rows) for family, rows in varied.items()},
    }


def _rank(seed: int, patient: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{patient}".encode("utf-8", "surrogatepass")).digest()
