"""Measures that explain a contrastive run: effective rank of features, gradient norm of each term."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def effective_rank(features: Tensor, *, at_most: int = 4096) -> Tensor:
    """exp of the entropy of the normalised spectrum of centred features (n, C): 1 when collapsed, at most C.

    A scalar on their device; nan where a feature is not finite.

    Args:
        features: (n, C); centred here, computed in float32.
        at_most: largest number of rows used; of more rows, every second, third, … is taken.

    Source: Roy and Vetterli, EUSIPCO 2007, on the singular values of the feature matrix.
    """
    rows = features.detach().float()
    if len(rows) > at_most:
        rows = rows[:: -(-len(rows) // at_most)]
    finite = torch.isfinite(rows).all()
    rows = torch.where(finite, rows, 0)  # or svdvals fails to converge; the guard should report this, not svdvals
    spectrum = torch.linalg.svdvals(rows - rows.mean(0))
    share = spectrum / spectrum.sum().clamp_min(1e-12)
    return torch.where(finite, torch.exp(-(share * share.clamp_min(1e-12).log()).sum()), math.nan)


def gradient_norms(terms: dict[str, Tensor], parameters: list[nn.Parameter]) -> dict[str, Tensor]:
    """L2 norm, over ``parameters``, of the gradient of each term that has one, scalars. The graph is kept.

    Args:
        terms: name -> scalar on the graph.
        parameters: those whose gradients are measured together.
    """
    norms = {}
    for name, term in terms.items():
        if not term.requires_grad:
            continue
        gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
        squares = [g.float().square().sum() for g in gradients if g is not None]
        norms[name] = torch.stack(squares).sum().sqrt() if squares else torch.zeros((), device=term.device)
    return norms


def flat_gradients(terms: dict[str, Tensor], parameters: list[nn.Parameter]) -> dict[str, Tensor]:
    """The gradient of each term that has one, over all ``parameters``, (P,) float32. The graph is kept.

    Args:
        terms: name -> scalar on the graph.
        parameters: P numbers in all; one that a term does not depend on has gradient 0.
    """
    found = {}
    for name, term in terms.items():
        if term.requires_grad:
            gradients = torch.autograd.grad(
                term, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            found[name] = torch.cat([gradient.float().flatten() for gradient in gradients])
    return found
