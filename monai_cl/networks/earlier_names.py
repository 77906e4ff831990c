"""Names that the tensors of a pre-training on slices had in earlier versions, when its encoder had no prefix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

_TARGET = "momentum.target."


def in_encoder(name: str) -> bool:
    """Whether a name is that of a tensor of a `SliceEncoder` without its head: backbone and standardisation."""
    return name.startswith("backbone.") or name in ("mean", "std")


def current_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of a pre-training of any version under today's names.

    ``backbone.…`` and BYOL's ``online.backbone.…`` become ``encoder.backbone.…``, ``online.head.…`` becomes ``head.…``;
    likewise below ``momentum.target.``.
    """
    renamed = {}
    for name, tensor in weights.items():
        where = _TARGET if name.startswith(_TARGET) else ""
        bare = name[len(where) :].removeprefix("online.")
        renamed[f"{where}encoder.{bare}" if in_encoder(bare) else f"{where}{bare}"] = tensor
    return renamed


def rename_when_loading(network: nn.Module) -> None:
    """Let a network that has its encoder under ``encoder.`` load state dicts of earlier versions as well."""
    network.register_load_state_dict_pre_hook(_rename)


def _rename(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    moved = {name: state.pop(name) for name in list(state) if name.startswith(prefix)}
    renamed = current_names({name[len(prefix) :]: tensor for name, tensor in moved.items()})
    state.update({f"{prefix}{name}": tensor for name, tensor in renamed.items()})
