"""A slice in, a representation and an embedding out: any 2D network with a head on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from einops import pack, reduce, unpack
from torch import Tensor, nn

from monai_cl.networks.modes import evaluation_mode

# Of CT slices windowed to [−100, 400] HU → [0, 1], two thirds of which are air: measured on six scans, rounded.
MEAN, STD = 0.1, 0.2


class SliceEncoder(nn.Module):
    """A 2D network and a head on it; slices are standardised first, by constants that are saved with the weights.

    Args:
        backbone: maps (B, C, H, W) to features (B, F), or to what `pooled` understands.
        head: maps (B, F) to embeddings (B, E); None leaves the representation as embedding.
        mean: mean of the windowed slices, in their unit; 0 for slices that are standardised already.
        std: standard deviation of the windowed slices, in their unit; 1 for slices that are standardised already.

    Raises:
        ValueError: ``std`` not above 0.
    """

    if TYPE_CHECKING:  # TorchScript does not read annotations that are text
        mean: Tensor
        std: Tensor
        representation_size: int
        imagenet_weights: str | None
        arguments: dict[str, Any]  # of `slice_encoder`, for the record in its files of weights

    def __init__(
        self, backbone: nn.Module, head: nn.Module | None = None, *, mean: float = MEAN, std: float = STD
    ) -> None:
        super().__init__()
        if not std > 0:
            raise ValueError(f"std must be > 0, got {std}")
        self.backbone, self.head = backbone, nn.Identity() if head is None else head
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.register_buffer("std", torch.tensor(float(std)))

    def represent(self, images: Tensor) -> Tensor:
        """Representations (…, F) of slices (…, C, H, W), float32 or better; any number of leading axes."""
        flat, lead = pack([images], "* c h w")
        return unpack(self._represent(flat), lead, "* f")[0]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See `outputs`."""
        return self.outputs(images)

    def outputs(self, images: Tensor) -> dict[str, Tensor]:
        """Encode slices.

        Args:
            images: (B, C, H, W), or (N, V, C, H, W) for V views of N slices; windowed to [0, 1].

        Returns:
            ``representation`` (…, F), what is evaluated, and ``embedding`` (…, E), what the loss sees.
        """
        flat, lead = pack([images], "* c h w")
        representation = self._represent(flat)
        # Untrained embeddings all point in one direction: bfloat16 does not resolve the differences that should grow.
        with torch.autocast(device_type=images.device.type, enabled=False):
            embedding = self.head(representation)
        return {
            "representation": unpack(representation, lead, "* f")[0],
            "embedding": unpack(embedding, lead, "* e")[0],
        }

    def _represent(self, images: Tensor) -> Tensor:
        # In half precision a slice's mean would hide its contrast.
        images = images if images.dtype == torch.float64 else images.float()
        features = self.backbone((images - self.mean) / self.std)
        if torch.jit.is_scripting():
            z = pooled_tensor(features)  # TorchScript compiles this branch alone: one tensor, of a known type
        else:
            z = pooled(features)
        return z if z.dtype == torch.float64 else z.float()


def pooled(output: Tensor | Sequence) -> Tensor:
    """Features (B, F) from what MONAI's 2D networks give.

    (B, F) is kept, a map (B, F, h, w) and tokens (B, T, F) are averaged. Of a list of maps the last one is used (the
    coarsest, as in `ResNetFeatures`), of a tuple the first entry (as in `ViT`, whose second are the hidden states).

    Raises:
        ValueError: anything else.
    """
    while isinstance(output, (list, tuple)) and output:
        output = output[0] if isinstance(output, tuple) else output[-1]
    if isinstance(output, Tensor):
        if output.ndim == 2:
            return output
        if output.ndim == 3:
            return reduce(output, "b t f -> b f", "mean")
        if output.ndim == 4:
            return reduce(output, "b f h w -> b f", "mean")
    description = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    raise ValueError(f"a backbone must give (B, F), (B, T, F) or (B, F, h, w), got {description}; is it a 2D network?")


def pooled_tensor(output: Tensor) -> Tensor:
    """`pooled` for a single tensor and without einops, whose functions TorchScript does not compile."""
    if output.ndim == 4:
        return output.mean((2, 3))
    return output.mean(1) if output.ndim == 3 else output


@torch.no_grad()
def representation_size(network: nn.Module, *, in_channels: int = 1, image_size: int | Sequence[int] = 224) -> int:
    """F of a 2D network, found by running it on an empty image; the network is left as it was.

    Args:
        network: maps images (B, C, H, W) to what `pooled` understands.
        in_channels: C of the image.
        image_size: pixels of an edge, or (H, W).
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    parameter = next(network.parameters(), torch.zeros(()))
    with evaluation_mode(network):
        image = torch.zeros(1, in_channels, height, width, device=parameter.device, dtype=parameter.dtype)
        return pooled(network(image)).shape[1]
