"""Encoder weights into a file, under the names of MONAI's own networks: of a UNETR ``vit.*`` and ``encoder1–4.*``."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from monai_cl.errors import UserError
from monai_cl.files import new_file
from monai_cl.networks.description import describe_network
from monai_cl.networks.foreign.names import bare_name, named_as, renamed
from monai_cl.networks.foreign.reading import read_weights
from monai_cl.networks.transfer import HEADS, encoder_weights, trained_decoder
from monai_cl.networks.volume.backbone import Backbone
from monai_cl.networks.volume.backbones import BACKBONES, backbone_of_weights, known_backbones
from monai_cl.networks.weights_file import read_about, save_weights

_PUBLIC = "monai.networks.nets"


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
    if "decoder" in parts and not trained_decoder(record, weights):
        raise UserError(
            origin, expected="a decoder that was trained", found="one that no term of its preset used",
            remedy="leave decoder out of --parts",
        )  # fmt: skip
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
    weights = renamed(weights)
    for backbone in known_backbones():
        first = f".{backbone.encoder[0]}"
        anchor = next((name[f".{name}".index(first) :] for name in weights if first in f".{name}"), None)
        found = named_as(weights, [anchor]) if anchor else {}
        if backbone_of_weights(found) is backbone or (found and backbone.name == "unetr"):
            return backbone, found
    return BACKBONES["unetr"], dict(weights)
