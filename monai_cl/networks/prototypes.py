"""Prototypes of unit length, and the encoder that is trained to agree on them: online clustering."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from monai_cl.networks.encoder import SliceEncoder
from monai_cl.networks.heads import projection_head
from monai_cl.networks.momentum import HostCount
from monai_cl.networks.projected import ProjectedEncoder, in_full_precision
from monai_cl.networks.volume.encoder import VolumeEncoder

VIEWS = ("crop", "whole")
_SLICES = "slice_findings"


class Prototypes(nn.Module):
    """K directions that unit vectors are compared with: a linear map without bias, its rows of unit length.

    The rows are set to unit length in place at the start of each forward in training: it is no part of the graph.

    Args:
        features: F, size of the embeddings.
        count: K.

    Raises:
        ValueError: a number below 1.

    Source: Caron et al. (SwAV), NeurIPS 2020; the first rows are uniform on the sphere.
    """

    def __init__(self, features: int, count: int) -> None:
        super().__init__()
        if features < 1 or count < 1:
            raise ValueError(f"features and count must be >= 1, got {features} and {count}")
        self.weight = nn.Parameter(normalize(torch.randn(count, features), dim=1))

    def forward(self, embeddings: Tensor) -> Tensor:
        """Cosines.

        Args:
            embeddings: z of unit length, (…, F).

        Returns:
            (…, K), in the precision of the weights.
        """
        if self.training:
            with torch.no_grad():
                self.weight.copy_(normalize(self.weight, dim=1))
        with torch.autocast(device_type=embeddings.device.type, enabled=False):
            return embeddings.to(self.weight.dtype) @ self.weight.T


class ClusteringNet(ProjectedEncoder):
    """An encoder whose embeddings, of unit length, are compared with prototypes.

    Args:
        encoder: without a head, or with one.
        head: see `ProjectedEncoder`.
        prototypes: K.
        freeze_iterations: steps at the start in which the prototypes stay: their gradient is dropped, so that they
            feel neither momentum nor weight decay.
        label_heads: name -> number of outputs, of linear maps on the representation that labels teach; of an encoder of
            volumes also ``slice_findings`` -> 1, a `SliceHead` on its maps.
        supervised_view: what the label heads see: the first ``crop``, or the ``whole`` image, which is then the last
            entry of the images.

    Raises:
        ValueError: ``freeze_iterations`` below 0, a head without a linear layer, an unknown ``supervised_view``,
            a head for slices of an encoder that has none, or with more outputs than one.

    Source: Ghesu et al., "Self-supervised learning from 100 million medical images", arXiv 2201.01283.
    """

    steps: Tensor

    def __init__(
        self,
        encoder: SliceEncoder,
        head: nn.Module | None = None,
        *,
        prototypes: int,
        freeze_iterations: int = 0,
        label_heads: Mapping[str, int] | None = None,
        supervised_view: str = "crop",
    ) -> None:
        super().__init__(encoder, head)
        if supervised_view not in VIEWS:
            raise ValueError(f"supervised_view must be one of {', '.join(VIEWS)}, got {supervised_view!r}")
        if freeze_iterations < 0:
            raise ValueError(f"freeze_iterations must be >= 0, got {freeze_iterations}")
        last = [module for module in self.head.modules() if isinstance(module, nn.Linear)]
        if not last:
            raise ValueError("head must end in a linear layer, as projection_head makes it")
        self.prototypes = Prototypes(last[-1].out_features, prototypes)
        self.freeze_iterations = freeze_iterations
        self.register_buffer("steps", torch.tensor(0))
        self._count = HostCount()
        heads = {name: _label_head(encoder, name, count) for name, count in (label_heads or {}).items()}
        self.label_heads, self.supervised_view = nn.ModuleDict(heads), supervised_view

    def forward(self, images: Tensor | Sequence[Tensor]) -> dict[str, Tensor]:
        """Encode crops; those of one size go through the encoder together.

        Args:
            images: (B, C, H, W), (N, V, C, H, W), or a list of the latter, one for each size of crop.

        Returns:
            ``representation`` (…, F) and ``embedding`` (…, E) of unit length, crops in the given order; in training
            also ``scores`` (…, K), without gradient ``prototypes`` (K, E), and ``logits_<head>`` (N, outputs), of
            ``slice_findings`` (N, D).
        """
        sizes = [images] if isinstance(images, Tensor) else list(images)
        whole = sizes.pop() if self.training and self.label_heads and self.supervised_view == "whole" else None
        parts: list[dict[str, Tensor]] = []
        seen: tuple[Tensor, ...] = ()
        for number, crops in enumerate(sizes):
            # the running statistics are those of the large crops, which are nearer to what is evaluated
            with _statistics_kept(self.encoder) if self.training and number else nullcontext():
                features = (self.represent(crops),) if number or whole is not None else self._features(crops)
            seen = seen or features
            parts.append({"representation": features[0], "embedding": in_full_precision(self.head, features[0])})
        outputs = (
            {name: torch.cat([part[name] for part in parts], dim=1) for name in parts[0]}
            if len(parts) > 1
            else parts[0]
        )
        outputs["embedding"] = normalize(outputs["embedding"], dim=-1)
        if self.training:
            outputs["scores"] = self.prototypes(outputs["embedding"])
            outputs["prototypes"] = self.prototypes.weight.detach()
            if self.label_heads:
                seen = seen if whole is None else self._features(whole)
                first = [features[:, 0] for features in seen]
                with torch.autocast(device_type=first[0].device.type, enabled=False):
                    for name, head in self.label_heads.items():
                        outputs[f"logits_{name}"] = head(*(first[1:] if name == _SLICES else first[:1]))
        return outputs

    def _features(self, images: Tensor) -> tuple[Tensor, ...]:
        """Representations, and in training the maps that a head for slices takes."""
        if self.training and _SLICES in self.label_heads:
            return cast(VolumeEncoder, self.encoder).represent_with_maps(images)
        return (self.represent(images),)

    def before_step(self) -> None:
        """Drop the gradient of frozen prototypes: a parameter without one is left out by the optimiser."""
        if self._count.of(self.steps) < self.freeze_iterations:
            self.prototypes.weight.grad = None

    def after_step(self) -> None:
        """Count the steps; a resumed run freezes as long as an uninterrupted one."""
        self._count.advance(self.steps)


def _label_head(encoder: SliceEncoder, name: str, count: int) -> nn.Module:
    if name != _SLICES:
        return nn.Linear(encoder.representation_size, count)
    if not isinstance(encoder, VolumeEncoder):
        raise ValueError(f"{name} needs an encoder of volumes, got a {type(encoder).__name__}")
    if count != 1:
        raise ValueError(f"{name} has one output, got {count}")
    return encoder.slice_head()


def deployed_state(network: nn.Module) -> dict[str, Tensor]:
    """The state dict of a network for its file of weights: prototypes of unit length, as its next forward has them.

    A step, or an average of weights, leaves them of other lengths.

    Args:
        network: any; it is left as it is, for a training that goes on.
    """
    state = network.state_dict()
    for name, module in network.named_modules():
        if isinstance(module, Prototypes):
            key = f"{name}.weight" if name else "weight"
            state[key] = normalize(state[key], dim=1)
    return state


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch norms in training normalise by the batch, and leave their running statistics as they are."""
    norms = [(norm, norm.momentum) for norm in module.modules() if isinstance(norm, nn.modules.batchnorm._BatchNorm)]
    for norm, _ in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in norms:
            norm.momentum = momentum


def clustering_network(
    encoder: SliceEncoder, sizes: Sequence[int] | None = None, *, prototypes: int, norm: bool = True, **options: Any
) -> ClusteringNet:
    """A `ClusteringNet` from plain options, as a config gives them.

    Args:
        encoder: from `slice_encoder` with ``head=()``.
        sizes: of the head behind the representation F; None takes F, 128, as the paper.
        prototypes: K.
        norm: batch norm in the head.
        **options: further ones of `ClusteringNet`.
    """
    features = encoder.representation_size
    chosen = (features, 128) if sizes is None else tuple(sizes)
    head = projection_head((features, *chosen), norm=norm)
    return ClusteringNet(encoder, head, prototypes=prototypes, **options)
