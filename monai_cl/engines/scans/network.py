"""What a training and an inference of whole scans need of the network besides itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from monai.inferers import Inferer
from torch import Tensor, nn

from monai_cl.engines.distributed.wrapping import unwrap_ddp
from monai_cl.networks.earlier_names import in_encoder

if TYPE_CHECKING:
    from monai_cl.networks import ScanClassifier


def encoder_parameter_groups(network: nn.Module, *, rate: float, factor: float = 1.0) -> list[dict[str, Any]]:
    """Trainable parameters in two groups, encoder and heads, for an optimiser.

    A learning-rate schedule scales both alike.

    Args:
        network: a `ScanClassifier`, or its DDP wrapper.
        rate: learning rate of the heads.
        factor: the encoder's learning rate over that of the heads, in (0, 1].

    Raises:
        ValueError: a factor outside (0, 1].
    """
    if not 0 < factor <= 1:
        raise ValueError(f"encoder_learning_rate_factor must be in (0, 1], got {factor}")
    trained = {name: p for name, p in unwrap_ddp(network).named_parameters() if p.requires_grad}
    encoder = [p for name, p in trained.items() if in_encoder(name)]
    return [
        {"params": encoder, "lr": rate * factor},
        {"params": [p for name, p in trained.items() if not in_encoder(name)], "lr": rate},
    ]


class LogitsInferer(Inferer):
    """Inferer: volumes through a deployed network, whose own forward gives a probability alone, to all its logits."""

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """The logits of the heads, see `ScanHeads`."""
        outputs = cast("ScanClassifier", network).outputs(inputs, *args, **kwargs)
        return {name: value for name, value in outputs.items() if name != "representation"}
