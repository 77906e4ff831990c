"""Which parts of a slice a classifier uses: Grad-CAM of its decision, on a layer that still has a spatial map."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from monai.visualize import GradCAM
from torch import Tensor, nn

from monai_cl.compat import restored_hooks
from monai_cl.errors import UserError

if TYPE_CHECKING:
    from monai_cl.networks import SliceEncoder

# a coarser map says no more than "left" or "right"
SMALLEST_MAP = 7
# divisible by every stride in use
_MORE = 320


class CallLogits(nn.Module):
    """A classifier's logits of both classes (B, 2) for images (B, C, H, W): −ℓ, ℓ."""

    def __init__(self, network: SliceEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logit = self.network.outputs(images)["embedding"]
        return torch.cat([-logit, logit], 1)


def map_layer(network: SliceEncoder, image: Tensor, *, smallest: int = SMALLEST_MAP) -> str:
    """Name of the module that gives the last map of at least ``smallest`` pixels per side, or the last map at all.

    Args:
        network: with ``backbone``; called with the image.
        image: (1, C, H, W).

    Raises:
        UserError: a backbone without feature maps, such as a vision transformer.
    """
    sizes: dict[str, int] = {}

    def look(name: str) -> Callable[[nn.Module, tuple, object], None]:
        def hook(module: nn.Module, inputs: tuple, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                sizes.pop(name, None)  # a module that is called twice counts at its last call
                sizes[name] = min(output.shape[-2:])

        return hook

    handles = [module.register_forward_hook(look(name)) for name, module in network.backbone.named_modules() if name]
    try:
        with torch.no_grad():
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    if not sizes:
        raise UserError("Grad-CAM", expected="a backbone with feature maps", found="none", remedy="pass --grad_cam 0")
    large = [name for name, side in sizes.items() if side >= smallest]
    return f"backbone.{(large or list(sizes))[-1]}"


def map_stride(network: nn.Module, layer: str, image: Tensor) -> float | None:
    """Pixels between the cells of a layer's map; None for a network that takes images of one size only.

    From how many more cells a larger image gives. Needed because the map of a network without padding, as TinyNet,
    covers the middle of the image only.
    """
    sides = []
    handle = network.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: sides.append(output.shape[-1])
    )
    try:
        with torch.no_grad():
            network(image)
            network(image.new_zeros(1, image.shape[1], image.shape[2] + _MORE, image.shape[3] + _MORE))
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, ValueError, AssertionError):  # an input of fixed size
        return None
    finally:
        handle.remove()
    return _MORE / (sides[-1] - sides[0]) if sides[-1] > sides[0] else None


class PlaceMap:
    """A map (B, 1, h, w) laid over its image: the cells' centres ``stride`` apart, the middle on the middle.

    Args:
        size: (H, W) of the image.
        stride: pixels; None: the cells tile the image.

    Where no cell lies there is 0. Right to within half a cell: a pooling that drops a last row shifts the map by less.
    """

    def __init__(self, size: tuple[int, int], stride: float | None) -> None:
        self.size, self.stride = tuple(size), stride

    def __call__(self, maps: Tensor) -> Tensor:
        """(B, 1, H, W), linear between the cells."""
        axes, inside = [], []
        for length, cells in zip(self.size, maps.shape[-2:]):
            stride = length / cells if self.stride is None else self.stride
            pixels = torch.arange(length, device=maps.device, dtype=maps.dtype)
            cell = (pixels - (length - 1) / 2) / stride + (cells - 1) / 2
            inside.append((cell >= -0.5) & (cell <= cells - 0.5))
            axes.append((2 * cell + 1) / cells - 1)
        grid = torch.stack(torch.meshgrid(axes[1], axes[0], indexing="xy"), -1)[None].expand(len(maps), -1, -1, -1)
        placed = nn.functional.grid_sample(maps, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return placed * (inside[0][:, None] & inside[1])


def class_activation(network: nn.Module, images: Tensor, *, positive: bool, layer: str | None = None) -> Tensor:
    """Grad-CAM of a classifier.

    Args:
        network: of `slice_classifier`, in evaluation mode; its gradients are cleared.
        images: (n, C, H, W).
        positive: explain class 1, otherwise class 0.
        layer: name of a module; None: `map_layer`.

    Returns:
        (n, H, W) in [0, 1]: evidence for the class, relative to the largest of each slice; 0 where there is none.

    Source: Selvaraju et al., "Grad-CAM", ICCV 2017.
    """
    layer = map_layer(network, images[:1]) if layer is None else layer
    stride = map_stride(network, layer, images[:1])
    trained = {name: parameter.requires_grad for name, parameter in network.named_parameters()}
    wrapped = CallLogits(network).train(network.training)  # MONAI puts all modules back into the wrapper's mode
    inplace = {module: module.inplace for module in network.modules() if hasattr(module, "inplace")}
    try:
        network.requires_grad_(True)
        with restored_hooks(wrapped), torch.enable_grad():
            cam = GradCAM(
                wrapped,
                f"network.{layer}",
                upsampler=lambda size: PlaceMap(size, stride),
                postprocessing=lambda maps: maps,
            )
            maps = torch.cat([cam(image[None], class_idx=int(positive)) for image in images])[:, 0]
    finally:
        for module, value in inplace.items():
            module.inplace = value
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(trained[name])
            parameter.grad = None
    maps = maps.detach().float()
    largest = maps.amax((1, 2), keepdim=True)
    return torch.where(largest > 0, maps / largest.clamp_min(torch.finfo(maps.dtype).tiny), torch.zeros_like(maps))
