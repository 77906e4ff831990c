"""What a file of weights is: its record, its tensors, and what their names look like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_cl.files import sha256
from monai_cl.networks.description import network_of_weights
from monai_cl.networks.foreign.names import bare_name, elsewhere, is_unused, likely_architecture
from monai_cl.networks.foreign.reading import read_checkpoint_content, state_dict_in
from monai_cl.networks.weights_file import read_about

_RUN = {"network", "iteration", "epoch", "epoch_length"}  # keys of a checkpoint of this project's runs


def inspect_weights(path: str | Path) -> dict[str, Any]:
    """Look at a file of weights of any origin.

    Args:
        path: the file.

    Returns:
        ``file``, ``sha256``, ``bytes``; ``what``: ``encoder``, ``model``, ``checkpoint of a run``, ``checkpoint without
        a record`` or ``state dict without a record`` (written elsewhere, or by an earlier version); ``record``, see
        `read_about`; ``under``, the key that the state dict lies under; ``other_keys`` of the checkpoint; ``prefix`` in
        front of every name; ``tensors``, ``parameters``; ``parts``, tensors of each; ``looks_like``, an architecture;
        ``sizes``, the backbone here that is the same network and what the shapes tell of it, see `network_of_weights`;
        ``elsewhere``, what to do where none is; ``unused``, the number of tensors that are left out in
        loading.

    Raises:
        UserError: no such file, a damaged one, or one that holds more than tensors and plain values.
    """
    path = Path(path)
    content = read_checkpoint_content(path)
    under, tensors = state_dict_in(content)
    about = read_about(path)
    keys = set(content) if isinstance(content, Mapping) else set()
    if keys >= _RUN:
        what = "checkpoint of a run"
    elif about is not None:
        what = "encoder" if about.get("kind") == "encoder" else "model"
    else:
        what = f"{'state dict' if under is None else 'checkpoint'} without a record"
    bare = {bare_name(name): tensor for name, tensor in tensors.items()}
    inner = _without_prefix(bare)
    first = next(iter(tensors), "")
    named = next(iter(inner), "")
    return {
        "file": str(path),
        "sha256": sha256(path),
        "bytes": path.stat().st_size,
        "what": what,
        "record": about,
        "under": under,
        "other_keys": sorted(str(key) for key in keys - {under} if under is not None),
        "prefix": first[: len(first) - len(named)] if named and first.endswith(named) else "",
        "tensors": len(tensors),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "parts": dict(Counter(name.split(".")[0] for name in inner)),
        "looks_like": likely_architecture(bare),
        "elsewhere": elsewhere(bare),
        "sizes": network_of_weights(bare),
        "unused": sum(is_unused(name) for name in inner),
    }


def _without_prefix(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Names without the first parts that all of them share, such as Lightning's ``model.``."""
    found = dict(weights)
    while len(found) > 1:
        heads = {name.split(".", 1)[0] if "." in name else None for name in found}
        # a network of one part keeps that part's name
        if len(heads) != 1 or None in heads or heads & {"vit", "encoder"}:
            break
        found = {name.split(".", 1)[1]: tensor for name, tensor in found.items()}
    return found
