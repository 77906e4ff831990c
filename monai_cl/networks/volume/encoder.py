"""A volume in, a representation or the logits of its labels out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import torch
from einops import pack, unpack
from torch import Tensor

from monai_cl.networks.encoder import SliceEncoder
from monai_cl.networks.volume.dense_encoder import DenseEncoder3d
from monai_cl.networks.volume.heads import ScanHeads, SliceHead

# Of synthetic head boxes windowed to [-45, 155] HU -> [0, 1]: measured on 400, rounded.
MEAN, STD = 0.25, 0.33
T = TypeVar("T", bound="VolumeEncoder")


class VolumeEncoder(SliceEncoder):
    """A `SliceEncoder` of volumes: (…, C, D, H, W) to representations (…, F), standardised first."""

    if TYPE_CHECKING:
        backbone: DenseEncoder3d

    def represent(self, images: Tensor) -> Tensor:
        """Representations (…, F) of volumes (…, C, D, H, W), float32 or better; any number of leading axes."""
        flat, lead = pack([images], "* c d h w")
        return unpack(self._represent(flat), lead, "* f")[0]

    def represent_with_maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Representations, and the maps of the backbone that `slice_head` takes, of one pass, float32 or better.

        Args:
            images: (…, C, D, H, W), windowed to [0, 1].

        Returns:
            (…, F), of block 3 (…, 58, D, h, w) and of block 5 (…, 100, D', h', w').
        """
        flat, lead = pack([images], "* c d h w")
        flat = flat if flat.dtype == torch.float64 else flat.float()
        maps = self.backbone.maps((flat - self.mean) / self.std)
        found = (self.backbone.pooled(maps[-1]), maps[2], maps[4])
        full = (x if x.dtype == torch.float64 else x.float() for x in found)
        representation, fine, coarse = (x.reshape(*lead[0], *x.shape[1:]) for x in full)
        return representation, fine, coarse

    def slice_head(self) -> SliceHead:
        """A new head that scores slices by the maps of `represent_with_maps`."""
        return SliceHead(self.backbone.channels[2], self.backbone.channels[4])

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """``representation`` (…, F), and ``embedding``, which is the same: a network without a head.

        Args:
            images: (…, C, D, H, W), windowed to [0, 1].
        """
        representation = self.represent(images)
        return {"representation": representation, "embedding": representation}


class ScanClassifier(VolumeEncoder):
    """A `DenseEncoder3d` with heads for the labels of a volume.

    Args:
        backbone: the encoder.
        head: the heads.
        mean: see `SliceEncoder`.
        std: see `SliceEncoder`.
    """

    if TYPE_CHECKING:
        head: ScanHeads

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """``representation`` (B, F) and the logits of `ScanHeads`, float32 or better.

        Args:
            images: (B, C, D, H, W), windowed to [0, 1].
        """
        features = self.represent_with_maps(images)
        with torch.autocast(device_type=images.device.type, enabled=False):
            return {"representation": features[0], **self.head(*features)}


class ScanProbability(ScanClassifier):
    """A `ScanClassifier` for deployment: volumes (B, C, D, H, W) to the probability of class 1, (B, 1).

    The state dict is that of the classifier that was trained; `outputs` gives all logits.
    """

    # one tensor instead of a dictionary is what a deployed network is for
    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        return torch.sigmoid(self.head.target(self._represent(images))).float()


def volume_encoder(*, in_channels: int = 1, mean: float = MEAN, std: float = STD) -> VolumeEncoder:
    """A `VolumeEncoder` with a `DenseEncoder3d`, from plain options, as a config gives them.

    Args:
        in_channels: C.
        mean: of the windowed volumes, see `SliceEncoder`.
        std: of the windowed volumes.
    """
    backbone = DenseEncoder3d(in_channels=in_channels)
    return _described(VolumeEncoder(backbone, mean=mean, std=std), backbone, in_channels)


def scan_classifier(
    *,
    in_channels: int = 1,
    classes: int = 2,
    finding_names: Sequence[str] = (),
    slices: bool = False,
    deployed: bool = False,
    mean: float = MEAN,
    std: float = STD,
) -> ScanClassifier:
    """A `ScanClassifier` on a `DenseEncoder3d`, from plain options, as a config gives them.

    Args:
        in_channels: C.
        classes: see `ScanHeads`.
        finding_names: of the outputs of the head for findings, in their order; none: no such head.
        slices: see `ScanHeads`.
        deployed: a `ScanProbability`, which takes the weights of one made with the same options.
        mean: of the windowed volumes, see `SliceEncoder`.
        std: of the windowed volumes.

    Raises:
        ValueError: see `ScanHeads`.
    """
    backbone = DenseEncoder3d(in_channels=in_channels)
    channels = (backbone.channels[2], backbone.channels[4])
    names = [str(name) for name in finding_names]
    head = ScanHeads(backbone.representation_size, channels, classes=classes, findings=len(names), slices=slices)
    kind = ScanProbability if deployed else ScanClassifier
    network = _described(kind(backbone, head, mean=mean, std=std), backbone, in_channels)
    network.arguments |= {"finding_names": names, "slices": bool(slices)}
    return network


def _described(network: T, backbone: DenseEncoder3d, in_channels: int) -> T:
    network.representation_size = backbone.representation_size
    network.arguments = {"backbone": "dense3d", "in_channels": in_channels}
    return network
