"""The 2-D U-Net of the pre-training with meta-labels: its encoder, a projector for each label, the transfer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from monai.networks.nets.basic_unet import Down, TwoConv
from torch import Tensor, nn

from monai_cl.errors import UserError
from monai_cl.networks.encoder import SliceEncoder
from monai_cl.networks.projected import ProjectedEncoder, in_full_precision
from monai_cl.networks.slice_transfer import read_slice_encoder
from monai_cl.networks.transfer import TransferReport, compare_weights

FEATURES = (16, 32, 64, 128, 256, 16)
ACTIVATION = ("relu", {"inplace": True})
_BACKBONE = "backbone."
_ESCAPED = "label:"


class UNetEncoder(nn.Module):
    """The way down of MONAI's `BasicUNet`, under its names: ``conv_0``, ``down_1`` … ``down_4``.

    Args:
        in_channels: of a slice.
        features: channels of the five levels; a sixth number, of the way up, is not looked at.
        norm: MONAI's name of the norm.

    Raises:
        ValueError: fewer than five features.
    """

    def __init__(self, *, in_channels: int = 1, features: Sequence[int] = FEATURES, norm: str = "batch") -> None:
        super().__init__()
        if len(features) < 5:
            raise ValueError(f"features must be the channels of five levels, got {list(features)}")
        self.conv_0 = TwoConv(2, in_channels, features[0], ACTIVATION, norm, bias=True)
        self.down_1 = Down(2, features[0], features[1], ACTIVATION, norm, bias=True)
        self.down_2 = Down(2, features[1], features[2], ACTIVATION, norm, bias=True)
        self.down_3 = Down(2, features[2], features[3], ACTIVATION, norm, bias=True)
        self.down_4 = Down(2, features[3], features[4], ACTIVATION, norm, bias=True)
        self.representation_size = int(features[4])
        self.arguments = {"features": [int(channels) for channels in features], "norm": norm}

    def maps(self, images: Tensor) -> list[Tensor]:
        """The outputs of the five levels, (B, f, H/s, W/s) of strides s = 1, 2, 4, 8, 16, of slices (B, C, H, W)."""
        maps = [self.conv_0(images)]
        for down in (self.down_1, self.down_2, self.down_3, self.down_4):
            maps.append(down(maps[-1]))
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """The bottleneck (B, F, H/16, W/16) of slices (B, C, H, W)."""
        return self.down_4(self.down_3(self.down_2(self.down_1(self.conv_0(images)))))


def projector(features: int) -> nn.Sequential:
    """Linear, LeakyReLU, Linear, all of size ``features``, without norm.

    Args:
        features: F of the representation and of the embedding.
    """
    return nn.Sequential(nn.Linear(features, features), nn.LeakyReLU(0.01), nn.Linear(features, features))


def projectors(names: Sequence[str], features: int) -> nn.ModuleDict:
    """A `projector` for each meta-label, whatever its name, see `embeddings`.

    Torch refuses a dot and the names of its own methods, such as ``type``; in the state dict these, and these alone, so
    that earlier files load, are written ``label:type``.

    Args:
        names: of the meta-labels.
        features: F of the representation.
    """
    return nn.ModuleDict({_key(name): projector(features) for name in names})


def embeddings(heads: nn.ModuleDict, representation: Tensor) -> dict[str, Tensor]:
    """``embedding_<name>`` (…, F) of a representation (…, F) for each meta-label.

    Args:
        heads: from `projectors`.
        representation: of slices or of their views.
    """
    return {f"embedding_{_name(key)}": in_full_precision(head, representation) for key, head in heads.items()}


def _key(name: str) -> str:
    taken = "." in name or hasattr(nn.ModuleDict(), name) or name.startswith(_ESCAPED)
    return _ESCAPED + name.replace("%", "%25").replace(".", "%2E") if taken else name


def _name(key: str) -> str:
    return unquote(key.removeprefix(_ESCAPED)) if key.startswith(_ESCAPED) else key


class MetaLabelNet(ProjectedEncoder):
    """An encoder and one `projector` for each meta-label.

    Args:
        encoder: from `slice_encoder` with ``head=()``.
        names: of the meta-labels.

    Raises:
        ValueError: no meta-label.

    Source: Peng et al., "Self-paced contrastive learning for semi-supervised medical image segmentation with
    meta-labels", NeurIPS 2021.
    """

    def __init__(self, encoder: SliceEncoder, names: Sequence[str]) -> None:
        if not names:
            raise ValueError("names must hold at least one meta-label")
        super().__init__(encoder, projectors(names, encoder.representation_size))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Encode slices.

        Args:
            images: (B, C, H, W), or (N, V, C, H, W) for V views of N slices; in [0, 1].

        Returns:
            ``representation`` (…, F), and ``embedding_<name>`` (…, F) for each meta-label.
        """
        representation = self.represent(images)
        assert isinstance(self.head, nn.ModuleDict)  # as the constructor made it
        return {"representation": representation, **embeddings(self.head, representation)}


def load_unet_encoder(network: nn.Module, path: str | Path) -> TransferReport:
    """Load a pre-trained encoder into a `BasicUNet` of two dimensions; the way up is left as it is.

    Args:
        network: MONAI's `BasicUNet` with the features and the norm of the pre-training.
        path: ``model.pt`` or a checkpoint of the bundle ``meta_label_pretraining``.

    Returns:
        The names that matched: all of them, because anything else is refused.

    Raises:
        UserError: a file that is missing, damaged or of another network; the network is unchanged then.
    """
    own = {name: t for name, t in network.state_dict().items() if name.startswith(("conv_0.", "down_"))}
    read = read_slice_encoder(path, [_BACKBONE + name for name in own])
    given = {name.removeprefix(_BACKBONE): tensor for name, tensor in read.items() if name.startswith(_BACKBONE)}
    report = compare_weights(own, given, source=str(path))
    if not report.complete:
        raise UserError(
            f"{report}; expected the encoder of a 2-D U-Net as it was pre-trained: build the network with the same "
            "features and norm"
        )
    network.load_state_dict({name: given[name] for name in report.matched}, strict=False)
    return report
