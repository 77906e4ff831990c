"""MONAI's 2-D U-Net in a training on labelled and unlabelled slices: one forward for all; its mean teacher."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets import BasicUNet
from torch import Tensor, nn

from monai_cl.errors import UserError
from monai_cl.networks.momentum import HostCount, follow
from monai_cl.networks.projected import in_full_precision
from monai_cl.networks.transfer import compare_weights, read_weights
from monai_cl.networks.unet.encoder import ACTIVATION, FEATURES, embeddings, load_unet_encoder, projectors

_UNET = "unet."


class SliceUNet(BasicUNet):
    """MONAI's `BasicUNet` for slices, (B, 1, H, W) to logits (B, C, H, W).

    Args:
        classes: C, background included.
        features: channels of the levels, and of the last layer.
        norm: MONAI's name of the norm.
    """

    def __init__(self, classes: int, *, features: Sequence[int] = FEATURES, norm: str = "batch") -> None:
        super().__init__(
            spatial_dims=2,
            in_channels=1,
            out_channels=classes,
            features=tuple(features),
            act=ACTIVATION,
            norm=norm,
            upsample="nontrainable",
        )
        self.representation_size = int(features[4])
        self.arguments = {"features": [int(channels) for channels in features], "norm": norm}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load its own state dict, or that of a training without what only the training needs."""
        return super().load_state_dict(unet_weights(state_dict), strict=strict, assign=assign)


def unet_weights(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the U-Net among a training's weights, by the U-Net's own names; a U-Net's own as they are.

    Args:
        weights: name -> tensor.
    """
    inner = {name.removeprefix(_UNET): tensor for name, tensor in weights.items() if name.startswith(_UNET)}
    return inner or dict(weights)


def slice_unet(classes: int, *, pretrained_encoder: str | Path | None = None, **options: Any) -> SliceUNet:
    """A `SliceUNet`, its encoder from a pre-training by meta-labels if one is given.

    Args:
        classes: see `SliceUNet`.
        pretrained_encoder: ``model.pt`` of the bundle ``meta_label_pretraining``; None: from scratch.
        **options: ``features`` and ``norm`` of `SliceUNet`.

    Raises:
        UserError: see `load_unet_encoder`.
    """
    network = SliceUNet(classes, **options)
    if pretrained_encoder:
        load_unet_encoder(network, pretrained_encoder)
    return network


def load_slice_unet(network: nn.Module, path: str | Path) -> nn.Module:
    """Load a trained `SliceUNet` from ``model.pt`` or a checkpoint of a training by any method, or from a file of a
    `SliceUNet` alone, and return it.

    Args:
        network: a `SliceUNet`, or a `SemiSupervisedUNet` whose U-Net is loaded.
        path: the file.

    Raises:
        UserError: a file that is missing, damaged or of another network.
    """
    unet = getattr(network, "unet", network)
    given = unet_weights(read_weights(path))
    report = compare_weights(unet.state_dict(), given, source=str(path))
    if not report.complete:
        raise UserError(f"{report}; use the features, norm and classes it was trained with")
    unet.load_state_dict(given)
    return network


def turn_slices(images: Tensor, turns: Tensor) -> Tensor:
    """Turn each image by quarter turns (``turns % 4``) and mirror it along W (``turns >= 4``): exact, on squares.

    Args:
        images: (N, C, H, H).
        turns: (N,) integers in [0, 8).
    """
    return torch.stack(
        [
            image.rot90(int(turn) % 4, (1, 2)).flip(2) if turn >= 4 else image.rot90(int(turn) % 4, (1, 2))
            for image, turn in zip(images, turns.tolist(), strict=True)
        ]
    )


class SemiSupervisedUNet(nn.Module):
    """A `SliceUNet` through which labelled and unlabelled slices go in one forward, batch norm included.

    Args:
        unet: what is trained and deployed; lies under ``unet.`` in the state dict.
        meta_labels: names of meta-labels, for each of which there is a `projector` on the pooled bottleneck.
        clusters: (heads, K): linear heads on the pooled bottleneck, each with a softmax over K clusters.
    """

    def __init__(
        self, unet: SliceUNet, *, meta_labels: Sequence[str] = (), clusters: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.unet = unet
        features = unet.representation_size
        self.projectors = projectors(meta_labels, features)
        self.clusters = nn.ModuleList(
            [nn.Linear(features, clusters[1]) for _ in range(clusters[0])] if clusters else []
        )

    @property
    def encoder(self) -> nn.ModuleList:
        """The way down."""
        return nn.ModuleList([self.unet.conv_0, *(getattr(self.unet, f"down_{level}") for level in range(1, 5))])

    def forward(self, inputs: Tensor | Mapping[str, Tensor]) -> Tensor | dict[str, Tensor]:
        """Logits of slices (B, 1, H, W); or, for a batch of a training, what its losses take.

        Args:
            inputs: slices; or ``labelled`` (B, 1, H, W), and as the method needs ``mixed`` (B, 1, H, W), ``plain``
                (N, 1, H, W) with or without ``turns`` (N,), ``views`` (N, V, 1, H, W).

        Returns:
            the logits; or ``logits`` of the labelled slices, ``logits_mixed``, ``logits_unlabelled``,
            ``probabilities`` of the turned slices and ``expected``, the turned probabilities of the slices as they
            are, ``clusters`` and ``clusters_turned`` (N, heads, K), ``representation`` and ``embedding_<name>`` (N, V,
            F).
        """
        if isinstance(inputs, Tensor):
            return self.unet(inputs)
        parts = {name: inputs[name] for name in ("labelled", "mixed", "plain") if name in inputs}
        if "turns" in inputs:
            parts["turned"] = turn_slices(inputs["plain"], inputs["turns"])
        if "views" in inputs:
            parts["views"] = inputs["views"].flatten(0, 1)
        logits, pooled = self._parts(parts)
        found = {"logits": logits["labelled"]}
        if "mixed" in parts:
            found["logits_mixed"] = logits["mixed"]
        if "plain" in logits:
            found["logits_unlabelled"] = logits["plain"]
        if "turned" in logits:
            found["probabilities"] = logits["turned"].float().softmax(dim=1)
            found["expected"] = self._expected(inputs, logits)
        if self.clusters:
            for name, key in (("plain", "clusters"), ("turned", "clusters_turned")):
                found[key] = torch.stack([in_full_precision(h, pooled[name]).softmax(-1) for h in self.clusters], dim=1)
        if "views" in parts:
            found["representation"] = pooled["views"].unflatten(0, inputs["views"].shape[:2])
            found |= embeddings(self.projectors, found["representation"])
        return found

    def _expected(self, inputs: Mapping[str, Tensor], logits: Mapping[str, Tensor]) -> Tensor:
        return turn_slices(logits["plain"].float().softmax(dim=1), inputs["turns"])

    def _parts(self, parts: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Logits and pooled bottleneck of every part, from one pass of all."""
        unet, sizes = self.unet, [len(part) for part in parts.values()]
        images = torch.cat(list(parts.values()))
        x0 = unet.conv_0(images)
        x1 = unet.down_1(x0)
        x2 = unet.down_2(x1)
        x3 = unet.down_3(x2)
        x4 = unet.down_4(x3)
        logits = unet.final_conv(unet.upcat_1(unet.upcat_2(unet.upcat_3(unet.upcat_4(x4, x3), x2), x1), x0))
        pooled = x4.float().mean((2, 3))
        return dict(zip(parts, logits.split(sizes))), dict(zip(parts, pooled.split(sizes)))


class MeanTeacherUNet(SemiSupervisedUNet):
    """Learns from turned slices what a mean of its earlier selves, the teacher, predicts for them as they are.

    The teacher moves by ``m = min(1 - 1/(t + 1), momentum)`` at step t, buffers too; it is not deployed.

    Args:
        unet: the student.
        momentum: largest m.

    Raises:
        ValueError: ``momentum`` outside [0, 1].

    Source: Tarvainen and Valpola, NeurIPS 2017.
    """

    steps: Tensor

    def __init__(self, unet: SliceUNet, *, momentum: float = 0.999) -> None:
        super().__init__(unet)
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {momentum}")
        self.momentum = float(momentum)
        self.teacher = copy.deepcopy(unet).requires_grad_(False).eval()
        self.register_buffer("steps", torch.tensor(0))
        self._count = HostCount()

    def train(self, mode: bool = True) -> MeanTeacherUNet:
        """The teacher stays in evaluation mode: its running statistics are means of the student's."""
        super().train(mode)
        self.teacher.eval()
        return self

    def _parts(self, parts: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return super()._parts({name: part for name, part in parts.items() if name != "plain"})

    @torch.no_grad()
    def _expected(self, inputs: Mapping[str, Tensor], logits: Mapping[str, Tensor]) -> Tensor:
        return turn_slices(self.teacher(inputs["plain"]).float().softmax(dim=1), inputs["turns"])

    def after_step(self) -> None:
        """Let the teacher follow by one step."""
        follow(self.teacher, self.unet, self.steps, count=self._count, momentum=self.momentum)
