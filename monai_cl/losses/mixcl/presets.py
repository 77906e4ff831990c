"""Presets of MixCL's weights: one key in a config, a plain dictionary here."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Collection
from typing import Any

from monai_cl.errors import UserError

_COMMON = {
    "offdiag_weight": 0.005,
    "center": False,
    "identity_levels": None,
    "identity_per_channel": False,
    "label_level": 1,
    "temperature": 0.1,
    "background": 0,
    "per_anchor": False,
}
_OFF = {
    "identity_weight": 0.0,
    "label_weight": 0.0,
    "reconstruction_weight": 0.0,
    "supervised_weight": 0.0,
    "clustering_weight": 0.0,
    "bank_weight": 0.0,
}
_BALANCED = {
    **_COMMON,
    "identity_weight": 1.0,
    "label_weight": 0.01,
    "reconstruction_weight": 1.0,
    "supervised_weight": 0.0,
    "clustering_weight": 0.0,
    "bank_weight": 0.0,
    "identity_levels": [0, 1, 2, 3],  # the convolutional ones: the ViT level has fewer voxels than channels
    "identity_per_channel": True,
}
_PRESETS: dict[str, dict[str, Any]] = {
    # As printed: α = β = 0.01.
    "paper": {
        **_COMMON,
        "identity_weight": 1.0,
        "label_weight": 0.01,
        "reconstruction_weight": 0.01,
        "supervised_weight": 0.0,
        "clustering_weight": 0.0,
        "bank_weight": 0.0,
    },
    # Terms whose gradients on the encoder have the same order of magnitude.
    "balanced": _BALANCED,
    "hybrid": {**_BALANCED, "supervised_weight": 1.0},
    # As hybrid, its weights shares of the gradient on the encoder, see `balance_interval`.
    "measured": {**_BALANCED, "label_weight": 1.0, "supervised_weight": 1.0},
    # As hybrid, with views that differ in geometry too, see `view_geometry`.
    "aligned": {**_BALANCED, "supervised_weight": 1.0},
    # As hybrid, with a term that compares the organs of different data sets by name, see `OrganBank`.
    "memory_bank": {**_BALANCED, "supervised_weight": 1.0, "bank_weight": 0.01},
    # The positive control: if it does not improve, the set-up is wrong.
    "supervised": {**_COMMON, **_OFF, "supervised_weight": 1.0},
    # What public comparisons favour for segmentation: hidden cubes are reconstructed, see `mask_ratio`.
    "masked": {**_COMMON, **_OFF, "reconstruction_weight": 1.0},
    "masked_hybrid": {**_COMMON, **_OFF, "reconstruction_weight": 1.0, "supervised_weight": 1.0},
    # Whole patches clustered, without labels and beside them; views differ in geometry, see `view_geometry`.
    "clustering": {**_COMMON, **_OFF, "clustering_weight": 1.0},
    "clustering_hybrid": {**_COMMON, **_OFF, "clustering_weight": 1.0, "supervised_weight": 1.0},
    # Ablations: one term alone in the paper's form.
    "identity": {**_COMMON, **_OFF, "identity_weight": 1.0},
    "label": {**_COMMON, **_OFF, "label_weight": 1.0},
    "reconstruction": {**_COMMON, **_OFF, "reconstruction_weight": 1.0},
}


_MASK_RATIO = {"masked": 0.6, "masked_hybrid": 0.6}


_MOVED = {"probability": 1.0, "rotation": 15.0, "scale": 0.15, "shift": 0.15}
_GEOMETRY = {"aligned": _MOVED, "clustering": _MOVED, "clustering_hybrid": _MOVED}


def mask_ratio(name: str) -> float:
    """Share of the cubes that a preset hides in V1'; 0 for those that hide none.

    Args:
        name: see `mixcl_preset`.
    """
    return _MASK_RATIO.get(name, 0.0)


def view_geometry(name: str) -> dict[str, float]:
    """How a preset moves what V1' shows: options of `monai_cl.transforms.draw_movement`; empty for those that do not.

    Args:
        name: see `mixcl_preset`.
    """
    return dict(_GEOMETRY.get(name, {}))


def balance_interval(name: str) -> int:
    """Iterations between measurements of the terms' gradients, by which a preset balances them; 0: it does not.

    Args:
        name: see `mixcl_preset`.
    """
    return 20 if name == "measured" else 0


def mixcl_preset(name: str, **overrides: Any) -> dict[str, Any]:
    """Keyword arguments of :class:`monai_cl.losses.MixCLLoss` (all but ``class_counts`` and ``bank``) by name.

    Args:
        name: ``paper``, ``balanced``, ``hybrid``, ``measured``, ``aligned``, ``memory_bank``, ``supervised``,
            ``masked``, ``masked_hybrid``, ``clustering``, ``clustering_hybrid``, or an ablation: ``identity``,
            ``label``, ``reconstruction``.
        overrides: values that replace the preset's; ``class_counts`` may be among them.

    Returns:
        A new dictionary.

    Raises:
        UserError: an unknown name or an unknown override.
    """
    if name not in _PRESETS:
        raise UserError(f"unknown MixCL preset {name!r}: {_advice(name, _PRESETS)}")
    preset = copy.deepcopy(_PRESETS[name])
    for option in overrides:
        if option not in preset and option != "class_counts":
            raise UserError(f"unknown MixCL option {option!r}: {_advice(option, [*preset, 'class_counts'])}")
    return {**preset, **overrides}


def _advice(word: str, choices: Collection[str]) -> str:
    near = difflib.get_close_matches(str(word), list(choices), n=1)
    return f"choose one of {', '.join(choices)}" + (f" (nearest: {near[0]})" if near else "")
