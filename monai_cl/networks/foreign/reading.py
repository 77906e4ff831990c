"""Tensors from a file that anybody may have written: no code of it is run, and the true reason is given."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_cl.errors import UserError
from monai_cl.networks.archive import checksum_error
from monai_cl.networks.foreign.names import WRAPPERS, bare_name

_AVERAGE = "handlers.weight_average.network"
"""Where a run of this project has its `WeightAverage`, which goes before the weights it continues with."""
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
        kind, remedy = _other_kind(path)
        raise UserError(path, found=f"{_WHAT}, found {kind}", remedy=remedy) from error


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a flat state dict from a checkpoint, without unpickling code.

    Accepts a bare state dict, one under one of `WRAPPERS`, or the only one in the file, and takes the average of a run
    that has one; strips the prefixes of DDP, `MixCLNet` and torch.compile.

    Raises:
        UserError: when the file is missing, damaged, holds no tensors, several state dicts, or weights that are not
            finite.
    """
    path = Path(path)
    content = read_checkpoint_content(path)
    weights = {bare_name(name): tensor for name, tensor in state_dict_in(content)[1].items()}
    if not weights and len(inner := _inner_state_dicts(content)) > 1:
        name = min(inner)
        keys = "".join(f"[{key!r}]" for key in name.split("."))
        raise UserError(
            path,
            expected="one state dict (name → tensor)",
            found=f"{len(inner)}: {', '.join(f'{key} ({len(inner[key])} tensors)' for key in sorted(inner))}",
            remedy=f"save the one to use alone: torch.save(torch.load({str(path)!r}){keys}, 'weights.pt')",
        )
    if not weights:
        known = f"no tensor in it, nor under {', '.join(WRAPPERS)}"
        keys = f" (it has {', '.join(map(str, list(content)[:5]))})" if isinstance(content, Mapping) else ""
        raise UserError(path, expected="a state dict (name → tensor)", found=f"{known}{keys}")
    if bad := [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]:
        raise UserError(
            path,
            expected="finite weights",
            found=f"nan or infinity in {bad[0]}" + (f" and {len(bad) - 1} more tensors" if bad[1:] else ""),
            remedy="the training that wrote them has diverged: take an earlier checkpoint of it",
        )
    return weights


def state_dict_in(content: Any) -> tuple[str | None, dict[str, Tensor]]:
    """The state dict of a checkpoint and the key it lies under; None where it is the whole.

    Args:
        content: of the file.
    """
    if not isinstance(content, Mapping):
        return None, {}
    for wrapper in (_AVERAGE, *WRAPPERS):
        part: Any = content
        for key in wrapper.split("."):
            part = part.get(key) if isinstance(part, Mapping) else None
        if tensors := _tensors(part):
            return wrapper, tensors
    whole, inner = _tensors(content), _inner_state_dicts(content)
    # a checkpoint may keep a tensor beside its state dict, such as the state of a generator
    if sum(map(len, inner.values())) <= len(whole):
        return None, whole
    return next(iter(inner.items())) if len(inner) == 1 else (None, {})


def _inner_state_dicts(content: Any) -> dict[str, dict[str, Tensor]]:
    """Keys, or two of them with a dot, under which a checkpoint has tensors by name."""
    found = {}
    for key, value in content.items() if isinstance(content, Mapping) else ():
        for name, part in ((key, value), *((f"{key}.{k}", v) for k, v in _items(value))):
            if tensors := _tensors(part):
                found[str(name)] = tensors
    return found


def _items(content: Any) -> list[tuple[Any, Any]]:
    return list(content.items()) if isinstance(content, Mapping) else []


def _tensors(content: Any) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _other_kind(path: Path) -> tuple[str, str]:
    """What a file that torch does not load is, and what to do about it."""
    with path.open("rb") as stream:
        start = stream.read(64)
    quoted = repr(str(path))
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS", "fetch the file itself: git lfs pull"
    if start.startswith(b"\x89HDF"):
        return "an HDF5 file, as Keras writes", "give weights of PyTorch"
    if len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        loaded = f"safetensors.torch.load_file({quoted})"
        return "a safetensors file", f"save it with torch: torch.save({loaded}, 'weights.pt')"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                return "TorchScript", f"torch.save(torch.jit.load({quoted}).state_dict(), 'weights.pt')"
    return "an empty, cut or other file", "copy it again, or correct the path"


def _classes_in(path: Path) -> list[str]:
    """Full names of the classes and functions that unpickling the file would call, without doing it."""
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # damaged, or in the format before PyTorch 1.6
        return []
