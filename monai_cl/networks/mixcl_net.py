"""MixCL's network: a UNETR whose encoder levels are projected, and whose decoder reconstructs (arXiv 2203.02114)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monai.networks.nets import UNETR
from torch import Tensor, nn

from monai_cl.mixcl_views import COUNT, NAMES, without_v2

LEVELS = (0, 1, 2, 3, 4)
"""Encoder outputs in order: encoder1, encoder2, encoder3, encoder4 and the ViT (strides 1, 2, 4, 8, 16)."""

_VIT_BLOCKS_READ = {0: 0, 1: 4, 2: 7, 3: 10, 4: 12}  # number of transformer blocks a level depends on


def level_channels(feature_size: int, hidden_size: int) -> tuple[int, ...]:
    """Channels of the five encoder levels: f, 2f, 4f, 8f and the ViT's hidden size."""
    return (feature_size, 2 * feature_size, 4 * feature_size, 8 * feature_size, hidden_size)


def unetr_levels(unetr: UNETR, images: Tensor, levels: Sequence[int] = LEVELS) -> list[Tensor]:
    """Outputs of a UNETR's encoder; what only other levels need is not computed.

    Args:
        unetr: the network.
        images: (N, C, H, W, D) of its ``img_size``.
        levels: which of `LEVELS`, in the order wanted.

    Returns:
        Of each level (N, c, h, w, d), channels as `level_channels`, strides as in `LEVELS`.
    """
    tokens, hidden = unetr.vit(images) if any(levels) else (images, [])
    made: dict[int, Callable[[], Tensor]] = {
        0: lambda: unetr.encoder1(images),
        1: lambda: unetr.encoder2(unetr.proj_feat(hidden[3])),
        2: lambda: unetr.encoder3(unetr.proj_feat(hidden[6])),
        3: lambda: unetr.encoder4(unetr.proj_feat(hidden[9])),
        4: lambda: unetr.proj_feat(tokens),
    }
    return [made[level]() for level in levels]


def projector(channels: int) -> nn.Sequential:
    """Three 1×1×1 convolutions c → c → c → 2c; instance norm and LeakyReLU between, none after the last."""
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.Conv3d(channels, channels, 1), nn.InstanceNorm3d(channels), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers, nn.Conv3d(channels, 2 * channels, 1))


class MixCLNet(nn.Module):
    """UNETR encoder with a projector per level, reconstruction head and (for `hybrid`) a head per data set.

    The input is one batch of the stacked views of `monai_cl.mixcl_views.PairViews`, so that a step is one forward and
    DistributedDataParallel sees one forward. V2 is projected only where the label term needs it.

    Args:
        img_size: patch size in voxels, a multiple of 16, at least 32.
        feature_size: channels of the finest level, as in `monai.networks.nets.UNETR`.
        hidden_size: width of the transformer, as there.
        mlp_dim: width of the transformer's feed-forward layers, as there.
        num_heads: attention heads, as there; it must divide ``hidden_size``.
        levels: encoder levels that get a projector (see `LEVELS`).
        label_level: the level whose projection of V2 is needed too; None when the label term is off.
        reconstruct: build the 1-channel reconstruction head.
        classes: number of classes (background included) of each data set, for the supervised head; empty for none.
        in_channels: channels of the image; reconstruction has as many.

    Raises:
        ValueError: for a patch size UNETR cannot take, or an unknown level.

    Source: Li, Quan, Zhou, arXiv 2203.02114; choices where it is silent: docs/deviations.md.
    """

    def __init__(
        self,
        *,
        img_size: int | Sequence[int] = 96,
        feature_size: int = 16,
        hidden_size: int = 768,
        mlp_dim: int = 3072,
        num_heads: int = 12,
        levels: Sequence[int] = LEVELS,
        label_level: int | None = 1,
        reconstruct: bool = True,
        classes: Sequence[int] = (),
        in_channels: int = 1,
    ) -> None:
        super().__init__()
        sizes = [img_size] * 3 if isinstance(img_size, int) else list(img_size)
        if any(size % 16 or size < 32 for size in sizes):
            raise ValueError(
                f"img_size (a bundle's patch_size) must be multiples of 16, at least 32 voxels, got {sizes}"
            )
        self.label_level = None if label_level is None else int(label_level)
        chosen_levels = {int(level) for level in levels}
        if self.label_level is not None:
            chosen_levels.add(self.label_level)
        if not chosen_levels <= set(LEVELS):
            raise ValueError(f"levels must be among {list(LEVELS)}, got {sorted(chosen_levels)}")
        self.levels = tuple(sorted(chosen_levels))
        self.reconstruct = bool(reconstruct)
        self.unetr = UNETR(
            in_channels=in_channels,
            out_channels=in_channels,
            img_size=sizes,
            feature_size=feature_size,
            hidden_size=hidden_size,
            mlp_dim=mlp_dim,
            num_heads=num_heads,
        )
        channels = level_channels(feature_size, hidden_size)
        self.projectors = nn.ModuleDict({str(level): projector(channels[level]) for level in self.levels})
        # one convolution for all data sets: every parameter takes part in every step, as DDP requires
        self.segmentation_head = nn.Conv3d(feature_size, sum(classes), 1) if classes else None
        self._freeze_unused()

    @property
    def decodes(self) -> bool:
        """Whether the decoder runs at all."""
        return self.reconstruct or self.segmentation_head is not None

    def _freeze_unused(self) -> None:
        """Freeze parameters that no output depends on: DDP fails on parameters without a gradient."""
        unetr, unused = self.unetr, []
        for name, parameter in unetr.named_parameters():
            if "norm_cross_attn" in name:
                unused.append(parameter)
        if not self.reconstruct:
            unused += unetr.out.parameters()
        if not self.decodes:
            for decoder in (unetr.decoder5, unetr.decoder4, unetr.decoder3, unetr.decoder2):
                unused += decoder.parameters()
            for level, encoder in enumerate((unetr.encoder1, unetr.encoder2, unetr.encoder3, unetr.encoder4)):
                if level not in self.levels:
                    unused += encoder.parameters()
            blocks_read = max((_VIT_BLOCKS_READ[level] for level in self.levels), default=0)
            for block in unetr.vit.blocks[blocks_read:]:
                unused += block.parameters()
            if 4 not in self.levels:
                unused += unetr.vit.norm.parameters()
            if blocks_read == 0:
                unused += unetr.vit.parameters()
        for parameter in unused:
            parameter.requires_grad_(False)

    def encode(self, images: Tensor) -> list[Tensor]:
        """The five encoder outputs of images (N, 1, H, W, D), channels and strides as in `LEVELS`."""
        return unetr_levels(self.unetr, images)

    def forward(self, images: Tensor) -> dict[str, Tensor | list[Tensor | None]]:
        """Project, reconstruct and segment a stacked batch.

        Args:
            images: (3B, 1, H, W, D), stacked in the order of `PairViews`.

        Returns:
            ``levels``: for each of `LEVELS` (2B, 2c, h, w, d), at the label level (3B, …), None where not projected;
            ``reconstruction``: (3B, 1, H, W, D) if built; ``segmentation``: (3B, Σ classes, H, W, D) if built.
        """
        if images.shape[0] % COUNT:
            raise ValueError(f"expected [{NAMES}] stacked, a batch divisible by {COUNT}, got {images.shape[0]}")
        features = self.encode(images)
        outputs: dict[str, Tensor | list[Tensor | None]] = {
            "levels": [
                self.projectors[str(level)](z if level == self.label_level else without_v2(z))
                if level in self.levels
                else None
                for level, z in enumerate(features)
            ]
        }
        if self.decodes:
            unetr = self.unetr
            decoded = unetr.decoder5(features[4], features[3])
            decoded = unetr.decoder4(decoded, features[2])
            decoded = unetr.decoder3(decoded, features[1])
            decoded = unetr.decoder2(decoded, features[0])
            if self.reconstruct:
                outputs["reconstruction"] = unetr.out(decoded)
            if self.segmentation_head is not None:
                outputs["segmentation"] = self.segmentation_head(decoded)
        return outputs

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Trainable parameters of what is transferred (``vit`` and ``encoder1–4``), in a fixed order."""
        parts = (self.unetr.vit, self.unetr.encoder1, self.unetr.encoder2, self.unetr.encoder3, self.unetr.encoder4)
        return [p for part in parts for p in part.parameters() if p.requires_grad]
