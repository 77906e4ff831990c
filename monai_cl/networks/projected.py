"""What a pre-training trains: the encoder that is transferred, and the head that only the loss sees."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import pack, unpack
from torch import Tensor, nn

from monai_cl.networks.earlier_names import rename_when_loading
from monai_cl.networks.encoder import SliceEncoder
from monai_cl.networks.heads import projection_head


class ProjectedEncoder(nn.Module):
    """An encoder of slices and a head on its representation.

    What is transferred lies under ``encoder.`` in the state dict; state dicts of earlier versions load as well.

    A network of another method is a subclass, or has the same parts: ``encoder``, ``represent``, and a ``forward`` that
    gives the outputs its loss takes. Two methods are optional and are called where they exist: ``after_step()`` behind
    each step of the optimiser (a momentum target, prototypes of unit length), ``after_initialisation()`` where the
    initial weights have been changed from outside (`data_dependent_init`).

    Args:
        encoder: without a head; or with one, which is then moved out of it.
        head: maps representations (B, F) to embeddings (B, E); None takes the encoder's.
    """

    def __init__(self, encoder: SliceEncoder, head: nn.Module | None = None) -> None:
        super().__init__()
        if head is None:
            head, encoder.head = encoder.head, nn.Identity()
        self.encoder, self.head = encoder, head
        rename_when_loading(self)

    @property
    def online(self) -> nn.Module:
        """The part that is trained by gradients from its first weights on; see `data_dependent_init`."""
        return self

    def represent(self, images: Tensor) -> Tensor:
        """Representations of slices, see `SliceEncoder.represent`."""
        return self.encoder.represent(images)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Encode slices.

        Args:
            images: (B, C, H, W), or (N, V, C, H, W) for V views of N slices; windowed to [0, 1].

        Returns:
            ``representation`` (…, F), what is evaluated, and ``embedding`` (…, E), what the loss sees.
        """
        representation = self.represent(images)
        return {"representation": representation, "embedding": in_full_precision(self.head, representation)}


def projected_encoder(
    encoder: SliceEncoder, sizes: Sequence[int] | None = None, *, norm: bool = False
) -> ProjectedEncoder:
    """An encoder with a `projection_head`, from plain options, as a config gives them.

    Args:
        encoder: from `slice_encoder` with ``head=()``.
        sizes: behind the representation F; None takes F/2, F/4: 128, 64 for TinyNet, 256, 128 for ResNet-18.
        norm: batch norm in the head, see `projection_head`.
    """
    features = encoder.representation_size
    chosen = (features // 2, features // 4) if sizes is None else tuple(sizes)
    return ProjectedEncoder(encoder, projection_head((features, *chosen), norm=norm))


def in_full_precision(head: nn.Module, features: Tensor) -> Tensor:
    """A head on features (…, F), outside of autocast, any number of leading axes.

    Untrained embeddings all point in one direction: bfloat16 does not resolve the differences that should grow.
    """
    flat, lead = pack([features], "* f")
    with torch.autocast(device_type=features.device.type, enabled=False):
        return unpack(head(flat), lead, "* e")[0]
