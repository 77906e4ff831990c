"""The start of a training from pre-trained weights, whatever the network is: loaded wholly, or refused."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from monai_cl.engines.model_input import check_model, conflicts
from monai_cl.engines.transferred_parts import (
    alike,
    check_parts,
    head_classes,
    load_decoder,
    load_heads,
    silence,
    untaught,
)
from monai_cl.errors import UserError
from monai_cl.files import sha256
from monai_cl.networks import (
    SliceEncoder,
    SliceUNet,
    describe_network,
    load_encoder,
    load_slice_encoder,
    load_unet_encoder,
    read_about,
)
from monai_cl.networks.transfer import TransferReport
from monai_cl.switches import is_switched_on

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """A network as its training starts.

    Attributes:
        network: with the pre-trained weights in it.
        encoder: what they are, for ``results.json`` and for the record of the model; None: from scratch.
        file: they are from; None: from scratch.
        at_random: parts of the encoder that were not in the file, see `load_encoder`.
    """

    network: nn.Module
    encoder: dict[str, Any] | None = None
    file: str | None = None
    at_random: tuple[str, ...] = ()

    def require_trained(self, trained: nn.Module) -> None:
        """Make sure that the network which is trained is the one that got the weights.

        Raises:
            UserError: it is another one, so that the run would be recorded as pre-trained and is not.
        """
        own = {id(parameter) for parameter in self.network.parameters()}
        if self.encoder is not None and not any(id(parameter) in own for parameter in trained.parameters()):
            raise UserError(
                "network",
                expected=f"the network that {self.file} was loaded into (network_def)",
                found="another one, which would start from scratch",
                remedy="replace network_def instead of network, or leave the encoder out",
            )


def start_from(
    network: nn.Module,
    file: str | Path | None,
    *,
    model: Mapping[str, Any] | None = None,
    allow_other_preprocessing: bool | str = False,
    transfer: str | Sequence[str] = ("encoder",),
) -> Start:
    """Load a pre-trained encoder into a network that is built already.

    Args:
        network: of a `Backbone`'s kind, an encoder of slices, a `SliceUNet`, or any other network, see `load_encoder`;
            changed in place.
        file: ``encoder.pt``, ``model.pt`` or a checkpoint of a pre-training, or a file from elsewhere; None: the
            training starts from scratch.
        model: the run's ``preprocessing``, compared with the file's, see `check_model`.
        allow_other_preprocessing: train on input of another spacing, window, … than the encoder's; it is recorded.
        transfer: ``encoder``; of a `Backbone` also ``decoder`` and ``heads``, the channels of organs both know.

    Raises:
        UserError: a file that is missing, damaged or does not fit, or a preprocessing that contradicts the file's.
    """
    parts = check_parts(transfer)
    if file in (None, ""):
        return Start(network)
    allowed = is_switched_on("allow_other_preprocessing", allow_other_preprocessing)
    # the organs are those of the target, and may be others; so may a UNETR's patch size, see load_encoder
    described = describe_network(network)
    arguments = {key: value for key, value in described["arguments"].items() if key != "img_size"}
    own = {"network": {**described, "arguments": arguments}, "preprocessing": (model or {}).get("preprocessing")}
    about = check_model(file, own, allow_other_preprocessing=allowed, may_allow=True) or {}
    report = _loader(network)(network, file)
    logger.info("%s", report)
    if "decoder" in parts:
        load_decoder(network, file)
    organs = list((model or {}).get("organs") or [])
    heads = None
    if "heads" in parts:
        heads = load_heads(network, file, datasets=head_classes(about), untaught=untaught(about), organs=organs)
    kept = ("kind", "bundle", "preset", "network", "preprocessing", "training", "encoder")
    encoder: dict[str, Any] = {"file": str(file), "sha256": sha256(Path(file)), **{key: about.get(key) for key in kept}}
    encoder["tensors"] = report.parts
    if report.at_random:
        encoder["at_random"] = list(report.at_random)
    if len(parts) > 1:
        encoder |= {"parts": list(parts), "heads": heads}
        logger.info("%s: %s taken over; heads of %s", file, ", ".join(parts), ", ".join(heads or ()) or "none")
    allowed_conflicts = {
        key: {"encoder": trained, "run": value} for key, trained, value in conflicts(about, own) if about
    }
    encoder["other_preprocessing"] = allowed_conflicts
    for key, values in allowed_conflicts.items():
        logger.warning("%s: %s of the encoder %s, of this run %s, as allowed", file, key, *values.values())
    return Start(network, encoder, str(file), report.at_random)


def only_known_organs(start: Start, organs: Sequence[str]) -> None:
    """Let a network that was not fine-tuned predict only the organs whose heads it took over.

    Args:
        start: of a network with ``heads``.
        organs: of the network, in the order of its channels 1, 2, ….

    Raises:
        UserError: it starts without heads.
    """
    heads = (start.encoder or {}).get("heads")
    if not heads:
        raise UserError(
            "transfer",
            expected="heads of a pre-training",
            found="none",
            remedy="name its model.pt: --pretrained_encoder",
        )
    unknown = [organ for organ in organs if organ not in heads]
    silence(start.network, [1 + list(organs).index(organ) for organ in unknown])
    for same in alike(start.network, {organ: 1 + list(organs).index(organ) for organ in organs if organ in heads}):
        logger.warning(
            "%s was not taught to tell %s apart: all of them are predicted as %s, and the others have Dice 0",
            start.file, ", ".join(same), same[0],
        )  # fmt: skip
    if unknown:
        logger.warning("%s was not taught %s: never predicted, Dice 0", start.file, ", ".join(unknown))


def _loader(network: nn.Module) -> Callable[[Any, str | Path], TransferReport]:
    if isinstance(network, SliceEncoder):
        return load_slice_encoder
    return load_unet_encoder if isinstance(network, SliceUNet) else load_encoder


def encoder_of(file: str | Path) -> dict[str, Any] | None:
    """The pre-trained encoder that a trained model started from, from the model's record; None: none, or not known.

    Args:
        file: ``model.pt`` or a checkpoint.
    """
    return (read_about(file) or {}).get("encoder")


def without_path(encoder: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An encoder's description for a file of weights, which is handed on: without the place of its file.

    Args:
        encoder: of a `Start`.
    """
    return None if encoder is None else {key: value for key, value in encoder.items() if key != "file"}


def imagenet_start(network: nn.Module, weights: str | Path | None) -> str:
    """``initialisation`` of a run: the file of ImageNet weights, or ``"scratch"``.

    Args:
        network: that is trained.
        weights: file that was given.

    Raises:
        UserError: the network was not made with it, so that the run starts from scratch.
    """
    if weights in (None, ""):
        return "scratch"
    encoder = network if hasattr(network, "imagenet_weights") else getattr(network, "encoder", network)
    if getattr(encoder, "imagenet_weights", None) != str(weights):
        raise UserError(
            weights,
            expected="a network that takes ImageNet weights (backbone resnet18 or another ResNet)",
            found=f"a {type(network).__name__}, into which they were not loaded",
            remedy="leave imagenet_weights or the replaced network out",
        )
    return str(weights)
