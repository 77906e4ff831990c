"""BYOL's network: an encoder with a predictor, and the momentum encoder whose embeddings it has to predict."""

from __future__ import annotations

import torch
from einops import pack, unpack
from torch import Tensor, nn

from monai_cl.networks.encoder import SliceEncoder
from monai_cl.networks.heads import predictor
from monai_cl.networks.momentum import MomentumEncoder


class BYOLNet(nn.Module):
    """Online encoder, predictor and target in one module, so that a step is one forward.

    Args:
        online: the encoder to train, with its head.
        iterations: steps of the whole run: the momentum reaches 1 at the last.
        momentum: at the first step.
        hidden: size of the predictor's hidden layer, see `predictor`.

    Raises:
        ValueError: an encoder without a linear layer at the head's end, or an option out of its range.

    Source: Grill et al., "Bootstrap your own latent", NeurIPS 2020.
    """

    def __init__(
        self, online: SliceEncoder, *, iterations: int, momentum: float = 0.996, hidden: int | None = None
    ) -> None:
        super().__init__()
        last = [module for module in online.head.modules() if isinstance(module, nn.Linear)]
        if not last:
            raise ValueError("online must have a head that ends in a linear layer, as projection_head makes it")
        self.online = online
        self.predictor = predictor(last[-1].out_features, hidden=hidden)
        self.momentum = MomentumEncoder(online, iterations=iterations, start=momentum)

    def represent(self, images: Tensor) -> Tensor:
        """Representations of the online encoder; see `SliceEncoder.represent`."""
        return self.online.represent(images)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Encode slices (…, C, H, W).

        Returns:
            ``representation`` (…, F) and ``embedding`` (…, E) of the online encoder; in training also ``prediction``
            (…, E) and ``target`` (…, E), the latter outside of the graph.
        """
        outputs = self.online(images)
        if not self.training:
            return outputs
        flat, lead = pack([outputs["embedding"]], "* e")
        with torch.autocast(device_type=images.device.type, enabled=False):
            prediction = unpack(self.predictor(flat), lead, "* e")[0]
        return {**outputs, "prediction": prediction, "target": self.momentum(images)["embedding"]}

    def update_target(self) -> None:
        """Let the target follow by one step; call it after the optimiser's."""
        self.momentum.update(self.online)
