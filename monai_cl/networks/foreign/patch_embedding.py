"""A vision transformer's patch embedding as a linear layer of MONAI's ``perceptron``, as the convolution that it is."""

from __future__ import annotations

from collections.abc import Mapping

from einops import rearrange
from torch import Tensor

_CONVOLUTION = "vit.patch_embedding.patch_embeddings"
_LINEAR = f"{_CONVOLUTION}.1"


def convolved_patches(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with the patch embedding as the network has it, a convolution whose stride is its kernel.

    UNETRs of MONAI's tutorials have it as a linear layer over a patch's values (p1 p2 p3 c), which computes the same.
    Other weights, and those for a network with the linear layer, stay as they are.

    Args:
        weights: under a UNETR's names.
        own: of the network that takes them.
    """
    kernel, linear = own.get(f"{_CONVOLUTION}.weight"), weights.get(f"{_LINEAR}.weight")
    if kernel is None or linear is None or linear.ndim != 2 or linear.shape[1] != kernel[0].numel():
        return dict(weights)
    c, p1, p2, p3 = kernel.shape[1:]
    convolution = rearrange(linear, "f (p1 p2 p3 c) -> f c p1 p2 p3", p1=p1, p2=p2, p3=p3, c=c)
    made = {name.replace(f"{_LINEAR}.", f"{_CONVOLUTION}."): tensor for name, tensor in weights.items()}
    return {**made, f"{_CONVOLUTION}.weight": convolution}
