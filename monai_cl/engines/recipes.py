"""Recipes of fine-tuning: one key in a config, a table of plain values here.

``paper`` is MixCL's fine-tuning. ``strong`` is the recipe to compare starts with: one that fits few labelled scans.
"""

from __future__ import annotations

import copy
import difflib
from typing import Any

from monai_cl.errors import UserError

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "epochs": 10,
        "learning_rate": 1e-4,
        "warmup": 0,
        "gradient_clip": None,
        "foreground_probability": 0.6667,
        "classes_in_turn": False,
        "warp": None,
        "augmentation_probability": 0.2,
        # prob of each further change of intensity, in the order of the config
        "noise": 0.0,
        "blur": 0.0,
        "brightness": 0.0,
        "low_resolution": 0.0,
        "gamma": 0.0,
        "batch_dice": False,
        "include_background": True,
        "background_weight": 1.0,
    },
    "strong": {
        "epochs": (20, 3, 125),  # for one labelled scan, for each further one, at most
        "learning_rate": 1e-3,
        "warmup": 100,
        "gradient_clip": 1.0,
        "foreground_probability": 0.6667,
        "classes_in_turn": True,
        # degrees, fraction; the shape of a body is changed, its sides are not: nothing is mirrored
        "warp": {"affine_probability": 0.5, "elastic_probability": 0.0, "rotation": 30.0, "scale": 0.25},
        "augmentation_probability": 0.0,
        "noise": 0.1,
        "blur": 0.2,
        "brightness": 0.15,
        "low_resolution": 0.25,
        "gamma": 0.3,
        "batch_dice": True,
        "include_background": False,
        # of the cross-entropy: nine voxels of ten are background, and organs appear one after the other without it
        "background_weight": 0.1,
    },
}


def fine_tuning_preset(name: str, *, cases: int) -> dict[str, Any]:
    """The values of a recipe, by the names of the segmentation bundles' keys.

    Args:
        name: ``paper`` or ``strong``.
        cases: labelled scans to train on, which decide how long ``strong`` trains.

    Returns:
        A new dictionary.

    Raises:
        UserError: an unknown name.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(str(name), list(PRESETS), n=1)
        remedy = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(PRESETS)}"
        raise UserError("--preset", found=f"no recipe of fine-tuning is called {name!r}", remedy=remedy)
    preset = copy.deepcopy(PRESETS[name])
    if isinstance(preset["epochs"], tuple):
        first, further, most = preset["epochs"]
        preset["epochs"] = min(first + further * (max(cases, 1) - 1), most)
    return preset
