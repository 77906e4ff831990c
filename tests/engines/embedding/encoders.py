"""Small encoders of every kind in files that say what they are, and scans for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from monai_cl.networks import (
    MetaLabelNet,
    MixCLNet,
    ScanClassifier,
    SliceUNet,
    UNetEncoder,
    clustering_network,
    describe_network,
    projected_encoder,
    save_weights,
    scan_classifier,
    slice_encoder,
)
from tests.data.volume_files import affine_of, ct_array, write_nifti

PATCH = 32
EDGES = {"swin_unetr": 64}  # of a patch, where 32 voxels are too few
_VOLUMES = {"spacing": [2.0, 2.0, 2.0], "window": [-150.0, 250.0], "modality": "CT"}
INPUT: dict[str, dict[str, Any]] = {
    "unetr": _VOLUMES,
    "dynunet": {**_VOLUMES, "patch_size": [PATCH] * 3},
    "segresnet": {**_VOLUMES, "patch_size": [PATCH] * 3},
    "swin_unetr": {**_VOLUMES, "patch_size": [64] * 3},
    "tinynet": {"window": [-100.0, 400.0], "image_size": 160, "fraction": 0.5, "neighbours": 1, "modality": "CT"},
    "clustering": {"window": [-100.0, 400.0], "image_size": 32, "fraction": 1.0, "intensity": "by_modality"},
    "unet": {"intensity": "percentiles", "window": None, "image_size": 32, "fraction": 1.0},
    "segmentation": {"intensity": "hounsfield", "window": [-100.0, 400.0], "image_size": 32, "fraction": 1.0},
    "boxes": {"window": [-45.0, 155.0], "box_size": [8, 32, 32], "modality": "CT"},
}


def network(kind: str) -> nn.Module:
    """What the training of a bundle leaves, small and with weights that are not those of a fresh batch norm."""
    torch.manual_seed(0)
    features = [4, 4, 4, 4, 6, 4]
    made: dict[str, Any] = {
        "unetr": lambda: MixCLNet(img_size=PATCH, feature_size=4, hidden_size=24, mlp_dim=48, num_heads=2),
        "dynunet": lambda: MixCLNet(backbone="dynunet", img_size=PATCH, feature_size=4),
        "segresnet": lambda: MixCLNet(backbone="segresnet", img_size=PATCH, feature_size=8),
        "swin_unetr": lambda: MixCLNet(backbone="swin_unetr", img_size=64, feature_size=12),
        "tinynet": lambda: projected_encoder(slice_encoder(width=0.125, in_channels=3, head=())),
        "clustering": lambda: clustering_network(slice_encoder("resnet18", head=()), prototypes=3),
        "unet": lambda: MetaLabelNet(
            slice_encoder(UNetEncoder(features=features), head=(), mean=0.0, std=1.0, image_size=32), ["patient"]
        ),
        "segmentation": lambda: SliceUNet(3, features=features),
        "boxes": lambda: scan_classifier(),
    }
    net = made[kind]()
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return net.eval()


def write_encoder(path: Path, kind: str, **preprocessing: Any) -> Path:
    net = network(kind)
    described = {"network": describe_network(net), "preprocessing": {**INPUT[kind], **preprocessing}}
    return save_weights(net.state_dict(), path, {"kind": "pretraining", "bundle": kind, "preset": kind, **described})


def write_scan(path: Path, seed: int = 0, shape: tuple[int, int, int] = (40, 36, 20), spacing: float = 2.0) -> Path:
    return write_nifti(path, ct_array(shape, seed), affine_of("LPS", (spacing,) * 3))


def write_head(path: Path, seed: int = 0) -> Path:
    """A head of 150 x 160 mm in 20 slices of 8 mm."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(-100, 100, 50), np.linspace(-100, 100, 50), indexing="ij")
    inside = (x / 75) ** 2 + (y / 80) ** 2 < 1
    array = np.where(inside[..., None], 40 + rng.normal(0, 20, (50, 50, 20)), -1000)
    return write_nifti(path, np.round(array).astype(np.int16), affine_of("RAS", (4.0, 4.0, 8.0)))


KINDS = tuple(kind for kind in INPUT if kind not in EDGES)  # those of larger patches take minutes
__all__ = [
    "EDGES",
    "KINDS",
    "PATCH",
    "ScanClassifier",
    "network",
    "write_encoder",
    "write_head",
    "write_scan",
]
