"""A mean teacher beside a 3-D segmentation: what unlabelled scans of the list add to the loss of the labelled ones.

After Tarvainen and Valpola, "Mean teachers are better role models", NeurIPS 2017; the term is that of the 2-D bundle.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.engines import default_prepare_batch
from torch import Tensor, nn

from monai_cl.addressing import Stream, address_generator, address_rng, address_seed
from monai_cl.data import (
    DataList,
    PatchesWithUnlabelled,
    Preparation,
    SegmentationPatches,
    fold_items,
)
from monai_cl.engines.distributed.wrapping import unwrap_ddp
from monai_cl.engines.prepared_lists import fold_of, prepare_all
from monai_cl.engines.segmentation.annotated import AnnotatedDiceCELoss
from monai_cl.losses.semi_supervised import consistency_loss
from monai_cl.networks.momentum import HostCount, follow

_VIEW = 7  # last number of addresses


def with_unlabelled(
    labelled: SegmentationPatches,
    data_list: DataList,
    *,
    weight: float,
    fold: int | str | None,
    batch_size: int,
    unlabelled_batch: int,
    store: str | Path,
    spacing: Sequence[float],
    prepare_workers: int = 1,
) -> SegmentationPatches | PatchesWithUnlabelled:
    """Crops with labels, and beside them crops of all training scans of the fold, whose labels are not read.

    Args:
        labelled: crops with labels.
        data_list: the list.
        weight: of the unlabelled crops' term; 0: ``labelled`` itself is returned.
        fold: that validates, see `training_items`.
        batch_size: crops with labels per process and iteration.
        unlabelled_batch: crops without, likewise.
        store: folder of the prepared store.
        spacing: mm of a prepared voxel, RAS.
        prepare_workers: processes that prepare.

    Raises:
        UserError: a scan that cannot be prepared.
        ValueError: a weight below 0, ``unlabelled_batch`` below 1.
    """
    if not weight >= 0:
        raise ValueError(f"unlabelled_weight must be >= 0, got {weight}")
    if not weight:
        return labelled
    training = fold_items(data_list, fold=fold_of(fold))
    items = [{key: value for key, value in item.items() if not key.startswith("label")} for item in training]
    done = prepare_all(items, store, Preparation(spacing=spacing), workers=prepare_workers)
    unlabelled = SegmentationPatches(
        done.store,
        done.keys,
        patch_size=labelled.patch_size,
        window=labelled.window,
        seed=address_seed(labelled.seed, Stream.PATCHES),  # other voxels of a scan than its labelled crops
        foreground_probability=0.0,
    )
    return PatchesWithUnlabelled(labelled, unlabelled, count=batch_size, unlabelled_count=unlabelled_batch)


def mean_teacher(loss: nn.Module, network: nn.Module, *, weight: float, **options: Any) -> nn.Module:
    """`MeanTeacherLoss`; where the weight is 0 the loss of the labelled crops itself.

    Args:
        loss: of the labelled crops.
        network: that is trained, wrapped for several processes or not.
        weight: λ.
        **options: of `MeanTeacherLoss`.
    """
    return MeanTeacherLoss(loss, unwrap_ddp(network), weight=weight, **options) if weight else loss


def batch_preparation(loss: nn.Module) -> Callable[..., Any]:
    """``prepare_batch`` of the trainer: that of a `MeanTeacherLoss`, else MONAI's default.

    Args:
        loss: what the trainer minimises.
    """
    if isinstance(loss, MeanTeacherLoss):
        return loss.prepare_batch
    return partial(_prepare, loss) if isinstance(loss, AnnotatedDiceCELoss) else default_prepare_batch


def _prepare(loss: AnnotatedDiceCELoss, batch: dict[str, Tensor], *args: Any, **kwargs: Any) -> Any:
    loss.look_at(batch["label"])
    return default_prepare_batch(batch, *args, **kwargs)


class MeanTeacherLoss(nn.Module):
    """``L_sup + λ mean ‖softmax f(T x) - T softmax f̄(x)‖²``: the student sees crops noisier and mirrored, T.

    The teacher f̄ is a mean of the student's earlier weights, see `follow`; it is in the state dict, and with it in the
    checkpoints, and is not deployed. Give the trainer this loss and its ``prepare_batch``; a trainer with `AfterStep`
    moves the teacher.

    Args:
        loss: L_sup of logits and labels of the labelled crops.
        network: f, not wrapped, on its device; logits of (B, 1, H, W, D).
        weight: λ.
        labelled: crops with labels, the first of the batch.
        seed: the run's seed.
        mirror: crops are mirrored along each axis or not; False: their intensities alone are changed.
        noise: standard deviation of the noise, intensities being in [0, 1].
        shade: largest change of brightness, and of contrast.
        momentum: largest momentum of the teacher.
        amp: the teacher computes in bfloat16, as the student.

    Attributes:
        factors: ``unlabelled``, of λ, see `monai_cl.engines.LossSchedule`.
        diagnostics: of the last call: ``loss/supervised`` and ``loss/consistency``, before its weight.

    Raises:
        ValueError: an option out of its range.
    """

    steps: Tensor

    def __init__(
        self,
        loss: nn.Module,
        network: nn.Module,
        *,
        weight: float,
        labelled: int,
        seed: int,
        mirror: bool = True,
        noise: float = 0.05,
        shade: float = 0.1,
        momentum: float = 0.999,
        amp: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("weight", weight), ("noise", noise), ("shade", shade)):
            if not value >= 0:
                raise ValueError(f"{name} must be >= 0, got {value}")
        if labelled < 1:
            raise ValueError(f"labelled must be >= 1, got {labelled}")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {momentum}")
        self.loss = loss
        self.student = (network,)  # in a tuple: the network is saved once, and by itself
        self.teacher = copy.deepcopy(network).requires_grad_(False).eval()
        self.register_buffer("steps", torch.tensor(0))
        self._count = HostCount()
        self.weight, self.labelled, self.seed, self.mirror = float(weight), int(labelled), int(seed), bool(mirror)
        self.factors = {"unlabelled": 1.0} if weight else {}
        self.noise, self.shade, self.momentum, self.amp = float(noise), float(shade), float(momentum), bool(amp)
        self.diagnostics: dict[str, Tensor] = {}

    batchwise = "the mean teacher's batch holds labelled and unlabelled crops (unlabelled_weight)"

    def train(self, mode: bool = True) -> MeanTeacherLoss:
        """The teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def prepare_batch(
        self, batch: Mapping[str, Any], device: torch.device, non_blocking: bool = False, **kwargs: Any
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Move a batch of `PatchesWithUnlabelled`, change the unlabelled crops, ask the teacher.

        Returns:
            the labelled and then the changed unlabelled images; ``label``, and ``expected`` of the teacher,
            probabilities (U, C, H, W, D).
        """
        n = self.labelled
        image = batch["image"].to(device=device, non_blocking=non_blocking, **kwargs)
        if isinstance(self.loss, AnnotatedDiceCELoss):
            self.loss.look_at(batch["label"][:n])
        label = batch["label"][:n].to(device=device, non_blocking=non_blocking)
        unlabelled, positions = image[n:], [int(position) for position in batch["position"][n:]]
        with torch.no_grad(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.amp):
            expected = self.teacher(unlabelled).float().softmax(dim=1)
        axes = [self._axes(position) for position in positions]
        shaded = torch.stack([self._shaded(x, position) for x, position in zip(unlabelled, positions, strict=True)])
        return torch.cat([image[:n], _mirrored(shaded, axes)]), {"label": label, "expected": _mirrored(expected, axes)}

    def forward(self, logits: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """The loss of a batch that `prepare_batch` made, a scalar.

        Args:
            logits: of all its images, (B + U, C, H, W, D).
            targets: as `prepare_batch` gives them.
        """
        supervised = self.loss(logits[: self.labelled], targets["label"])
        consistency = consistency_loss(logits[self.labelled :].float().softmax(dim=1), targets["expected"])
        self.diagnostics = {"loss/supervised": supervised.detach(), "loss/consistency": consistency.detach()}
        return supervised + self.weight * self.factors.get("unlabelled", 1.0) * consistency

    def after_step(self) -> None:
        """Let the teacher follow by one step."""
        follow(self.teacher, self.student[0], self.steps, count=self._count, momentum=self.momentum)

    def _axes(self, position: int) -> list[int]:
        """The axes of (C, H, W, D) along which a crop is mirrored."""
        drawn = int(address_rng(self.seed, Stream.VIEWS, position, _VIEW).integers(8)) if self.mirror else 0
        return [axis + 1 for axis in range(3) if drawn >> axis & 1]

    def _shaded(self, image: Tensor, position: int) -> Tensor:
        generator = address_generator(self.seed, Stream.NOISE, position)
        contrast, brightness = (self.shade * (2 * torch.rand(2, generator=generator) - 1)).tolist()
        noise = self.noise * torch.randn(image.shape, generator=generator)
        return image * (1 + contrast) + brightness + noise.to(image)


def _mirrored(crops: Tensor, axes: Sequence[Sequence[int]]) -> Tensor:
    return torch.stack([crop.flip(list(own)) for crop, own in zip(crops, axes, strict=True)])
