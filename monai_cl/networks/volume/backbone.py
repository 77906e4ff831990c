"""What pre-training and fine-tuning need to know of a segmentation network: its levels, its encoder, its decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Any, ClassVar

from torch import Tensor, nn


class Backbone(ABC):
    """A kind of network: an encoder with levels of stride 1, 2, 4, …, a decoder and a last convolution.

    Names of tensors begin with one of the parts below. A subclass for a network of your own is all that pre-training,
    export, fine-tuning and inference need, see docs/backbones.md.

    Attributes:
        name: of the config key ``backbone``; what a `MixCLNet` calls the network in it.
        kind: class of the network.
        trunk: of each level, the parts of the encoder that this level and all that follow need.
        own: of each level, the parts that it alone needs.
        decoder: its parts.
        output: path of the last convolution, whose output channels are the classes.
        multiple: the edges of a patch must be multiples of it.
        smallest: edge of a patch.
    """

    name: ClassVar[str]
    kind: ClassVar[type[nn.Module]]
    trunk: ClassVar[tuple[tuple[str, ...], ...]]
    own: ClassVar[tuple[tuple[str, ...], ...]]
    decoder: ClassVar[tuple[str, ...]]
    output: ClassVar[str]
    multiple: ClassVar[int]
    smallest: ClassVar[int]

    @abstractmethod
    def build(
        self,
        *,
        in_channels: int,
        out_channels: int,
        img_size: Sequence[int],
        feature_size: int,
        dropout: float = 0.0,
        **options: Any,
    ) -> nn.Module:
        """The network.

        Args:
            in_channels: of the image.
            out_channels: classes.
            img_size: patch, in voxels.
            feature_size: channels of the finest level.
            dropout: rate in training, for an estimate of uncertainty.
            **options: of a UNETR ``hidden_size``, ``mlp_dim`` and ``num_heads``; ignored by the others.
        """

    @abstractmethod
    def channels(self, network: Any) -> tuple[int, ...]:
        """Channels of the levels.

        Args:
            network: of this kind.
        """

    @abstractmethod
    def encode(self, network: Any, images: Tensor, levels: Sequence[int]) -> list[Tensor]:
        """Outputs of levels of the encoder; what only other levels need is not computed.

        Args:
            network: of this kind.
            images: (N, C, H, W, D).
            levels: in the order wanted.

        Returns:
            Of each level (N, c, h, w, d), its stride 2^level.
        """

    @abstractmethod
    def decode(self, network: Any, features: Sequence[Tensor]) -> Tensor:
        """What the last convolution takes, (N, feature_size, H, W, D).

        Args:
            network: of this kind.
            features: the outputs of all levels, from `encode`.
        """

    @abstractmethod
    def arguments(self, network: Any) -> dict[str, Any]:
        """What makes a network of the same shape: ``in_channels``, ``out_channels``, ``feature_size``, ….

        Args:
            network: of this kind.
        """

    def fits(self, network: object) -> bool:
        """Whether a network is of this kind; where several backbones have one class, theirs says more.

        Args:
            network: any object.
        """
        return isinstance(network, self.kind)

    @property
    def levels(self) -> tuple[int, ...]:
        """Indices of the levels, from the finest."""
        return tuple(range(len(self.own)))

    @property
    def encoder(self) -> tuple[str, ...]:
        """What the names of the encoder's tensors begin with."""
        return tuple(dict.fromkeys(chain(*self.trunk, *self.own)))

    def needed(self, levels: Collection[int]) -> tuple[str, ...]:
        """Parts of the encoder on which some of its levels depend.

        Args:
            levels: indices.
        """
        trunk = chain(*self.trunk[: max(levels, default=-1) + 1])
        return tuple(chain(trunk, *(self.own[level] for level in levels)))

    def last(self, network: nn.Module) -> Any:
        """The last convolution, with bias.

        Args:
            network: of this kind.
        """
        return network.get_submodule(self.output)

    def patch(self, size: int | Iterable[int]) -> list[int]:
        """A patch size that the network takes.

        Args:
            size: edges, or the edge, in voxels.

        Raises:
            ValueError: not three multiples of `multiple`, or too small.
        """
        sizes = [size] * 3 if isinstance(size, int) else list(size)
        if len(sizes) != 3 or any(edge % self.multiple or edge < self.smallest for edge in sizes):
            raise ValueError(
                f"patch_size must be three multiples of {self.multiple}, at least {self.smallest} voxels, got {sizes}"
            )
        return sizes
