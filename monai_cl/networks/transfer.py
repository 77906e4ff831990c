"""Encoder weights in and out, under the key names of MONAI's own `UNETR`: ``vit.*`` and ``encoder1–4.*`` only."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai.networks.nets import UNETR
from torch import Tensor, nn

from monai_cl.errors import UserError
from monai_cl.files import new_file
from monai_cl.networks.description import describe_network, differences, unetr_of_weights
from monai_cl.networks.foreign.names import OUTPUT_LAYERS, bare_name, likely_architecture, named_as
from monai_cl.networks.foreign.reading import read_weights
from monai_cl.networks.volume.position_embeddings import fitted_positions
from monai_cl.networks.weights_file import read_about, save_weights

__all__ = ["bare_name", "read_weights"]  # where they were in earlier versions
ENCODER_PREFIXES = ("vit.", "encoder1.", "encoder2.", "encoder3.", "encoder4.")
DECODER_PREFIXES = ("decoder5.", "decoder4.", "decoder3.", "decoder2.")
HEADS = "segmentation_head."
_FIRST = "vit.patch_embedding."


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


def encoder_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of a UNETR state dict that are transferred (MixCL: ``vit.*``, ``encoder1–4.*``)."""
    return {name: tensor for name, tensor in weights.items() if name.startswith(ENCODER_PREFIXES)}


def transferred(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of a network's state dict that a pre-training gives it.

    Args:
        network: of a UNETR the encoder; of any other network everything but its last layer.
        weights: under the network's names.
    """
    if isinstance(network, UNETR):
        return encoder_weights(weights)
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
    """Load pre-trained encoder weights into a UNETR (or a module that has one as ``unetr``), decoder untouched.

    Args:
        network: a `monai.networks.nets.UNETR` of the architecture that was pre-trained; or any other network, which
            gets all but its last layer.
        path: ``encoder.pt`` of `export_encoder`, or any checkpoint with the network's key names, whatever is in front
            of them. Its position embeddings are interpolated for another patch size.
        strict: every encoder tensor of the network must be in the file with its shape. ``False`` loads
            what matches and reports the rest, but still refuses a file in which nothing matches.

    Returns:
        What matched, what was missing, what had another shape.

    Raises:
        UserError: when the file does not fit; the message names what did not match. The network is unchanged.
    """
    inner = getattr(network, "unetr", None)
    target = inner if isinstance(inner, nn.Module) else network
    weights = named_as(read_weights(path), target.state_dict())
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
        return (
            "build the network as it was pre-trained (img_size, feature_size, hidden_size; "
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
        source: a `MixCLNet`, a UNETR, or a checkpoint file of one.
        output: the file to write; its folder must exist. The JSON goes to ``output`` with suffix ``.json``.
        parts: ``decoder`` and ``heads`` are written in addition, where they are named.
        about: what the JSON says about the training: data list, preset, iterations, seed, versions, …
        record: of the model, where the source is a file without one, see `monai_cl.data.model_record`.

    Raises:
        UserError: when the source holds no UNETR encoder, or lacks a part. Nothing is written then.
    """
    output = Path(output)
    if isinstance(source, nn.Module):
        weights = {bare_name(name): tensor for name, tensor in source.state_dict().items()}
        origin, carried = type(source).__name__, None
    else:
        weights, origin = read_weights(source), str(source)
        carried = read_about(source)
    record = carried or record or ({"network": describe_network(source)} if isinstance(source, nn.Module) else {})
    # the names of one of its parts tell what is in front of all
    anchor = next((name[name.index(_FIRST) :] for name in weights if f".{_FIRST}" in f".{name}"), None)
    weights = named_as(weights, [anchor]) if anchor else weights
    encoder = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder_weights(weights).items()}
    absent = [prefix for prefix in ENCODER_PREFIXES if not any(name.startswith(prefix) for name in encoder)]
    if absent:
        raise UserError(origin, found=f"no UNETR encoder to export, nothing under {', '.join(p + '*' for p in absent)}")
    for part, names in (("decoder", DECODER_PREFIXES), ("heads", (HEADS,))):
        if part in parts:
            more = {name: tensor for name, tensor in weights.items() if name.startswith(names)}
            if not more:
                remedy = f"leave {part} out of --parts"
                if part == "heads":
                    remedy += "; a pre-training whose preset has a supervised term has them"
                raise UserError(origin, found=f"no {part} to export", remedy=remedy)
            encoder |= {name: tensor.detach().cpu().contiguous() for name, tensor in more.items()}
    if not output.parent.is_dir():
        raise UserError(output, found=f"the folder {output.parent} does not exist", remedy="create it first")
    note = {"format": 1, "keys": "monai.networks.nets.UNETR", "tensors": len(encoder), **dict(about or {})}
    text = json.dumps(note, indent=1, default=str)
    save_weights(encoder, output, {**record, "kind": "encoder", "organs": None})
    with new_file(output.with_suffix(".json")) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return output
