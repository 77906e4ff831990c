"""ResNets for slices: MONAI's, set up as the standard ones, and ImageNet's weights for them from the user's file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from einops import repeat
from monai.networks.nets.resnet import ResNet, get_inplanes
from torch import Tensor, nn

from monai_cl.errors import UserError
from monai_cl.networks.foreign.names import named_as
from monai_cl.networks.foreign.reading import read_weights
from monai_cl.networks.tinynet import odd_channels
from monai_cl.networks.transfer import TransferReport, compare_weights

_FIRST = "conv1.weight"
_HEADS = ("fc.", "projection_head.", "prototypes.")  # of torchvision's files, and of SwAV's
_COUNTER = "num_batches_tracked"  # absent from files written before 2018; a batch counter, not a weight


# name: as a message has it, block, blocks, factor on every width, the first convolution's included (as SwAV's; the
# `wide_resnet50_2` of torchvision is another network)
RESNETS = {
    "resnet18": ("ResNet-18", "basic", (2, 2, 2, 2), 1),
    "resnet50": ("ResNet-50", "bottleneck", (3, 4, 6, 3), 1),
    "resnet50w2": ("ResNet-50w2", "bottleneck", (3, 4, 6, 3), 2),
    "resnet50w4": ("ResNet-50w4", "bottleneck", (3, 4, 6, 3), 4),
    "resnet152": ("ResNet-152", "bottleneck", (3, 8, 36, 3), 1),
}


def slice_resnet(
    name: str, *, in_channels: int = 1, width: float = 1.0, weights: str | Path | None = None
) -> nn.Module:
    """A standard ResNet in 2D without its classifier: images (B, C, H, W) → representations (B, F).

    MONAI's differ from them by default in two places, both changed back here: their first convolution has stride 1,
    their shortcuts' 1×1 convolutions a bias. With both changed back, the names of the tensors are torchvision's.

    Args:
        name: ``resnet18`` (F = 512), ``resnet50`` and ``resnet152`` (2048), ``resnet50w2`` (4096), ``resnet50w4``
            (8192).
        in_channels: 1, or 2k + 1 for a slice with k neighbours on either side.
        width: factor on all channels, and on F: half of them take a quarter of the time.
        weights: a file of ImageNet weights, see `load_imagenet`; None for the random initialisation of He.

    Raises:
        ValueError: another name, an even ``in_channels``, a width that leaves less than a channel.
        UserError: a file that does not hold this ResNet.

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016; the wider ones: Caron et al. (SwAV),
    NeurIPS 2020.
    """
    if name not in RESNETS:
        raise ValueError(f"name must be one of {', '.join(RESNETS)}, got {name!r}")
    title, block, layers, wider = RESNETS[name]
    if not get_inplanes()[0] * width >= 1:
        raise ValueError(f"width must leave a channel of {get_inplanes()[0]} at least, got {width}")
    network = ResNet(
        block,
        list(layers),
        get_inplanes(),
        spatial_dims=2,
        n_input_channels=odd_channels(in_channels),
        conv1_t_stride=2,
        bias_downsample=False,
        feed_forward=False,
        widen_factor=wider * width,
    )
    # nn.Module declares only tensors and modules as attributes
    # not features * width: each width is rounded down on its own
    network.representation_size = int(get_inplanes()[3] * wider * width) * network.layer4[-1].expansion  # type: ignore[assignment, operator]
    network.title = title if width == 1 else f"{title} of {width:g} of its width"  # type: ignore[assignment]
    if weights is not None:
        load_imagenet(network, weights)
    return network


def load_imagenet(network: nn.Module, path: str | Path) -> TransferReport:
    """Load a weights file in torchvision's format (e.g. ``resnet18-f37072fd.pth``) into a `slice_resnet`.

    The file's first convolution has three input channels, for colours, or one (timm's ``in_chans=1``); see
    `grey_convolution`. Its classifier ``fc``, or the head and the prototypes of a file of SwAV's, are left out. Nothing
    is unpickled but tensors.

    Args:
        network: from `slice_resnet`; changed in place.
        path: the weights file, as torchvision, timm or SwAV's authors publish it.

    Returns: The names that matched: all of them, because anything else is refused.

    Raises:
        UserError: no such file, a damaged one, or another network's; the message names what does not fit. The
            network is unchanged then.
    """
    path, title = Path(path), getattr(network, "title", "ResNet")
    if not path.is_file():
        raise UserError(
            path,
            found="no such file",
            remedy=f"pass a {title} weights file in torchvision's format, such as resnet18-f37072fd.pth for ResNet-18",
        )
    own_weights, given = network.state_dict(), read_weights(path)
    weights = {name: w for name, w in named_as(given, own_weights).items() if not name.startswith(_HEADS)}
    if _FIRST in weights and weights[_FIRST].ndim == 4 and weights[_FIRST].shape[1] in (1, 3):
        weights[_FIRST] = grey_convolution(weights[_FIRST], channels=own_weights[_FIRST].shape[1])
    report = compare_weights(own_weights, weights, source=str(path), optional=_COUNTER)
    if not report.complete:
        other = resnet_of_weights(given)
        which = f"a {RESNETS[other[0]][0]}, backbone {other[0]}" if other else "another network"
        raise UserError(f"{report}; expected ImageNet's {title} with torchvision's names: it is {which}")
    network.load_state_dict({name: weights[name] for name in report.matched}, strict=False)
    return report


def resnet_of_weights(
    weights: Mapping[str, Tensor], names: Collection[str] = tuple(RESNETS)
) -> tuple[str, dict[str, Tensor]] | None:
    """Which of the `slice_resnet`s has these weights, and they under its names; None: none of them.

    Args:
        weights: of a file; their first convolution may have any number of input channels.
        names: the ResNets to compare with.
    """
    for name in names:
        with torch.device("meta"):  # nothing is allocated
            expected = slice_resnet(name).state_dict()
        found = named_as(weights, expected)
        if found.keys() >= expected.keys() and all(
            found[key].shape == tensor.shape for key, tensor in expected.items() if key != _FIRST
        ):
            return name, {key: found[key] for key in expected}
    return None


def grey_convolution(weight: Tensor, *, channels: int) -> Tensor:
    """A first convolution for colours (F, 3, h, w) turned into one for ``channels`` grey slices (F, channels, h, w).

    Every channel gets the sum over the colours, divided by ``channels``: a slice repeated as all its neighbours then
    has exactly the response of its grey image in the original network. Three channels too: neighbouring slices are not
    red, green and blue.

    Args:
        weight: kernels of the convolution for colours, (F, 3, h, w), or for one grey channel, (F, 1, h, w).
        channels: channels of the slices that are to come.
    """
    return repeat(weight.sum(dim=1) / channels, "f h w -> f c h w", c=channels)
