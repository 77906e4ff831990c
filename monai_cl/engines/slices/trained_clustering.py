"""The sizes of a trained clustering network, read from its weights: an evaluation need not be told them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_cl.networks.foreign.reading import read_weights

_HEADS = "label_heads."


def trained_clustering(checkpoint: str | Path) -> dict[str, Any]:
    """What a `ClusteringNet` was made with, beside its encoder.

    Args:
        checkpoint: ``model.pt`` or a checkpoint.

    Returns:
        ``prototypes``, of all modalities together, ``embedding``, ``head_norm``, and ``label_heads``, name -> number of
        outputs; empty for another network, or where there is no such file.

    Raises:
        UserError: a damaged file.
    """
    if not Path(checkpoint).is_file():
        return {}
    weights = read_weights(checkpoint)
    if "prototypes.weight" not in weights:
        return {}
    prototypes, embedding = weights["prototypes.weight"].shape
    heads = {name: len(weights[name]) for name in weights if name.startswith(_HEADS) and name.endswith(".weight")}
    return {
        "prototypes": prototypes,
        "embedding": embedding,
        "head_norm": any(name.startswith("head.") and name.endswith("running_mean") for name in weights),
        # of a head of several layers, the last
        "label_heads": {name.removeprefix(_HEADS).split(".")[0]: outputs for name, outputs in heads.items()},
    }


def divided_prototypes(total: int, parts: int) -> list[int]:
    """Numbers that sum to those of a network, for a loss that is made and not used: how they were divided is not known.

    Args:
        total: prototypes of the network.
        parts: modalities, or 1.
    """
    return [total - (parts - 1), *[1] * (parts - 1)]
