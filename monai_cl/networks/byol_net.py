"""BYOL's network: an encoder with a predictor, and the momentum encoder whose embeddings it has to predict."""

from __future__ import annotations

from torch import Tensor, nn

from monai_cl.networks.encoder import SliceEncoder
from monai_cl.networks.heads import predictor
from monai_cl.networks.momentum import MomentumEncoder
from monai_cl.networks.projected import ProjectedEncoder, in_full_precision


class BYOLNet(ProjectedEncoder):
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
        self,
        online: ProjectedEncoder | SliceEncoder,
        *,
        iterations: int,
        momentum: float = 0.996,
        hidden: int | None = None,
    ) -> None:
        online = online if isinstance(online, ProjectedEncoder) else ProjectedEncoder(online)
        last = [module for module in online.head.modules() if isinstance(module, nn.Linear)]
        if not last:
            raise ValueError("online must have a head that ends in a linear layer, as projection_head makes it")
        super().__init__(online.encoder, online.head)
        self.predictor = predictor(last[-1].out_features, hidden=hidden)
        self.momentum = MomentumEncoder(online, iterations=iterations, start=momentum)

    @property
    def online(self) -> ProjectedEncoder:
        """Encoder and head, which the target follows, without predictor and target; the modules are this network's."""
        return ProjectedEncoder(self.encoder, self.head)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Encode slices (…, C, H, W).

        Returns:
            ``representation`` (…, F) and ``embedding`` (…, E) of the online encoder; in training also ``prediction``
            (…, E) and ``target`` (…, E), the latter outside of the graph.
        """
        outputs = super().forward(images)
        if not self.training:
            return outputs
        prediction = in_full_precision(self.predictor, outputs["embedding"])
        return {**outputs, "prediction": prediction, "target": self.momentum(images)["embedding"]}

    def after_step(self) -> None:
        """Let the target follow by one step."""
        self.momentum.update(self.online)

    update_target = after_step  # its name in earlier versions

    def after_initialisation(self) -> None:
        """Let the target start as the online network."""
        self.momentum.target.load_state_dict(self.online.state_dict())
