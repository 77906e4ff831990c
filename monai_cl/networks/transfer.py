"""Encoder weights in and out, under the names of MONAI's own networks: of a UNETR ``vit.*`` and ``encoder1–4.*``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from monai.networks.nets import UNETR, DynUNet
from torch import Tensor, nn

from monai_cl.errors import UserError
from monai_cl.files import new_file
from monai_cl.networks.description import describe_network, differences, unetr_of_weights
from monai_cl.networks.foreign.names import OUTPUT_LAYERS, bare_name, likely_architecture, named_as
from monai_cl.networks.foreign.plain_conv_unet import dynunet_encoder
from monai_cl.networks.foreign.reading import read_weights
from monai_cl.networks.volume.backbone import Backbone
from monai_cl.networks.volume.backbones import (
    BACKBONES,
    backbone_of,
    backbone_of_weights,
    known_backbones,
    network_within,
)
from monai_cl.networks.volume.position_embeddings import fitted_positions
from monai_cl.networks.weights_file import read_about, save_weights

__all__ = ["bare_name", "read_weights"]  # where they were in earlier versions
HEADS = "segmentation_head."
_PUBLIC = "monai.networks.nets"
T = TypeVar("T")


@dataclass(frozen=True)
class TransferReport:
    """What a file of weights has to do with a network, by key name, in the order of the network (of the file: unknown).

    Attributes:
        matched: names that both have, with one shape.
        missing: names of the network that the file lacks.
        other_shape: ``name (its shape in the file) for (the network's)``.
        unknown: names of the file that the network lacks.
        source: the file.
    """

    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    other_shape: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
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
        return "; ".join(parts)


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


def load_encoder(network: nn.Module, path: str | Path, *, strict: bool = True) -> TransferReport:
    """Load pre-trained encoder weights into a segmentation network (or a `MixCLNet`), decoder untouched.

    Args:
        network: a UNETR or another `Backbone` of the architecture that was pre-trained; or any other network, which
            gets all but its last layer.
        path: ``encoder.pt`` of `export_encoder`, or any checkpoint with the network's key names, whatever is in front
            of them; for a DynUNet also one of nnU-Net v2's PlainConvUNet. Position embeddings are interpolated for
            another patch size.
        strict: every encoder tensor of the network must be in the file with its shape. ``False`` loads
            what matches and reports the rest, but still refuses a file in which nothing matches.

    Returns:
        What matched, what was missing, what had another shape.

    Raises:
        UserError: when the file does not fit; the message names what did not match. The network is unchanged.
    """
    target = network_within(network)
    weights = read_weights(path)
    if isinstance(target, DynUNet):
        weights = dynunet_encoder(weights, target.state_dict(), source=path) or weights
    weights = named_as(weights, target.state_dict())
    if isinstance(target, UNETR):
        weights = fitted_positions(weights, target, trained=read_about(path), source=str(path))
    parts = (transferred(target, tensors) for tensors in (target.state_dict(), weights))
    report = compare_weights(*parts, source=str(path))
    what = type(target).__name__
    if not report.matched:
        examples = ", ".join(sorted(weights)[:3])
        kind = likely_architecture(weights)
        looks = f"; its names are those of a {kind}" if kind else ""
        fitting = "an encoder for it" if isinstance(target, UNETR) else f"weights of a {what}"
        raise UserError(
            f"{report}; nothing can be transferred into this network, a {what} (the file holds {examples}, …{looks}): "
            f"leave the file out, or give {fitting}"
        )
    if strict and not report.complete:
        raise UserError(f"{report}; {_advice(target, weights)}")
    target.load_state_dict({name: weights[name] for name in report.matched}, strict=False)
    return report


def _advice(network: nn.Module, weights: Mapping[str, Tensor]) -> str:
    """What to change so that the network fits, where its sizes can be read from the file's tensors."""
    trained, own = unetr_of_weights(weights), describe_network(network)["arguments"]
    wrong = differences(trained, own) if trained and isinstance(network, UNETR) else {}
    if not wrong:
        sizes = "img_size, feature_size, hidden_size" if isinstance(network, UNETR) else "backbone, feature_size"
        return (
            f"build the network as it was pre-trained ({sizes}; "
            "`python -m monai_cl encoder show` prints what the file says)"
        )
    found = ", ".join(f"{key} {its}" for key, (its, _) in wrong.items())
    own_values = ", ".join(f"{key} {value}" for key, (_, value) in wrong.items())
    return f"the file's network has {found}, this one {own_values}: build it as it was pre-trained"


def export_encoder(
    source: nn.Module | str | Path,
    output: str | Path,
    *,
    parts: Collection[str] = ("encoder",),
    about: Mapping[str, Any] | None = None,
    record: Mapping[str, Any] | None = None,
) -> Path:
    """Write the encoder of a pre-trained network as ``encoder.pt`` with a JSON of the same stem beside it.

    The record of the model (`read_about`) goes with it, as kind ``encoder``.

    Args:
        source: a `MixCLNet`, a UNETR or another `Backbone`'s network, or a checkpoint file of one.
        output: the file to write; its folder must exist. The JSON goes to ``output`` with suffix ``.json``.
        parts: ``decoder`` and ``heads`` are written in addition, where they are named.
        about: what the JSON says about the training: data list, preset, iterations, seed, versions, …
        record: of the model, where the source is a file without one, see `monai_cl.data.model_record`.

    Raises:
        UserError: when the source holds no such encoder, or lacks a part. Nothing is written then.
    """
    output = Path(output)
    if isinstance(source, nn.Module):
        weights = {bare_name(name): tensor for name, tensor in source.state_dict().items()}
        origin, carried = type(source).__name__, None
    else:
        weights, origin = read_weights(source), str(source)
        carried = read_about(source)
    record = carried or record or ({"network": describe_network(source)} if isinstance(source, nn.Module) else {})
    backbone, weights = named_by_backbone(weights)
    encoder = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder_weights(weights, backbone).items()}
    absent = [prefix for prefix in backbone.encoder if not any(name.startswith(prefix) for name in encoder)]
    kind = backbone.kind.__name__
    if absent:
        names = ", ".join(f"{prefix}*" for prefix in absent)
        raise UserError(origin, found=f"no {kind} encoder to export, nothing under {names}")
    for part, prefixes in (("decoder", backbone.decoder), ("heads", (HEADS,))):
        if part in parts:
            more = {name: tensor for name, tensor in weights.items() if name.startswith(prefixes)}
            if not more:
                remedy = f"leave {part} out of --parts"
                if part == "heads":
                    remedy += "; a pre-training whose preset has a supervised term has them"
                raise UserError(origin, found=f"no {part} to export", remedy=remedy)
            encoder |= {name: tensor.detach().cpu().contiguous() for name, tensor in more.items()}
    if not output.parent.is_dir():
        raise UserError(output, found=f"the folder {output.parent} does not exist", remedy="create it first")
    names = f"{_PUBLIC}.{kind}" if backbone.name in BACKBONES else kind
    note = {"format": 1, "keys": names, "tensors": len(encoder), **dict(about or {})}
    text = json.dumps(note, indent=1, default=str)
    save_weights(encoder, output, {**record, "kind": "encoder", "organs": None})
    with new_file(output.with_suffix(".json")) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return output


def named_by_backbone(weights: Mapping[str, Tensor]) -> tuple[Backbone, dict[str, Tensor]]:
    """Of which backbone they are, a UNETR where it is none, and the weights without what is in front of its names.

    Args:
        weights: of a file.
    """
    for backbone in known_backbones():
        first = f".{backbone.encoder[0]}"
        anchor = next((name[f".{name}".index(first) :] for name in weights if first in f".{name}"), None)
        found = named_as(weights, [anchor]) if anchor else {}
        if backbone_of_weights(found) is backbone or (found and backbone.name == "unetr"):
            return backbone, found
    return BACKBONES["unetr"], dict(weights)
