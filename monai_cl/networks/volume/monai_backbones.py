"""MONAI's segmentation networks as backbones: which of their parts is encoder, which decoder, how each is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from monai.networks.nets import UNETR, DynUNet, SegResNet, SwinUNETR
from monai.networks.nets.swin_unetr import PatchMerging
from torch import Tensor, nn

from monai_cl.networks.volume.backbone import Backbone
from monai_cl.networks.volume.patch_merging import EarlierPatchMerging


class UNETRBackbone(Backbone):
    """MONAI's `UNETR`: encoder1–4 on the image and on transformer blocks 3, 6 and 9 (from 0), and the last tokens."""

    name, kind, output, multiple, smallest = "unetr", UNETR, "out.conv.conv", 16, 32
    trunk = (
        (),
        ("vit.patch_embedding.", *(f"vit.blocks.{k}." for k in range(4))),
        tuple(f"vit.blocks.{k}." for k in range(4, 7)),
        tuple(f"vit.blocks.{k}." for k in range(7, 10)),
        (*(f"vit.blocks.{k}." for k in range(10, 12)), "vit.norm."),
    )
    own = (("encoder1.",), ("encoder2.",), ("encoder3.",), ("encoder4.",), ())
    decoder = ("decoder5.", "decoder4.", "decoder3.", "decoder2.")

    @property
    def encoder(self) -> tuple[str, ...]:
        return ("vit.", "encoder1.", "encoder2.", "encoder3.", "encoder4.")

    def build(self, *, img_size: Sequence[int], dropout: float = 0.0, **options: Any) -> UNETR:
        return UNETR(img_size=self.patch(img_size), **{"dropout_rate": dropout, **options})

    def channels(self, network: UNETR) -> tuple[int, ...]:
        feature_size = self.last(network).in_channels
        return (*(feature_size * 2**level for level in range(4)), network.hidden_size)

    def encode(self, network: UNETR, images: Tensor, levels: Sequence[int]) -> list[Tensor]:
        tokens, hidden = network.vit(images) if any(levels) else (images, [])
        made: dict[int, Callable[[], Tensor]] = {
            0: lambda: network.encoder1(images),
            1: lambda: network.encoder2(network.proj_feat(hidden[3])),
            2: lambda: network.encoder3(network.proj_feat(hidden[6])),
            3: lambda: network.encoder4(network.proj_feat(hidden[9])),
            4: lambda: network.proj_feat(tokens),
        }
        return [made[level]() for level in levels]

    def decode(self, network: UNETR, features: Sequence[Tensor]) -> Tensor:
        decoded = network.decoder5(features[4], features[3])
        decoded = network.decoder4(decoded, features[2])
        decoded = network.decoder3(decoded, features[1])
        return network.decoder2(decoded, features[0])

    def arguments(self, network: UNETR) -> dict[str, Any]:
        block: Any = network.vit.blocks[0]
        convolution: Any = network.encoder1.layer.conv1.conv
        return {
            "in_channels": convolution.in_channels,
            "out_channels": self.last(network).out_channels,
            "img_size": [feat * patch for feat, patch in zip(network.feat_size, network.patch_size)],
            "feature_size": convolution.out_channels,
            "hidden_size": network.hidden_size,
            "mlp_dim": block.mlp.linear1.out_features,
            "num_heads": block.attn.num_heads,
        }


class FreeSizeBackbone(Backbone):
    """A network of any patch size: its arguments are its name, its channels and the classes."""

    def arguments(self, network: Any) -> dict[str, Any]:
        first = next(module for module in network.modules() if isinstance(module, nn.Conv3d))
        last = self.last(network)
        sizes = {"in_channels": first.in_channels, "out_channels": last.out_channels, "feature_size": last.in_channels}
        return {"backbone": self.name, **sizes}


class SegResNetBackbone(FreeSizeBackbone):
    """MONAI's `SegResNet` with its own blocks (1, 2, 2, 4): four levels, each from the one before."""

    name, kind, output, multiple, smallest = "segresnet", SegResNet, "conv_final.2.conv", 8, 16
    trunk = (("convInit.", "down_layers.0."), ("down_layers.1.",), ("down_layers.2.",), ("down_layers.3.",))
    own = ((), (), (), ())
    decoder = ("up_samples.", "up_layers.", "conv_final.0.")

    def build(
        self, *, in_channels: int, out_channels: int, feature_size: int, dropout: float = 0.0, **options: Any
    ) -> SegResNet:
        if feature_size % 8:
            raise ValueError(f"feature_size of a segresnet must be a multiple of 8, its groups, got {feature_size}")
        return SegResNet(3, feature_size, in_channels, out_channels, dropout_prob=dropout or None)

    def channels(self, network: SegResNet) -> tuple[int, ...]:
        return tuple(network.init_filters * 2**level for level in self.levels)

    def encode(self, network: SegResNet, images: Tensor, levels: Sequence[int]) -> list[Tensor]:
        _, features = network.encode(images)
        return [features[level] for level in levels]

    def decode(self, network: SegResNet, features: Sequence[Tensor]) -> Tensor:
        decoded = features[-1]
        for up, layer, skip in zip(network.up_samples, network.up_layers, features[-2::-1]):
            decoded = layer(up(decoded) + skip)
        return network.conv_final[:2](decoded)


class DynUNetBackbone(FreeSizeBackbone):
    """MONAI's `DynUNet`, nnU-Net's network, with five levels of 3³ kernels, at most 320 channels."""

    name, kind, output, multiple, smallest = "dynunet", DynUNet, "output_block.conv.conv", 16, 32
    trunk = (("input_block.",), ("downsamples.0.",), ("downsamples.1.",), ("downsamples.2.",), ("bottleneck.",))
    own = ((), (), (), (), ())
    decoder = ("upsamples.",)

    def build(
        self, *, in_channels: int, out_channels: int, feature_size: int, dropout: float = 0.0, **options: Any
    ) -> DynUNet:
        filters = [min(feature_size * 2**level, max(320, feature_size)) for level in self.levels]
        strides = [1, 2, 2, 2, 2]
        return DynUNet(
            3, in_channels, out_channels, [3] * 5, strides, strides[1:], filters=filters, dropout=dropout or None
        )

    def channels(self, network: DynUNet) -> tuple[int, ...]:
        return tuple(network.filters)

    def encode(self, network: DynUNet, images: Tensor, levels: Sequence[int]) -> list[Tensor]:
        features = [network.input_block(images)]
        for layer in (*network.downsamples, network.bottleneck):
            features.append(layer(features[-1]))
        return [features[level] for level in levels]

    def decode(self, network: DynUNet, features: Sequence[Tensor]) -> Tensor:
        decoded = features[-1]
        for up, skip in zip(network.upsamples, features[-2::-1]):
            decoded = up(decoded, skip)
        return decoded


class SwinUNETRBackbone(FreeSizeBackbone):
    """MONAI's `SwinUNETR`: six levels, the fifth the transformer's own; ``feature_size`` a multiple of 12."""

    name, kind, output, multiple, smallest = "swin_unetr", SwinUNETR, "out.conv.conv", 32, 64
    trunk = (
        (),
        ("swinViT.patch_embed.",),
        *((f"swinViT.layers{stage}",) for stage in range(1, 5)),  # with the ``layers1c`` of use_v2, where they are
    )
    own = (("encoder1.",), ("encoder2.",), ("encoder3.",), ("encoder4.",), (), ("encoder10.",))
    decoder = ("decoder5.", "decoder4.", "decoder3.", "decoder2.", "decoder1.")
    merging: ClassVar[Any] = PatchMerging  # a class, where MONAI says an instance
    use_v2: ClassVar[bool] = False

    def build(
        self, *, in_channels: int, out_channels: int, feature_size: int, dropout: float = 0.0, **options: Any
    ) -> SwinUNETR:
        return SwinUNETR(
            in_channels,
            out_channels,
            feature_size=feature_size,
            drop_rate=dropout,
            downsample=self.merging,
            use_v2=self.use_v2,
        )

    def fits(self, network: object) -> bool:
        if not isinstance(network, SwinUNETR):
            return False
        stage: Any = network.swinViT.layers1[0]
        if not isinstance(stage.downsample, EarlierPatchMerging):
            return self.merging is PatchMerging  # whatever a config's own SwinUNETR has besides
        return self.merging is EarlierPatchMerging and network.swinViT.use_v2 == self.use_v2

    def channels(self, network: SwinUNETR) -> tuple[int, ...]:
        feature_size = self.last(network).in_channels
        return tuple(feature_size * factor for factor in (1, 1, 2, 4, 8, 16))

    def encode(self, network: SwinUNETR, images: Tensor, levels: Sequence[int]) -> list[Tensor]:
        hidden = network.swinViT(images, network.normalize) if any(levels) else []
        made: dict[int, Callable[[], Tensor]] = {
            0: lambda: network.encoder1(images),
            1: lambda: network.encoder2(hidden[0]),
            2: lambda: network.encoder3(hidden[1]),
            3: lambda: network.encoder4(hidden[2]),
            4: lambda: hidden[3],
            5: lambda: network.encoder10(hidden[4]),
        }
        return [made[level]() for level in levels]

    def decode(self, network: SwinUNETR, features: Sequence[Tensor]) -> Tensor:
        decoded = features[5]
        for up, skip in zip(
            (network.decoder5, network.decoder4, network.decoder3, network.decoder2, network.decoder1), features[4::-1]
        ):
            decoded = up(decoded, skip)
        return decoded


class EarlierSwinUNETRBackbone(SwinUNETRBackbone):
    """The `SwinUNETR` of MONAI 0.9 to 1.4, which published weights are for: see `EarlierPatchMerging`."""

    name, merging = "swin_unetr_1_4", EarlierPatchMerging


class SwinUNETRV2Backbone(EarlierSwinUNETRBackbone):
    """The same with ``use_v2``, VoCo's network: a residual block of convolutions before each stage."""

    name, use_v2 = "swin_unetr_v2", True
    trunk = (
        (),
        ("swinViT.patch_embed.",),
        *((f"swinViT.layers{stage}.", f"swinViT.layers{stage}c.") for stage in range(1, 5)),
    )
