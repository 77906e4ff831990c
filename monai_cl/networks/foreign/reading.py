"""Tensors from a file that anybody may have written: no code of it is run, and the true reason is given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_cl.errors import UserError
from monai_cl.networks.archive import checksum_error
from monai_cl.networks.foreign.names import WRAPPERS, bare_name

_WHAT = "not a readable PyTorch checkpoint of plain tensors"
# a checkpoint often holds its best score, as a number of NumPy's; torch does not allow these by itself
_KINDS = (torch.float64, torch.float32, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool)
_NUMBER = torch.zeros(1, dtype=torch.float64).numpy()[0]
_NUMBERS: list[Any] = [
    *((_NUMBER.__reduce__()[0], f"{module}.multiarray.scalar") for module in ("numpy._core", "numpy.core")),
    type(_NUMBER.dtype).__mro__[-2],  # numpy.dtype
    *(type(torch.zeros(1, dtype=kind).numpy().dtype) for kind in _KINDS),
]


def read_checkpoint_content(path: str | Path) -> Any:
    """What ``torch.load(weights_only=True)`` reads, checksums compared, numbers of NumPy allowed.

    Raises:
        UserError: when the file is missing, damaged, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(path, found="no such checkpoint file", remedy="correct the path")
    if fault := checksum_error(path):
        raise UserError(path, found=f"{_WHAT}, found a damaged file ({fault})", remedy="copy it again")
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if classes := _classes_in(path):
            raise UserError(
                path,
                found=f"{_WHAT}: it holds objects of {', '.join(classes[:3])}{', …' if len(classes) > 3 else ''}",
                remedy="where you trust its author, load it with torch.load(…, weights_only=False) and save the state "
                "dict alone: torch.save(network.state_dict(), 'weights.pt')",
            ) from error
        raise UserError(
            path, found=f"{_WHAT}, found an empty, cut or other file", remedy="copy it again, or correct the path"
        ) from error


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a flat state dict from a checkpoint, without unpickling code.

    Accepts a bare state dict or one under one of `WRAPPERS`; strips the prefixes of DDP, `MixCLNet` and torch.compile.

    Raises:
        UserError: when the file is missing, damaged, or holds no tensors.
    """
    path = Path(path)
    content = read_checkpoint_content(path)
    weights = {bare_name(name): tensor for name, tensor in state_dict_in(content)[1].items()}
    if not weights:
        known = f"no tensor in it, nor under {', '.join(WRAPPERS)}"
        keys = f" (it has {', '.join(map(str, list(content)[:5]))})" if isinstance(content, Mapping) else ""
        raise UserError(path, expected="a state dict (name → tensor)", found=f"{known}{keys}")
    return weights


def state_dict_in(content: Any) -> tuple[str | None, dict[str, Tensor]]:
    """The state dict of a checkpoint and the key it lies under; None where it is the whole.

    Args:
        content: of the file.
    """
    if not isinstance(content, Mapping):
        return None, {}
    for wrapper in WRAPPERS:
        if tensors := _tensors(content.get(wrapper)):
            return wrapper, tensors
    return None, _tensors(content)


def _tensors(content: Any) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _classes_in(path: Path) -> list[str]:
    """Full names of the classes and functions that unpickling the file would call, without doing it."""
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # damaged, or in the format before PyTorch 1.6
        return []
