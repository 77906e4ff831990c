"""A classifier of slices: an encoder, frozen or not, with one linear layer to the logit of class 1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_cl.engines.evaluation import load_network
from monai_cl.engines.model_input import check_model
from monai_cl.engines.probe.linear import LinearProbe
from monai_cl.errors import UserError
from monai_cl.networks import SliceEncoder, SliceProbability, load_slice_encoder
from monai_cl.networks.backbones import slice_encoder


class ClassHead(nn.Linear):
    """Representation (…, F) to the logit of class 1 (…, 1), in float64.

    In float64, because a probe on an encoder whose features hardly differ has weights of 1e4 and more, and the logit is
    a small difference of large sums.
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, 1, dtype=torch.float64)

    def forward(self, representation: Tensor) -> Tensor:
        return nn.functional.linear(representation.double(), self.weight, self.bias)


def slice_classifier(
    backbone: str | nn.Module = "tinynet", *, encoder: str | Path | None = None, **options: Any
) -> SliceEncoder:
    """A `SliceEncoder` whose embedding is the logit of class 1.

    Args:
        backbone: see `slice_encoder`.
        encoder: ``model.pt`` of a pre-training on slices; None: randomly initialised (or ImageNet ``weights``).
        **options: further options of `slice_encoder`.

    Raises:
        ValueError, UserError: see `slice_encoder` and `load_slice_encoder`.
    """
    network = slice_encoder(backbone, head=(1,), **options)
    layers = network.head
    assert isinstance(layers, nn.Sequential)  # as head=(1,) makes it
    last = layers[-1]
    assert isinstance(last, nn.Linear)
    network.head = ClassHead(last.in_features)
    if encoder is not None:
        load_slice_encoder(network, encoder)
    return network


def slice_probability(backbone: str | nn.Module = "tinynet", **options: Any) -> SliceProbability:
    """A `slice_classifier` for deployment: slices in, one tensor with the probability of class 1 out.

    Args:
        backbone: see `slice_encoder`.
        **options: further options of `slice_classifier`; the network takes the weights of one made with the same
            options.
    """
    made = slice_classifier(backbone, **options)
    deployed = SliceProbability(made.backbone, made.head, mean=float(made.mean), std=float(made.std))
    deployed.arguments = made.arguments
    return deployed


def set_probe(network: SliceEncoder, probe: LinearProbe, *, source: str | Path = "probe") -> None:
    """Make a fitted probe the head of a classifier.

    Raises:
        UserError: the probe is of features of another length.
    """
    features = network.head.in_features
    if probe.weight.shape != (features,):
        raise UserError(
            source,
            expected=f"a probe of the encoder's {features} features",
            found=f"one of {len(probe.weight)}",
            remedy="it was fitted on another encoder",
        )
    with torch.no_grad():
        network.head.weight.copy_(torch.from_numpy(probe.weight)[None])
        network.head.bias.fill_(probe.bias)


def load_classifier(
    network: SliceEncoder,
    checkpoint: str | Path,
    *,
    probe: str | Path | None = None,
    model: Mapping[str, Any] | None = None,
) -> None:
    """Load a classifier from one file, or from the files of an encoder and of a probe on it.

    Args:
        network: from `slice_classifier`; changed in place.
        checkpoint: ``model.pt`` of a classification run; with ``probe``, of the encoder's pre-training.
        probe: ``probe.npz`` of ``python -m monai_cl probe`` or of a run.
        model: ``preprocessing`` of the run, compared with what the file says, see `check_model`.

    Raises:
        UserError: files that are missing, damaged or do not fit; names what does not fit.
    """
    if probe is None:
        load_network(network, checkpoint, model=model)
    else:
        check_model(checkpoint, {**(model or {}), "network": network})
        load_slice_encoder(network, checkpoint)
        set_probe(network, LinearProbe.load(probe), source=probe)
    network.eval()


class ClassifierLoss(nn.Module):
    """Mean binary cross-entropy of the views' logits; called with a classifier's outputs and ``label`` (N,) 0 or 1."""

    batchwise = ""

    def forward(self, outputs: dict[str, Tensor], targets: dict[str, Tensor]) -> Tensor:
        logits = outputs["embedding"].squeeze(-1)
        labels = targets["label"].to(logits.dtype)[:, None].expand_as(logits)
        return nn.functional.binary_cross_entropy_with_logits(logits, labels)
