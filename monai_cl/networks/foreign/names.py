"""Names under which other projects, and other versions, store the same tensors: the one table of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
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
    r"vit\.patch_embedding\.cls_token$",  # UNETR up to MONAI 0.8: there without classification too
)
# names of earlier versions and of pre-trainings -> MONAI's; where a network has such names itself they stay
RENAMED = (
    (r"(^|\.)swin_vit\.", r"\1swinViT."),  # pre-training of SwinUNETR, MONAI's `SSLHead`
    (r"(^|\.)encoder\.(?=patch_embed\.|layers[1-4]\.)", r"\1swinViT."),  # disruptive autoencoders, MONAI's tutorial
    (r"(^|\.)(layers[1-4])\.0\.0\.", r"\1\2.0."),  # the same
    (r"(^|\.)mlp\.fc([12])\.", r"\1mlp.linear\2."),  # `model_swinvit.pt` of MONAI's pre-training
)
# parts of a network that others train alone, under names without these
ALONE = ("vit.", "swinViT.")
# what the file may have beyond the network: tensors that no output depends on, and heads beside a transformer
EXTRA = (
    *UNUSED,
    r"vit\.(?!patch_embedding\.|blocks\.|norm\.)",
    r"swinViT\.(?!patch_embed\.|layers\d)",
)
# of MONAI's residual blocks: up to 0.8 always built, but called only where the channels change, where they still are
_SHORTCUT = r"((?:en|de)coder\d+\..*\.)conv3\."
# the last layer, of as many channels as the task has classes: not transferred
OUTPUT_LAYERS = ("out.", "conv_final.", "final_conv.", "output_block.", "decoder.seg_layers.")
# pattern of a name -> whose it is, and what to do where no network here is the same
_NNUNET = "no backbone here has its blocks: fine-tune it in nnU-Net, or pre-train --backbone dynunet"
SIGNATURES = (
    (r"(^|\.)vit\.patch_embedding\.", "UNETR of MONAI", ""),
    (r"(^|\.)patch_embedding\.position_embeddings$", "ViT or ViTAutoEnc of MONAI, the transformer of its UNETR", ""),
    (r"(^|\.)layers1c\.0\.", "SwinUNETR of MONAI with use_v2, as VoCo's", ""),
    (r"(^|\.)swinViT\.", "SwinUNETR of MONAI", ""),
    (r"(^|\.)layers1\.0\.(0\.)?blocks\.", "SwinTransformer of MONAI, the transformer of its SwinUNETR", ""),
    (r"(^|\.)encoder\.stages\.\d+\.\d+\.convs\.", "convolutional encoder of nnU-Net v2 (PlainConvUNet)", ""),
    (r"(^|\.)encoder\.stages\.\d+\.blocks\.", "residual encoder of nnU-Net v2 or nnssl (ResidualEncoderUNet)", _NNUNET),
    (r"(^|\.)eva\.blocks\.", "Primus of nnssl or nnU-Net v2", _NNUNET),
    (
        r"(^|\.)conv_blocks_context\.",
        "nnU-Net v1 (Generic_UNet)",
        "PlainConvUNet of nnU-Net v2 fits --backbone dynunet",
    ),
    (r"(^|\.)input_block\.conv1\.conv\.", "DynUNet of MONAI", ""),
    (r"(^|\.)down_layers\.\d+\.", "SegResNet of MONAI", ""),
    (
        r"(^|\.)down_tr64\.",
        "3D U-Net of Models Genesis or SuPreM",
        "no backbone here is this U-Net: take SuPreM's SwinUNETR (--backbone swin_unetr_1_4) or SegResNet (segresnet)",
    ),
    (r"(^|\.)backbone\.layers\.\d+\.", "encoder of slices of this project (TinyNet)", ""),
    (r"(^|\.)layer1\.0\.conv1\.weight$", "ResNet with torchvision's names", ""),
)


def bare_name(name: str) -> str:
    """A tensor's name without the `PREFIXES` of DDP, `MixCLNet` and torch.compile."""
    while prefix := next((prefix for prefix in PREFIXES if name.startswith(prefix)), ""):
        name = name[len(prefix) :]
    return name


def renamed(weights: Mapping[str, T], own: Collection[str] = ()) -> dict[str, T]:
    """The weights with `RENAMED` applied.

    Args:
        weights: of a file.
        own: names of the network, whose own manner of naming stays.
    """
    rules = [(old, new) for old, new in RENAMED if not any(re.search(old, name) for name in own)]
    made = {}
    for name, tensor in weights.items():
        for old, new in rules:
            name = re.sub(old, new, name)
        made[name] = tensor
    return made


def named_as(weights: Mapping[str, T], names: Collection[str]) -> dict[str, T]:
    """The weights under a network's own names.

    Where most of the names follow one prefix in the file (Lightning's ``model.``, SuPreM's ``backbone.``), what lies
    under it is taken, and the rest, which belongs to other parts of the trained whole, is left. A transformer alone is
    found as the network's part (`ALONE`). Tensors of `EXTRA` that the network does not have are left out.

    Args:
        weights: of a file.
        names: of the network.
    """
    own = set(names)
    given = renamed(weights, own)
    found = _under_one_prefix(given, own)
    for part in ALONE:
        inner = {name.removeprefix(part) for name in own if name.startswith(part)}
        if inner and not any(name.startswith(part) for name in found):
            alone = _under_one_prefix(given, inner)
            if 2 * len(inner & alone.keys()) > len(inner):  # not what its blocks share with those of another
                found = {part + name: tensor for name, tensor in alone.items()}
    return {name: t for name, t in found.items() if name in own or not _is_extra(name, own)}


def _under_one_prefix(weights: Mapping[str, T], own: set[str]) -> dict[str, T]:
    counts = Counter[str]()
    for given in weights:
        parts = given.split(".")
        counts.update(".".join(parts[:n]) for n in range(len(parts)) if ".".join(parts[n:]) in own)
    # of several equal parts, such as a network and its momentum copy, the one with the shorter name
    prefix = max(counts, key=lambda found: (counts[found], -len(found)), default="")
    inside = f"{prefix}." if prefix else ""
    return {name[len(inside) :]: tensor for name, tensor in weights.items() if name.startswith(inside)}


def _is_extra(name: str, own: set[str]) -> bool:
    sibling = re.sub(_SHORTCUT, r"\1conv1.", name)
    return _matches(name, EXTRA) or (sibling != name and sibling in own)


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(re.match(pattern, name) for pattern in patterns)


def is_unused(name: str) -> bool:
    """Whether a name is that of a tensor of another version on which nothing depends."""
    return _matches(name, UNUSED)


def likely_architecture(names: Collection[str]) -> str | None:
    """Whose network the names of a state dict look like; None where they are not known."""
    return next((what for what, _ in _signatures(names)), None)


def elsewhere(names: Collection[str]) -> str:
    """What to do with weights whose network no network here is; "" where one is, or where they are not known."""
    return next((remedy for _, remedy in _signatures(names)), "")


def _signatures(names: Collection[str]) -> Iterator[tuple[str, str]]:
    for pattern, what, remedy in SIGNATURES:
        if any(re.search(pattern, name) for name in names):
            yield what, remedy
