"""A network temporarily in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[nn.Module]:
    """The network in evaluation mode inside the ``with`` block; after it every module is in the mode it was in."""
    modes = {module: module.training for module in network.modules()}
    try:
        yield network.eval()
    finally:
        for module, training in modes.items():
            module.training = training
