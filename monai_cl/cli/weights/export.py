"""``python -m monai_cl export``: weights for other people's tools, each with a model card."""

from __future__ import annotations

import json
import shlex
from typing import Any

from monai_cl.errors import echo


def export_command(file: str, *, format: str, output: str, overwrite: bool = False) -> None:
    """Write the weights of a file of this project for MONAI, timm, nnU-Net v2 or as safetensors, with a model card.

    The card, OUTPUT.md, says from the file's record what was trained on what; ids of scans and patients are in neither
    file. See docs/model_files.md.

    Example:
        python -m monai_cl export encoder.pt --format monai --output unetr.pt

    Args:
        file: encoder.pt, model.pt or checkpoint_iteration=N.pt; results.json is read beside it.
        format: monai (UNETR, SwinUNETR, SegResNet, DynUNet, BasicUNet), timm (ResNet-18, 50, 152), nnunet (DynUNet), or
            safetensors (needs the package safetensors).
        output: file to write.
        overwrite: replace a file that is there, and its card.
    """
    from monai_cl.engines import export_weights

    made = export_weights(str(file), format=format, output=str(output), overwrite=overwrite)
    weights = made.weights
    network = f" of a {weights.network} ({', '.join(weights.parts)})" if weights.network else ""
    echo(f"wrote {made.file}: {len(weights.tensors)} tensors{network}, and {made.card}")
    if format == "nnunet":
        _say_plans(made)


def _say_plans(made: Any) -> None:
    arguments = made.weights.arguments["arch_kwargs"]
    echo("nnU-Net's plans must have, in the configuration that is trained (the whole entry is in the card):")
    for key in ("n_stages", "features_per_stage", "kernel_sizes", "strides"):
        echo(f"  {key}: {json.dumps(arguments[key])}")
    if "decoder" in made.weights.parts:
        file = shlex.quote(str(made.file))
        echo(f"then: nnUNetv2_train YOUR_DATASET YOUR_CONFIGURATION YOUR_FOLD -pretrained_weights {file}")
    else:
        echo(
            f"no trained decoder in it, which nnUNetv2_train -pretrained_weights asks for: load it as {made.card} shows"
        )
