"""More of a pre-training than its encoder: the decoder, and the heads of the organs that both runs know."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_cl.data.dicom.organ_codes import names_organ, organ_key
from monai_cl.errors import UserError
from monai_cl.names import names_of
from monai_cl.networks.foreign.names import named_as
from monai_cl.networks.foreign.reading import read_weights
from monai_cl.networks.transfer import HEADS, TransferReport, compare_weights, trained_decoder
from monai_cl.networks.volume.backbone import Backbone
from monai_cl.networks.volume.backbones import BACKBONES, backbone_of
from monai_cl.networks.weights_file import read_about

logger = logging.getLogger(__name__)
PARTS = ("encoder", "decoder", "heads")


def check_parts(parts: str | Sequence[str], *, option: str = "transfer") -> tuple[str, ...]:
    """Parts of a network by name, in the order of `PARTS`.

    Args:
        parts: names, or names with commas between.
        option: how the message calls them.

    Raises:
        UserError: an unknown part, or no encoder among them: the others are of no use without it.
    """
    names = names_of(parts)
    if not set(names) <= set(PARTS) or "encoder" not in names:
        raise UserError(option, expected=f"encoder, and of {', '.join(PARTS)} what else is taken", found=names)
    return tuple(part for part in PARTS if part in names)


def load_decoder(network: nn.Module, file: str | Path) -> TransferReport:
    """Load the decoder of a pre-trained network, without its last layer.

    Args:
        network: of a `Backbone`'s kind and the same sizes; changed in place.
        file: ``model.pt`` of a pre-training, or ``encoder.pt`` that was exported with ``--parts encoder,decoder``.

    Raises:
        UserError: another network, a file without a decoder for it, or with one that nothing has trained. The network
            is unchanged then.
    """
    prefixes, trained = _backbone(network, "decoder").decoder, read_weights(file)
    if not trained_decoder(read_about(file), trained):
        raise UserError(
            file,
            expected="a decoder that was trained",
            found="one that no term of its preset used",
            remedy="leave the decoder out of --transfer",
        )
    own, given = (
        {name: tensor for name, tensor in weights.items() if name.startswith(prefixes)}
        for weights in (network.state_dict(), named_as(trained, network.state_dict()))
    )
    report = compare_weights(own, given, source=str(file))
    if not report.complete:
        raise UserError(
            file,
            expected=f"a decoder of {len(own)} tensors",
            found="none" if not report.matched else str(report),
            remedy=f"{_EXPORT} or leave the decoder out of --transfer",
        )
    network.load_state_dict(given, strict=False)
    return report


_EXPORT = "give model.pt of the pre-training, or export it again with --parts encoder,decoder,heads,"


def load_heads(
    network: nn.Module,
    file: str | Path,
    *,
    datasets: Mapping[str, Sequence[str]],
    organs: Sequence[str],
    untaught: Collection[str] = (),
) -> dict[str, list[str]]:
    """Start the output channels of organs that a pre-training learnt from what it learnt; the other channels stay.

    The softmax of a data set's head knows its own classes alone, so that only the difference between an organ's
    logit and its background's means something in another data set. Here the background's channel becomes the mean of
    all heads' backgrounds, and an organ's that mean plus the mean of its differences. An organ with a side starts
    from the organ without one where the pre-training did not tell the sides apart.

    Args:
        network: of a `Backbone`'s kind and ``1 + len(organs)`` channels; changed in place.
        file: as for `load_decoder`, with heads.
        datasets: of the pre-training: name -> its classes in the order of their ids, background first.
        organs: of the network, in the order of its channels 1, 2, ….
        untaught: those of the data sets whose heads hold what they were drawn with, see the function of this name.

    Returns:
        organ -> the data sets from which it starts.

    Raises:
        UserError: another network, a file without heads, none that fits; the network is unchanged then.
    """
    output = _backbone(network, "heads").last(network)
    weights = read_weights(file)
    name = next((name for name in weights if f".{name}".endswith(f".{HEADS}weight")), None)
    classes = [(dataset, label) for dataset, labels in datasets.items() for label in labels]
    if name is None or weights[name].shape[1:] != output.weight.shape[1:] or len(weights[name]) != len(classes):
        found = "none" if name is None else f"{len(weights[name])} of {weights[name].shape[1]} features"
        raise UserError(
            file,
            expected=f"heads of {len(classes)} classes and {output.weight.shape[1]} features, learnt from labels",
            found=found,
            remedy=f"{_EXPORT} or leave the heads out of --transfer",
        )
    rows = torch.cat([weights[name].flatten(1), weights[f"{name.removesuffix('weight')}bias"][:, None]], dim=1)
    # a data set without labels has an untrained background
    learnt = {name: labels for name, labels in datasets.items() if len(labels) > 1 and name not in untaught}
    backgrounds = {dataset: rows[classes.index((dataset, labels[0]))] for dataset, labels in learnt.items()}
    known: dict[str, dict[str, Tensor]] = {}
    for (dataset, label), row in zip(classes, rows, strict=True):
        if dataset in learnt and label != datasets[dataset][0] and names_organ(label):
            known.setdefault(organ_key(label), {})[dataset] = row - backgrounds[dataset]
    starts = {organ: known.get(organ_key(organ)) or known.get(organ_key(_without_side(organ)), {}) for organ in organs}
    names = list(dict.fromkeys(name for labels in learnt.values() for name in labels[1:]))
    unnamed = [name for name in dict.fromkeys([*names, *organs]) if not names_organ(name)]
    if not any(starts.values()):
        remedy = "leave heads out of --transfer"
        if unnamed:
            remedy += f", or say in the labels of both lists which organ {', '.join(unnamed)} is of"
        raise UserError(
            file, expected=f"a head for one of {', '.join(organs)}", found=", ".join(names) or "none", remedy=remedy
        )
    if unnamed:
        logger.warning("heads: what names no organ is left out: %s", ", ".join(unnamed))
    background = torch.stack(list(backgrounds.values())).mean(dim=0)
    with torch.no_grad():
        for channel, row in enumerate([background, *(_mean_of(start, background) for start in starts.values())]):
            if row is not None:
                output.weight[channel] = row[:-1].view_as(output.weight[channel])
                output.bias[channel] = row[-1]
    return {organ: list(start) for organ, start in starts.items() if start}


def silence(network: nn.Module, unknown: Collection[int]) -> None:
    """Let a network never predict some of its classes.

    Args:
        network: changed in place.
        unknown: channels of the output.
    """
    output = _backbone(network, "heads").last(network)
    with torch.no_grad():
        for channel in unknown:
            output.weight[channel] = 0
            output.bias[channel] = torch.finfo(torch.float16).min  # also after a cast


def alike(network: nn.Module, channels: Mapping[str, int]) -> list[list[str]]:
    """Organs that a network cannot tell apart, as their channels hold the same: of each such group the names in order.

    Args:
        network: with `load_heads` behind it.
        channels: organ -> its channel of the output.
    """
    output = _backbone(network, "heads").last(network)
    groups: dict[bytes, list[str]] = {}
    for organ, channel in channels.items():
        row = torch.cat([output.weight[channel].detach().flatten(), output.bias[channel].detach()[None]])
        groups.setdefault(row.cpu().numpy().tobytes(), []).append(organ)
    return [organs for organs in groups.values() if len(organs) > 1]


def head_classes(about: Mapping[str, Any] | None) -> dict[str, list[str]]:
    """``datasets`` for `load_heads`, from the record of a file of weights.

    Args:
        about: see `monai_cl.networks.read_about`; None: nothing is known.
    """
    return {name: list(dataset["labels"]) for name, dataset in _datasets(about).items()}


def untaught(about: Mapping[str, Any] | None) -> list[str]:
    """Data sets of a pre-training that name organs, and of whose scans none had labels.

    Args:
        about: as of `head_classes`.
    """
    return [name for name, dataset in _datasets(about).items() if dataset.get("unlabelled")]


def _datasets(about: Mapping[str, Any] | None) -> Mapping[str, Mapping[str, Any]]:
    lists = ((about or {}).get("training") or {}).get("data_lists") or [{}]
    return lists[0].get("datasets") or {}


def _mean_of(start: Mapping[str, Tensor], background: Tensor) -> Tensor | None:
    return background + torch.stack(list(start.values())).mean(dim=0) if start else None


def _backbone(network: nn.Module, what: str) -> Backbone:
    backbone = backbone_of(network)
    if backbone is None:
        raise UserError(
            "transfer",
            expected=f"a network of a known kind: {', '.join(BACKBONES)}",
            found=f"a {type(network).__name__}",
            remedy=f"leave {what} out of --transfer",
        )
    return backbone


def _without_side(name: str) -> str:
    return " ".join(word for word in name.lower().replace("_", " ").split() if word not in ("left", "right"))
