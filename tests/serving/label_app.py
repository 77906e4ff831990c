"""A small app for tests of the server itself: three synthetic scans and a network of random weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from monai.networks.nets import UNETR

from monai_cl.data import write_cohort
from monai_cl.serving import lay_out_app

MODEL = "spleen_unetr_segmentation"
CASES = [f"spleen_000{number}" for number in range(3)]
_SIZES = {"patch_size": [32, 32, 32], "feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2}


def lay_out_small_app(root: Path) -> Path:
    """``app`` and ``studies`` in a folder; returns that of the scans' labels."""
    sizes = {**_SIZES, "img_size": _SIZES["patch_size"], "in_channels": 1, "out_channels": 2}
    del sizes["patch_size"]
    torch.manual_seed(0)
    torch.save(UNETR(**sizes).state_dict(), root / "weights.pt")
    write_cohort(root / "cohort", cases=len(CASES), spacing=12, progress=False)
    images, labels = (root / "cohort" / "synthetic_spleen" / name for name in ("images", "labels"))
    shutil.copytree(images, root / "studies")
    overrides = {**_SIZES, "organs": ["spleen"], "spacing": [12, 12, 12], "num_workers": 0, "prepare_workers": 1}
    lay_out_app(root / "app", MODEL, checkpoint=root / "weights.pt", overrides={**overrides, "epoch_length": 2})
    return labels
