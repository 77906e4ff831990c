"""What a pre-training by online clustering is put together from: prototypes, views and heads by plain options."""

from __future__ import annotations

import logging
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_cl.data import CTSlices, DataList, HeadBoxes, read_energy_reference
from monai_cl.data.sampling.modalities import check_batch
from monai_cl.engines.distributed.collectives import world_size
from monai_cl.engines.slices.data import class_count
from monai_cl.engines.slices.modalities import WINDOW, list_modalities
from monai_cl.errors import UserError
from monai_cl.losses.hybrid import LABELS
from monai_cl.networks import ClusteringNet
from monai_cl.transforms import EnergyReference, MultiCrop

logger = logging.getLogger(__name__)
_IMAGE_HEADS = ("target", "findings")
# of the command that measures energies
_DEFAULTS = {"fraction": 1.0, "find_head": True, "allow_outside": False, "uneven_slices": "error"}


def prototype_counts(modalities: Sequence[str], prototypes: int | Sequence[int]) -> dict[str, int]:
    """Modality -> number of its prototypes.

    Args:
        modalities: names in the order of their numbers.
        prototypes: of each, or a number for each.

    Raises:
        UserError: another number of numbers than modalities, or one below 1.
    """
    each = list(prototypes) if isinstance(prototypes, Sequence) else [prototypes] * len(modalities)
    numbers = all(isinstance(number, int) and not isinstance(number, bool) and number >= 1 for number in each)
    if len(each) != len(modalities) or not each or not numbers:
        raise UserError(
            "prototypes",
            expected=f"a number >= 1, or one for each of {', '.join(modalities)}",
            found=prototypes,
            remedy="give as many numbers as there are modalities",
        )
    return dict(zip(modalities, map(int, each)))


def clustering_energies(
    file: str | Path | None,
    data_list: DataList,
    *,
    size: int | Sequence[int],
    window: Sequence[float] | None = None,
    modalities: Sequence[str] | None = None,
    command: Mapping[str, Any] | None = None,
    **prepared_as: Any,
) -> EnergyReference | None:
    """The energies of frequency bands that a run draws from; nothing has to be prepared for it.

    Args:
        file: of ``python -m monai_cl reference_energy``; None: energies stay.
        data_list: of the run.
        size: pixels of the side of its slices, or (D, H, W) of its boxes.
        window: of CT, HU; None: that of slices.
        modalities: of the run; None: those of the list.
        command: further options with which the command would prepare the run's images, for the message.
        **prepared_as: see `read_energy_reference`.

    Raises:
        UserError: a file that is missing, or of images that are prepared in another way, see `read_energy_reference`.
    """
    if file is None:
        return None
    file, prepared_as = Path(file), {**prepared_as, "window": WINDOW if window is None else window}
    edges = [size] if isinstance(size, int) else list(size)
    made = file  # a file that is there may be another run's
    if file.exists():
        made = file.with_name(f"{file.stem}_{'x'.join(map(str, edges))}{file.suffix}")
    kind = {"image_size": size, "modalities": modalities} if isinstance(size, int) else {"box_size": size}
    options = {"output": made, **kind, **prepared_as, **(command or {})}
    words = [f"--{name}={_word(value)}" for name, value in options.items() if value != _DEFAULTS.get(name)]
    line = shlex.join(["python", "-m", "monai_cl", "reference_energy", str(data_list.path), *words])
    return read_energy_reference(
        file,
        modalities=list_modalities(data_list, modalities=modalities),
        remedy=f"make one with `{line}` and pass --energy {shlex.quote(str(made))}",
        size=size,
        **prepared_as,
    )


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def clustering_views(
    slices: CTSlices | None,
    *,
    seed: int,
    crops: Mapping[str, Any],
    rescale: Mapping[str, Any],
    energy: EnergyReference | None = None,
    energy_probability: float = 0.5,
    intensity: Mapping[str, Any] | None = None,
    flip: float = 0.0,
    whole: bool = False,
) -> MultiCrop:
    """The crops of a run.

    Args:
        slices: that are trained on; None: not known yet, which tells whether the other options can be used.
        seed: the run's seed.
        crops: ``count`` and ``size`` of large and small ones.
        rescale: ``size``, least and greatest shorter side after it, and ``scale``, least and greatest factor.
        energy: see `clustering_energies`; None: energies stay.
        energy_probability: of a crop with other energies.
        intensity: ``gamma``, ``slope``, ``offset`` and ``probability`` of `draw_crop`.
        flip: see `MultiCrop`, as ``whole``.
        whole: see `MultiCrop`.
    """
    return MultiCrop(
        seed=seed,
        count=crops["count"],
        size=crops["size"],
        scale=tuple(rescale["scale"]),
        rescaled_side=rescale.get("size"),
        energy=energy if slices is not None else None,
        energy_probability=energy_probability,
        modalities=("",) if slices is None else slices.modalities,
        flip=flip,
        whole=whole,
        **(intensity or {}),
    )


def check_heads(heads: Sequence[str]) -> None:
    """Refuse heads that a network of single images does not have.

    Args:
        heads: that labels teach.

    Raises:
        UserError: names the first.
    """
    for head in heads:
        if head in _IMAGE_HEADS:
            continue
        found, remedy = head, None
        if head in LABELS:
            found = f"{head}, of which only a network of whole scans has a head"
            remedy = "leave it out; pretrain.yaml of head_ct_classification, on boxes of head CT, has it in label_heads"
        raise UserError("heads", expected=f"some of {', '.join(_IMAGE_HEADS)}", found=found, remedy=remedy)


def label_head_sizes(data_list: DataList, slices: CTSlices, heads: Sequence[str]) -> dict[str, int]:
    """Head -> number of its outputs: of ``target`` one for two classes, of ``findings`` one for each.

    Args:
        data_list: whose items have labels.
        slices: of its training part.
        heads: that labels teach: ``target``, ``findings``, or both; none: the run learns without labels.

    Raises:
        UserError: an unknown head, a head for which no item has a label.
    """
    sizes = {}
    check_heads(heads)
    for head in heads:
        if head == "target":
            classes = class_count(data_list)
            sizes[head] = 1 if classes == 2 else classes
            continue
        sizes[head] = len(slices.findings)
        if not any(volume.findings for volume in slices.volumes):
            raise UserError(
                data_list.path,
                expected="items with findings",
                found="none under 'training'",
                remedy="add findings to the items and finding_names to the list, or leave the head out",
            )
    return sizes


def check_queue(
    slices: CTSlices | HeadBoxes, criterion: Any, network: ClusteringNet, *, batch_size: int, queue_length: int
) -> None:
    """Refuse more prototypes than there are embeddings to assign, before the first step.

    Warns of a queue that holds a modality's images more than once: samples are then compared with themselves.

    Args:
        slices: that are trained on, or boxes of scans.
        criterion: `SwappedPredictionLoss` or `ModalityClusteringLoss`.
        network: whose prototypes it takes.
        batch_size: samples of a process in a step.
        queue_length: rows, of all modalities together.

    Raises:
        UserError: a batch that cannot be divided evenly among the modalities.
        ValueError: see `SwappedPredictionLoss.check_count`.
    """
    check_batch(batch_size, slices.modalities)
    criterion.check_count(batch_size * world_size(), len(network.prototypes.weight))
    counts = Counter(name for name, _ in slices.addresses())
    each, what = queue_length // len(counts), "slices" if isinstance(slices, CTSlices) else "scans"
    for name, count in counts.items():
        if each > count:
            logger.warning(
                "queue_length %d holds %d embeddings of each modality, %s has %d %s: they are compared with "
                "themselves; take a shorter queue",
                queue_length,
                each,
                name,
                count,
                what,
            )


@torch.no_grad()
def measure_standardisation(network: ClusteringNet, slices: CTSlices | HeadBoxes) -> None:
    """Set the constants by which the encoder standardises its input: mean and deviation of first images, two digits.

    Every process of a run sees the same images. A resumed run, and whatever loads the weights, has them from there.

    Args:
        network: with a `SliceEncoder` as ``encoder``; changed in place.
        slices: `CTSlices`, or boxes of scans; 500 images are spread evenly over them.
    """
    chosen = np.unique(np.linspace(0, len(slices) - 1, min(500, len(slices))).round().astype(int))
    moments = torch.zeros(2, dtype=torch.float64)
    for index in chosen:
        image = slices[int(index)]["image"].double()
        moments += torch.stack([image.mean(), image.square().mean()]) / len(chosen)
    mean, std = float(moments[0]), float((moments[1] - moments[0].square()).clamp(min=0).sqrt())
    network.encoder.mean.fill_(round(mean, 2))
    network.encoder.std.fill_(max(round(std, 2), 0.01))
