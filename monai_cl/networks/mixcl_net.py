"""MixCL's network: an encoder whose levels are projected, and a decoder that reconstructs (arXiv 2203.02114)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from monai_cl.mixcl_views import COUNT, NAMES, without_v2
from monai_cl.networks.volume.backbone import Backbone
from monai_cl.networks.volume.backbones import INNER, find_backbone, network_within
from monai_cl.networks.volume.pooled_clusters import PooledClusters


def projector(channels: int) -> nn.Sequential:
    """Three 1×1×1 convolutions c → c → c → 2c; instance norm and LeakyReLU between, none after the last."""
    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.Conv3d(channels, channels, 1), nn.InstanceNorm3d(channels), nn.LeakyReLU(0.01)]
    return nn.Sequential(*layers, nn.Conv3d(channels, 2 * channels, 1))


class MixCLNet(nn.Module):
    """Encoder with a projector per level, reconstruction head and (for `hybrid`) a head per data set.

    The input is one batch of the stacked views of `monai_cl.mixcl_views.PairViews`, so that a step is one forward and
    DistributedDataParallel sees one forward. V2 is projected only where the label term needs it.

    Args:
        backbone: the network within, by name (`monai_cl.networks.volume.backbones.BACKBONES`), or a `Backbone`.
        img_size: patch size in voxels; of a UNETR a multiple of 16, at least 32.
        feature_size: channels of the finest level, as in `monai.networks.nets.UNETR`.
        hidden_size: width of a UNETR's transformer, as there; other backbones have none of this and the next two.
        mlp_dim: width of the transformer's feed-forward layers, as there.
        num_heads: attention heads, as there; it must divide ``hidden_size``.
        levels: encoder levels that get a projector, by index from the finest; None: all.
        label_level: the level whose projection of V2 is needed too; None when the label term is off.
        reconstruct: build the 1-channel reconstruction head.
        classes: number of classes (background included) of each data set, for the supervised head; empty for none.
        in_channels: channels of the image; reconstruction has as many.
        clusters: options of `PooledClusters`, for the clustering of the views of P1; None: there is none.

    Raises:
        ValueError: a patch size that the backbone cannot take, or a level that it does not have.
        UserError: an unknown backbone.

    Source: Li, Quan, Zhou, arXiv 2203.02114; choices where it is silent: docs/deviations.md.
    """

    def __init__(
        self,
        *,
        backbone: str | Backbone = "unetr",
        img_size: int | Sequence[int] = 96,
        feature_size: int = 16,
        hidden_size: int = 768,
        mlp_dim: int = 3072,
        num_heads: int = 12,
        levels: Sequence[int] | None = None,
        label_level: int | None = 1,
        reconstruct: bool = True,
        classes: Sequence[int] = (),
        in_channels: int = 1,
        clusters: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = find_backbone(backbone)
        sizes = self.backbone.patch(img_size)
        self.label_level = None if label_level is None else int(label_level)
        chosen_levels = {int(level) for level in (self.backbone.levels if levels is None else levels)}
        if self.label_level is not None:
            chosen_levels.add(self.label_level)
        if not chosen_levels <= set(self.backbone.levels):
            raise ValueError(
                f"levels must be among {list(self.backbone.levels)}, got {sorted(chosen_levels)} ({self.backbone.name})"
            )
        self.levels = tuple(sorted(chosen_levels))
        self.reconstruct = bool(reconstruct)
        transformer: dict[str, Any] = {"hidden_size": hidden_size, "mlp_dim": mlp_dim, "num_heads": num_heads}
        network = self.backbone.build(
            in_channels=in_channels, out_channels=in_channels, img_size=sizes, feature_size=feature_size, **transformer
        )
        of_unetr, of_others = INNER
        self.add_module(of_unetr if self.backbone.name == "unetr" else of_others, network)
        channels = self.backbone.channels(network)
        self.projectors = nn.ModuleDict({str(level): projector(channels[level]) for level in self.levels})
        # one convolution for all data sets: every parameter takes part in every step, as DDP requires
        self.segmentation_head = nn.Conv3d(feature_size, sum(classes), 1) if classes else None
        self.clusters = None if clusters is None else PooledClusters(channels, **clusters)
        self._freeze_unused()

    @property
    def within(self) -> nn.Module:
        """The segmentation network; its own last convolution reconstructs."""
        return network_within(self)

    @property
    def decodes(self) -> bool:
        """Whether the decoder runs at all."""
        return self.reconstruct or self.segmentation_head is not None

    def _freeze_unused(self) -> None:
        """Freeze parameters that no output depends on: DDP fails on parameters without a gradient."""
        backbone = self.backbone
        taken = backbone.levels if self.clusters is not None else self.levels
        used = (*backbone.encoder, *backbone.decoder) if self.decodes else backbone.needed(taken)
        used += (backbone.output,) if self.reconstruct else ()
        for name, parameter in self.within.named_parameters():
            # UNETR builds norm_cross_attn and never calls it
            parameter.requires_grad_(name.startswith(used) and "norm_cross_attn" not in name)

    def encode(self, images: Tensor) -> list[Tensor]:
        """Outputs of all levels of the encoder for images (N, 1, H, W, D)."""
        return self.backbone.encode(self.within, images, self.backbone.levels)

    def forward(self, images: Tensor) -> dict[str, Tensor | list[Tensor | None]]:
        """Project, reconstruct and segment a stacked batch.

        Args:
            images: (3B, 1, H, W, D), stacked in the order of `PairViews`.

        Returns:
            ``levels``: for each level (2B, 2c, h, w, d), at the label level (3B, …), None where not projected;
            ``reconstruction``: (3B, 1, H, W, D) if built; ``segmentation``: (3B, Σ classes, H, W, D) if built; with
            ``clusters`` what `PooledClusters` gives.
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
        if self.clusters is not None:
            outputs |= self.clusters([without_v2(z) for z in features])
        if self.decodes:
            decoded = self.backbone.decode(self.within, features)
            if self.reconstruct:
                outputs["reconstruction"] = self.backbone.last(self.within)(decoded)
            if self.segmentation_head is not None:
                outputs["segmentation"] = self.segmentation_head(decoded)
        return outputs

    def before_step(self) -> None:
        """See `PooledClusters`."""
        if self.clusters is not None:
            self.clusters.before_step()

    def after_step(self) -> None:
        """See `PooledClusters`."""
        if self.clusters is not None:
            self.clusters.after_step()

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Trainable parameters of what is transferred, in a fixed order."""
        own = self.within.named_parameters()
        return [p for name, p in own if p.requires_grad and name.startswith(self.backbone.encoder)]
