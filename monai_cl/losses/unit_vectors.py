"""Unit vectors without an epsilon, and arithmetic in float32 or better, whatever autocast is set to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """``x`` unchanged where it is float32 or float64, else as float32 (half precisions and integers)."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def no_autocast(x: Tensor) -> torch.autocast:
    """A context in which operations on ``x``'s device are left in their own precision, inside autocast too."""
    return torch.autocast(device_type=x.device.type, enabled=False)


def safe_norm(x: Tensor, *, floor: Tensor | float = 0.0) -> Tensor:
    """Euclidean norm along the last axis, kept as an axis of size 1; where it is not above ``floor``, 1.

    A zero vector then stays zero when it is divided, with a bounded gradient. Adding an epsilon instead would
    move every closed form, and clamping with one would multiply the gradient of a zero vector by its inverse.
    """
    norm = _Norm.apply(x)
    return torch.where(norm > floor, norm, torch.ones_like(norm))


class _Norm(torch.autograd.Function):
    """``torch.linalg.vector_norm`` with a gradient in one pass over ``x`` instead of three: levels are large."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        ctx.save_for_backward(x, norm)
        return norm

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x, norm = ctx.saved_tensors
        return x * torch.where(norm > 0, gradient / norm, 0.0)


def l2_normalize(x: Tensor) -> Tensor:
    """``x`` divided by its Euclidean norm along the last axis; a zero vector stays zero."""
    return x / safe_norm(x)
