"""The encoder of a pre-trained run, whatever its method, into a new network of slices."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor

from monai_cl.errors import UserError
from monai_cl.networks.earlier_names import current_names, in_encoder
from monai_cl.networks.encoder import SliceEncoder
from monai_cl.networks.foreign.names import likely_architecture, named_as
from monai_cl.networks.foreign.reading import read_weights
from monai_cl.networks.transfer import TransferReport, compare_weights

_PREFIX = "encoder."


def slice_encoder_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is transferred of a pre-training, backbone and standardisation, under the names of a `SliceEncoder`."""
    bare = {name.removeprefix(_PREFIX): tensor for name, tensor in current_names(weights).items()}
    return {name: tensor for name, tensor in bare.items() if in_encoder(name)}


def read_slice_encoder(path: str | Path, names: Collection[str]) -> dict[str, Tensor]:
    """The weights of an encoder in a file, whatever is in front of their names, such as Lightning's ``model.``.

    Args:
        path: see `read_weights`.
        names: of a `SliceEncoder`, as `slice_encoder_weights` gives them.
    """
    weights = read_weights(path)
    return slice_encoder_weights(weights) or slice_encoder_weights(named_as(weights, names))


def load_slice_encoder(encoder: SliceEncoder, path: str | Path) -> TransferReport:
    """Load backbone and standardisation from a checkpoint of a pre-training by any method; the head is not loaded.

    Args:
        encoder: built with the backbone, width and channels of the pre-training.
        path: a checkpoint of the run, or its bare state dict.

    Returns:
        The names that matched: all of them, because anything else is refused.

    Raises:
        UserError: a file that is missing, damaged or of another backbone; the message names what does not fit. The
            encoder is unchanged then.
    """
    if not Path(path).is_file():
        raise UserError(path, found="no such file", remedy="pass a checkpoint of a pre-training on slices")
    own_weights = {name: tensor for name, tensor in encoder.state_dict().items() if in_encoder(name)}
    given = read_slice_encoder(path, own_weights)
    report = compare_weights(own_weights, given, source=str(path))
    if not report.complete:
        kind = None if report.matched else likely_architecture(read_weights(path))
        advice = ": build it as it was pre-trained (backbone, width, in_channels)"
        if kind:
            advice = f", found a {kind}: weights from ImageNet are given as imagenet_weights"
        raise UserError(f"{report}; expected an encoder of slices with the same architecture{advice}")
    encoder.load_state_dict({name: given[name] for name in report.matched}, strict=False)
    return report
