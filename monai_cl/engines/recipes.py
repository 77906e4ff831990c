"""Recipes of fine-tuning and of clustering: one key in a config, a table of plain values here.

Of fine-tuning ``paper`` is MixCL's, and ``strong`` the recipe to compare starts with: one that fits few labelled scans.
Of clustering ``paper`` is Table I of Ghesu et al., arXiv 2201.01283, in 2D, and ``small`` one for a few hundred steps.
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

CLUSTERING: dict[str, dict[str, Any]] = {
    "paper": {
        "backbone": "resnet50w2",
        "image_size": 1024,
        "crops": {"count": [2, 6], "size": [224, 92]},
        "rescale": {"size": [600, 1200], "scale": [0.1, 0.7]},
        "prototypes": 3000,
        "few_embeddings": "warn",
        "embedding": 128,
        "queue_length": 3840,
        "queue_start": 0.1,  # of the iterations, as the next two
        "freeze": 0.1,
        "warmup": 0.0,
        "batch_size": 32,
        "epochs": 100,
        "epoch_length": 1000,
        "optimizer": "larc",
        "learning_rate": 0.6,
        "final_learning_rate": 0.0006,
        "weight_decay": 1e-6,
    },
    "small": {
        "backbone": "resnet18",
        "image_size": 96,
        "crops": {"count": [2, 4], "size": [64, 32]},
        "rescale": {"size": [64, 110], "scale": [0.1, 1.2]},
        "prototypes": 64,
        "few_embeddings": "error",
        "embedding": 64,
        "queue_length": 256,
        "queue_start": 0.2,
        "freeze": 0.08,
        "warmup": 0.1,
        "batch_size": 64,
        "epochs": 4,
        "epoch_length": 100,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "final_learning_rate": 1e-5,
        "weight_decay": 1e-6,
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
    preset = _preset(PRESETS, name, "fine-tuning")
    if isinstance(preset["epochs"], tuple):
        first, further, most = preset["epochs"]
        preset["epochs"] = min(first + further * (max(cases, 1) - 1), most)
    return preset


def clustering_preset(name: str) -> dict[str, Any]:
    """The values of a recipe, by the names of the keys of the bundle clustering_pretraining.

    Args:
        name: ``paper`` or ``small``.

    Returns:
        A new dictionary.

    Raises:
        UserError: an unknown name.
    """
    return _preset(CLUSTERING, name, "clustering")


def _preset(presets: dict[str, dict[str, Any]], name: str, what: str) -> dict[str, Any]:
    if name not in presets:
        near = difflib.get_close_matches(str(name), list(presets), n=1)
        remedy = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(presets)}"
        raise UserError("--preset", found=f"no recipe of {what} is called {name!r}", remedy=remedy)
    return copy.deepcopy(presets[name])
