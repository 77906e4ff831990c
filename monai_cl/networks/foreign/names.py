"""Names under which other projects, and other versions, store the same tensors: the one table of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import TypeVar

T = TypeVar("T")

# keys of a checkpoint under which its state dict lies
WRAPPERS = (
    "network",  # this project; MONAI's CheckpointSaver with {"network": …}
    "model",  # timm, MMEngine, many scripts
    "state_dict",  # PyTorch Lightning, MONAI's tutorials
    "net",  # SuPreM
    "model_state_dict",  # PyTorch's own tutorial
    "network_weights",  # nnU-Net v2, nnssl
)
# what wrappers of a network put before every name; other prefixes are found by `named_as`
PREFIXES = ("module.", "unetr.", "network.", "_orig_mod.")  # DDP, `MixCLNet` (two), torch.compile
# tensors of other versions that no output depends on
UNUSED = (
    r"vit\.blocks\.\d+\.cross_attn\.",  # UNETR up to MONAI 1.5.2: built, never called
    r"vit\.patch_embedding\.cls_token$",  # UNETR up to MONAI 1.2: there without classification too
)
# the last layer, of as many channels as the task has classes: not transferred
OUTPUT_LAYERS = ("out.", "conv_final.", "final_conv.", "output_block.", "decoder.seg_layers.")
# pattern of a name -> whose it is
SIGNATURES = (
    (r"(^|\.)vit\.patch_embedding\.", "UNETR of MONAI"),
    (r"(^|\.)swinViT\.", "SwinUNETR of MONAI"),
    (r"(^|\.)encoder\.stages\.\d+\.\d+\.convs\.", "convolutional encoder of nnU-Net v2 (PlainConvUNet)"),
    (r"(^|\.)encoder\.stages\.\d+\.blocks\.", "residual encoder of nnU-Net v2 or nnssl (ResidualEncoderUNet)"),
    (r"(^|\.)conv_blocks_context\.", "nnU-Net v1 (Generic_UNet)"),
    (r"(^|\.)input_block\.conv1\.conv\.", "DynUNet of MONAI"),
    (r"(^|\.)down_layers\.\d+\.", "SegResNet of MONAI"),
    (r"(^|\.)down_tr64\.", "3D U-Net of Models Genesis or SuPreM"),
    (r"(^|\.)backbone\.layers\.\d+\.", "encoder of slices of this project (TinyNet)"),
    (r"(^|\.)layer1\.0\.conv1\.weight$", "ResNet with torchvision's names"),
)


def bare_name(name: str) -> str:
    """A tensor's name without the `PREFIXES` of DDP, `MixCLNet` and torch.compile."""
    while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), ""):
        name = name[len(prefix) :]
    return name


def named_as(weights: Mapping[str, T], names: Collection[str]) -> dict[str, T]:
    """The weights under a network's own names.

    Where most of the names follow one prefix in the file (Lightning's ``model.``, SuPreM's ``backbone.``), what lies
    under it is taken, and the rest, which belongs to other parts of the trained whole, is left. Tensors of `UNUSED`
    that the network does not have are left out.

    Args:
        weights: of a file.
        names: of the network.
    """
    own, counts = set(names), Counter[str]()
    for given in weights:
        parts = given.split(".")
        counts.update(".".join(parts[:n]) for n in range(len(parts)) if ".".join(parts[n:]) in own)
    # of several equal parts, such as a network and its momentum copy, the one with the shorter name
    prefix = max(counts, key=lambda found: (counts[found], -len(found)), default="")
    inside = f"{prefix}." if prefix else ""
    found = {name[len(inside) :]: tensor for name, tensor in weights.items() if name.startswith(inside)}
    return {name: tensor for name, tensor in found.items() if name in own or not is_unused(name)}


def is_unused(name: str) -> bool:
    """Whether a name is that of a tensor of another version on which nothing depends."""
    return any(re.match(pattern, name) for pattern in UNUSED)


def likely_architecture(names: Collection[str]) -> str | None:
    """Whose network the names of a state dict look like; None where they are not known."""
    return next((what for pattern, what in SIGNATURES if any(re.search(pattern, name) for name in names)), None)
