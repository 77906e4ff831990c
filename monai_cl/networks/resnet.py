"""ResNet-18 for CT slices: MONAI's, set up as the standard one, and ImageNet's weights for it from the user's file."""

from __future__ import annotations

from pathlib import Path

from einops import repeat
from monai.networks.nets import resnet18
from torch import Tensor, nn

from monai_cl.errors import UserError
from monai_cl.networks.foreign.reading import read_weights
from monai_cl.networks.tinynet import odd_channels
from monai_cl.networks.transfer import TransferReport, compare_weights

_FIRST = "conv1.weight"
_CLASSIFIER = "fc."
_COUNTER = "num_batches_tracked"  # absent from files written before 2018; a batch counter, not a weight


def slice_resnet18(*, in_channels: int = 1, weights: str | Path | None = None) -> nn.Module:
    """The standard ResNet-18 in 2D without its classifier: images (B, C, H, W) → representations (B, 512).

    MONAI's `resnet18` differs from it by default in two places, both changed back here: its first convolution has
    stride 1, its shortcuts' 1×1 convolutions a bias. With both changed back, the names of its tensors are
    torchvision's.

    Args:
        in_channels: 1, or 2k + 1 for a slice with k neighbours on either side.
        weights: a file of ImageNet weights, see `load_imagenet`; None for the random initialisation of He.

    Raises:
        ValueError: an even ``in_channels``.
        UserError: a file that does not hold a ResNet-18.

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016.
    """
    network = resnet18(
        spatial_dims=2,
        n_input_channels=odd_channels(in_channels),
        conv1_t_stride=2,
        bias_downsample=False,
        feed_forward=False,
    )
    # nn.Module declares only tensors and modules as attributes
    network.representation_size = 512  # type: ignore[assignment]
    if weights is not None:
        load_imagenet(network, weights)
    return network


def load_imagenet(network: nn.Module, path: str | Path) -> TransferReport:
    """Load a weights file in torchvision's format (e.g. ``resnet18-f37072fd.pth``) into a `slice_resnet18`.

    The file's first convolution has three input channels, for colours; see `grey_convolution`. Its classifier
    ``fc`` is left out. Nothing is unpickled but tensors.

    Args:
        network: from `slice_resnet18`; changed in place.
        path: the weights file, as torchvision publishes it.

    Returns: The names that matched: all of them, because anything else is refused.

    Raises:
        UserError: no such file, a damaged one, or another network's; the message names what does not fit. The
            network is unchanged then.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            path,
            found="no such file",
            remedy="pass a ResNet-18 weights file in torchvision's format, e.g. resnet18-f37072fd.pth",
        )
    weights = {name: w for name, w in read_weights(path).items() if not name.startswith(_CLASSIFIER)}
    own_weights = network.state_dict()
    if _FIRST in weights and weights[_FIRST].ndim == 4 and weights[_FIRST].shape[1] == 3:
        weights[_FIRST] = grey_convolution(weights[_FIRST], channels=own_weights[_FIRST].shape[1])
    report = compare_weights(own_weights, weights, source=str(path), optional=_COUNTER)
    if not report.complete:
        raise UserError(f"{report}; expected ImageNet's ResNet-18 with torchvision's names: it is another network")
    network.load_state_dict({name: weights[name] for name in report.matched}, strict=False)
    return report


def grey_convolution(weight: Tensor, *, channels: int) -> Tensor:
    """A first convolution for colours (F, 3, h, w) turned into one for ``channels`` grey slices (F, channels, h, w).

    Every channel gets the sum over the colours, divided by ``channels``: a slice repeated as all its neighbours then
    has exactly the response of its grey image in the original network. Three channels too: neighbouring slices are not
    red, green and blue.

    Args:
        weight: kernels of the convolution for colours, (F, 3, h, w).
        channels: channels of the slices that are to come.
    """
    return repeat(weight.sum(dim=1) / channels, "f h w -> f c h w", c=channels)
