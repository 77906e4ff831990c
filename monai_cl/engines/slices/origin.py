"""Where an encoder of slices comes from, for the tables that compare methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_cl.data import read_results
from monai_cl.data.records.results import FILE_NAME

KNOWN = ("method", "backbone", "sigma", "temperature")


def encoder_origin(
    encoder: str | Path | None, *, backbone: Any = None, weights: str | Path | None = None, seed: int = 0
) -> dict[str, Any]:
    """Method, backbone, σ, τ and seed of an encoder, from the ``results.json`` beside its file where there is one.

    Args:
        encoder: a checkpoint of a pre-training; None for an encoder that was not pre-trained.
        backbone: name of the backbone, or a network.
        weights: ImageNet weights the encoder starts from.
        seed: of the random initialisation.
    """
    name = backbone if isinstance(backbone, str) or backbone is None else type(backbone).__name__
    if encoder is None:
        method = "random" if weights is None else "imagenet"
        return {"method": method, "backbone": name, "seed": seed, **({"encoder": str(weights)} if weights else {})}
    encoder = Path(encoder)
    origin: dict[str, Any] = {"method": encoder.resolve().parent.name, "backbone": name}
    # for a checkpoint that was moved, the name of its folder is used
    if (encoder.parent / FILE_NAME).is_file():
        results = read_results(encoder.parent)
        # a pre-training is described in its data list, a classification beside it
        recorded = {**results["data_list"], **{key: results[key] for key in KNOWN if results.get(key) is not None}}
        origin |= {key: recorded[key] for key in KNOWN if recorded.get(key) is not None}
        origin["seed"] = results["seed"]
    return {**origin, "encoder": str(encoder)}


def finetuned(about: dict[str, Any]) -> dict[str, Any]:
    """The origin of a classifier whose encoder was trained on: an untrained one makes it ``supervised``.

    Args:
        about: the encoder's origin, from `encoder_origin`.
    """
    method = "supervised" if about["method"] == "random" else f"{about['method']}, fine-tuned"
    return {**about, "method": method}
