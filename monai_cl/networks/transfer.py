"""Encoder weights from a file, under the names of MONAI's own networks: of a UNETR ``vit.*`` and ``encoder1–4.*``."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from monai.networks.nets import UNETR, DynUNet, SwinUNETR
from torch import Tensor, nn

from monai_cl.errors import UserError
from monai_cl.networks.description import describe_network, differences, network_of_weights
from monai_cl.networks.foreign.names import (
    ALONE,
    OUTPUT_LAYERS,
    bare_name,
    elsewhere,
    likely_architecture,
    named_as,
)
from monai_cl.networks.foreign.patch_embedding import convolved_patches
from monai_cl.networks.foreign.plain_conv_unet import dynunet_encoder
from monai_cl.networks.foreign.reading import read_weights
from monai_cl.networks.volume.backbone import Backbone
from monai_cl.networks.volume.backbones import backbone_of, backbone_of_weights, network_within
from monai_cl.networks.volume.monai_backbones import SwinUNETRBackbone
from monai_cl.networks.volume.position_embeddings import fitted_positions
from monai_cl.networks.weights_file import read_about

__all__ = ["bare_name", "read_weights"]  # where they were in earlier versions
HEADS = "segmentation_head."
_NEVER_CALLED = (".norm_cross_attn.weight", ".norm_cross_attn.bias")  # of MONAI's ViT; absent up to 1.3
logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class TransferReport:
    """What a file of weights has to do with a network, by key name, in the order of the network (of the file: unknown).

    Attributes:
        matched: names that both have, with one shape.
        missing: names of the network that the file lacks.
        other_shape: ``name (its shape in the file) for (the network's)``.
        unknown: names of the file that the network lacks.
        at_random: parts of the encoder that a file with the transformer alone does not have, and that start at random.
        source: the file.
    """

    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    other_shape: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    at_random: tuple[str, ...] = ()
    source: str = field(default="", compare=False)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, of another shape or unknown."""
        return not (self.missing or self.other_shape or self.unknown)

    @property
    def parts(self) -> dict[str, int]:
        """Tensors that matched, of each part of the network: ``{"vit": 149, "encoder1": 3, …}``."""
        return dict(Counter(name.split(".")[0] for name in self.matched))

    def __str__(self) -> str:
        parts = [f"{self.source}: {len(self.matched)} encoder tensors matched"]
        for what, names in (
            ("missing", self.missing),
            ("of another shape", self.other_shape),
            ("unknown to the network", self.unknown),
        ):
            if names:
                more = f", … ({len(names)} in all)" if len(names) > 3 else ""
                parts.append(f"{what}: {', '.join(sorted(names)[:3])}{more}")
        if self.at_random:
            parts.append(f"the transformer alone: {', '.join(self.at_random)} start at random")
        return "; ".join(parts)


def trained_decoder(about: Mapping[str, Any] | None, names: Collection[str]) -> bool:
    """Whether a pre-training has trained its decoder; terms on the encoder's levels alone leave it as it was drawn.

    Args:
        about: record of the file of weights, or of the network; where it does not say, it is taken to be.
        names: of the weights.
    """
    about = about or {}
    at_random = (about.get("network") or {}).get("reconstructs") is False and about.get("kind") != "encoder"
    return not at_random or any(f".{HEADS}" in f".{name}" for name in names)


def encoder_weights(weights: Mapping[str, T], backbone: Backbone | None = None) -> dict[str, T]:
    """The entries of a state dict that are transferred: the encoder's (MixCL: ``vit.*``, ``encoder1–4.*``).

    Args:
        weights: under the network's names.
        backbone: of which kind the network is; None: as the names say.
    """
    backbone = backbone or backbone_of_weights(weights)
    prefixes = () if backbone is None else backbone.encoder
    return {name: tensor for name, tensor in weights.items() if name.startswith(prefixes)}


def transferred(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of a network's state dict that a pre-training gives it.

    Args:
        network: of a `Backbone`'s kind the encoder; of any other network everything but its last layer.
        weights: under the network's names.
    """
    backbone = backbone_of(network)
    if backbone is not None:
        return encoder_weights(weights, backbone)
    return {name: tensor for name, tensor in weights.items() if not name.startswith(OUTPUT_LAYERS)}


def compare_weights(
    own: Mapping[str, Tensor], given: Mapping[str, Tensor], *, source: str = "", optional: str | tuple[str, ...] = ()
) -> TransferReport:
    """Compare the tensors of a file with a network's, name by name.

    Args:
        own: of the network.
        given: of the file.
        source: the file, for the report's text.
        optional: endings of names that the file need not have.
    """
    shared = own.keys() & given.keys()
    fits = {name for name in shared if own[name].shape == given[name].shape}
    return TransferReport(
        matched=tuple(name for name in own if name in fits),
        missing=tuple(name for name in own if name not in given and not name.endswith(optional)),
        other_shape=tuple(
            f"{name} {tuple(given[name].shape)} for {tuple(own[name].shape)}" for name in own if name in shared - fits
        ),
        unknown=tuple(name for name in given if name not in own),
        source=source,
    )


def without_convolutions(report: TransferReport) -> TransferReport:
    """The report on a file that holds a network's transformer, all of it, and nothing else of its encoder.

    What the file lacks are then parts that start at random, and not missing. Any other report is returned as it is.

    Args:
        report: on the encoder of the network.
    """
    part = next((part for part in ALONE if any(name.startswith(part) for name in report.matched)), None)
    if part is None or report.other_shape or report.unknown:
        return report
    if not all(name.startswith(part) for name in report.matched) or any(n.startswith(part) for n in report.missing):
        return report
    absent = tuple(dict.fromkeys(name.split(".")[0] for name in report.missing))
    return replace(report, missing=(), at_random=absent)


def load_encoder(network: nn.Module, path: str | Path, *, strict: bool = True) -> TransferReport:
    """Load pre-trained encoder weights into a segmentation network (or a `MixCLNet`), decoder untouched.

    A file may hold the transformer alone (`ALONE`), as pre-trainings of MONAI's ViT and SwinTransformer leave it: the
    encoder's convolutions then start at random, and the report says so.

    Args:
        network: a UNETR or another `Backbone` of the architecture that was pre-trained; or any other network, which
            gets all but its last layer.
        path: ``encoder.pt`` of `export_encoder`, or any checkpoint with the network's key names, whatever is in front
            of them, or with other projects' names for it (`monai_cl.networks.foreign.names`); for a DynUNet also one of
            nnU-Net v2's PlainConvUNet. Position embeddings are interpolated for another patch size.
        strict: every encoder tensor of the network must be in the file with its shape. ``False`` loads
            what matches and reports the rest, but still refuses a file in which nothing matches.

    Returns:
        What matched, what was missing, what had another shape, what starts at random.

    Raises:
        UserError: when the file does not fit; the message names what did not match. The network is unchanged.
    """
    target, about = network_within(network), read_about(path)
    weights = read_weights(path)
    if isinstance(target, DynUNet):
        weights = dynunet_encoder(weights, target.state_dict(), source=path) or weights
    weights = named_as(weights, target.state_dict())
    if isinstance(target, UNETR):
        weights = convolved_patches(weights, target.state_dict())
        weights = fitted_positions(weights, target, trained=about, source=str(path))
    parts = (transferred(target, tensors) for tensors in (target.state_dict(), weights))
    report = compare_weights(*parts, source=str(path), optional=_NEVER_CALLED)
    if backbone_of(target):
        report = without_convolutions(report)
    what = type(target).__name__
    if not report.matched:
        examples = ", ".join(sorted(weights)[:3])
        kind = likely_architecture(weights)
        looks = f"; its names are those of a {kind}" if kind else ""
        raise UserError(
            f"{report}; nothing can be transferred into this network, a {what} (the file holds {examples}, …{looks}): "
            f"{_other_network(target, weights)}"
        )
    if strict and not report.complete:
        raise UserError(f"{report}; {_advice(target, weights)}")
    if about is None and isinstance(target, SwinUNETR) and SwinUNETRBackbone().fits(target):
        logger.warning(
            "%s: MONAI up to 1.4 merged patches in another way; weights that it trained, as most that are published, "
            "are for backbone swin_unetr_1_4",
            path,
        )
    target.load_state_dict({name: weights[name] for name in report.matched}, strict=False)
    return report


def _other_network(network: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """What to do with weights of which nothing fits."""
    if remedy := elsewhere(weights):
        return f"{remedy}, or leave the file out"
    if trained := network_of_weights(weights):
        kept = {key: value for key, value in trained.items() if key not in ("in_channels", "patches")}
        return f"build the network it is for ({_values(kept)}), or leave the file out"
    fitting = "an encoder for it" if isinstance(network, UNETR) else f"weights of a {type(network).__name__}"
    return f"leave the file out, or give {fitting}"


def _advice(network: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """What to change so that the network fits, where its sizes can be read from the file's tensors."""
    trained, own = network_of_weights(weights), describe_network(network)["arguments"]
    if own.get("backbone") == "swin_unetr" and trained.get("backbone") == "swin_unetr_1_4":  # by the same names
        trained["backbone"] = own["backbone"]
    wrong = differences(trained, own)
    if not wrong:
        sizes = "img_size, feature_size, hidden_size" if isinstance(network, UNETR) else "backbone, feature_size"
        return (
            f"build the network as it was pre-trained ({sizes}; "
            "`python -m monai_cl encoder show` prints what the file says)"
        )
    found, own_values = (_values({key: pair[side] for key, pair in wrong.items()}) for side in (0, 1))
    return f"the file's network has {found}, this one {own_values}: build it as it was pre-trained"


def _values(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in arguments.items())
