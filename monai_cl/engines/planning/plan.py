"""A plan: settings of a training from the statistics of its scans, and the memory, time and disk that it will take."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monai_cl.data.datalist.statistics.quantities import HU
from monai_cl.engines.planning.rules import (
    Triple,
    intensity_window,
    iterations_within,
    largest_batch,
    largest_patch,
    median_shape,
    patch_sequence,
    target_spacing,
)
from monai_cl.engines.planning.step import BundleStep, MeasuredStep
from monai_cl.errors import UserError
from monai_cl.files import size_in_words
from monai_cl.networks.volume.backbones import find_backbone

KEPT_FREE, PROCESS = 0.1, 1e9
"""Share of the memory that is left free for what is not counted, such as workspaces; bytes of the process itself."""
_SMALL_EDGE = 64  # from here on the second patch that is measured is not twice as large as the first
_FLOAT, _ADAM = 4, 8  # bytes a parameter: of a weight or gradient, of the two states of Adam
_ROTATION = "RandRotate90d"  # in the plane of R and A: crops of one batch must then be squares there
_TRANSIENT = 4  # tensors of the largest kept size beside the kept ones: docs/planning.md has the measurements


@dataclass(frozen=True)
class StepCost:
    """Memory and time of a step, straight lines over the voxels of its batch through two measured sizes.

    Args:
        small, large: two steps of batch size 1.
        sample_voxels: voxels of a batch for each voxel of ``patch_size``: the patches of a sample.
    """

    small: MeasuredStep
    large: MeasuredStep
    sample_voxels: int

    def memory(self, patch: Triple, batch: int) -> int:
        """Bytes at the peak of a step, where the backward pass begins.

        There are weights, states of the optimiser, what autograd keeps, and four tensors as large as the largest of it:
        gradients of a layer's input and output, and the copies that convolutions make. Gradients of weights come while
        what is kept goes.

        Args:
            patch: edges in voxels.
            batch: samples.
        """
        kept = self.saved_bytes(patch, batch) + _TRANSIENT * self._line("largest_bytes", patch, batch)
        return int(self.checkpoint_bytes() + max(kept, self.large.trained * _FLOAT))

    def saved_bytes(self, patch: Triple, batch: int) -> float:
        """What autograd keeps for the backward pass.

        Args:
            patch: edges in voxels.
            batch: samples.
        """
        return self._line("saved_bytes", patch, batch)

    def seconds(self, patch: Triple, batch: int) -> float:
        """Seconds of a step on the CPU that it was measured on.

        Args:
            patch: edges in voxels.
            batch: samples.
        """
        return self._line("seconds", patch, batch)

    def checkpoint_bytes(self) -> int:
        """Of weights and states of the optimiser in a file."""
        return self.large.parameters * _FLOAT + self.large.trained * _ADAM

    def _line(self, what: str, patch: Triple, batch: int) -> float:
        voxels = self.sample_voxels * math.prod(patch) * batch
        first, second = getattr(self.small, what), getattr(self.large, what)
        slope = (second - first) / (self.large.voxels - self.small.voxels)
        return max(first + max(slope, 0) * (voxels - self.small.voxels), 0)


@dataclass(frozen=True)
class Plan:
    """Settings, and what they will take.

    Attributes:
        settings: keys of the bundle's config -> value.
        reasons: key -> where its value comes from, in words.
        estimates: memory, time, disk: in words, with how they were got.
        data_list: name of the list.
        memory: bytes of the device.
        command: the training, for a shell; it goes to a folder that is not there yet.
    """

    settings: dict[str, Any]
    reasons: dict[str, str]
    estimates: dict[str, str]
    data_list: str = ""
    memory: float = 0.0
    command: str = ""

    def options(self) -> list[str]:
        """The settings as options of a bundle's command line, for a shell."""
        return [f"--{key} {shlex.quote(json.dumps(value))}" for key, value in self.settings.items()]


def measure_step(step: BundleStep) -> StepCost:
    """The cost of a bundle's step, measured at two small sizes on the CPU.

    Args:
        step: of a bundle.
    """
    backbone = find_backbone(step.value("backbone"))
    first = backbone.smallest
    edge = 2 * first if first < _SMALL_EDGE else first + backbone.multiple
    small, large = (step.measure((size,) * 3) for size in (first, edge))
    return StepCost(small, large, small.voxels // first**3)


def make_plan(
    step: BundleStep,
    statistics: Mapping[str, Any],
    cost: StepCost,
    *,
    memory: float,
    hours: float | None = None,
    step_seconds: float | None = None,
) -> Plan:
    """Settings by the rules of `monai_cl.engines.planning.rules`, from the scans that the bundle trains on.

    Args:
        step: of the bundle.
        statistics: of `list_statistics`, of the list that the step was made with.
        cost: of `measure_step`.
        memory: bytes of the device.
        hours: that the training may take; None: the bundle's own length.
        step_seconds: of a step on the device that it will run on; None: as measured on this CPU.

    Raises:
        UserError: no scan to train on, or too little memory for the smallest patch.
    """
    scans = [scan for scan in statistics["scans"] if scan["split"] == "training"]
    if not scans:
        raise UserError(
            statistics["data_list"]["path"],
            expected="scans under training that can be read",
            found="none",
            remedy="correct the list",
        )
    spacing = target_spacing([scan["spacing"] for scan in scans], [scan["shape"] for scan in scans])
    shape = median_shape([scan["extent"] for scan in scans], spacing)
    backbone, least = find_backbone(step.value("backbone")), int(step.value("batch_size"))
    patches = patch_sequence(
        spacing, shape, multiple=backbone.multiple, smallest=backbone.smallest, square=_ROTATION in str(step.config)
    )
    limit = (1 - KEPT_FREE) * memory - PROCESS
    patch = largest_patch(patches, lambda one: cost.memory(one, least), limit)
    if patch is None:
        needed = math.ceil((cost.memory(patches[-1], least) + PROCESS) / (1 - KEPT_FREE))
        raise UserError(
            "--memory",
            expected=f"{size_in_words(needed)} or more for a batch of {least} of the smallest patch "
            f"{list(patches[-1])}",
            found=size_in_words(int(memory)),
            remedy="choose a smaller network, such as --backbone dynunet, or a smaller --feature_size or --batch_size",
        )
    batch = largest_batch(
        lambda size: cost.memory(patch, size),
        limit,
        least=least,
        patch_voxels=math.prod(patch),
        data_voxels=len(scans) * math.prod(shape),
    )
    seconds = step_seconds or cost.seconds(patch, batch)
    own, unit = int(step.value("iterations")), int(step.value("epoch_length")) * int(step.config.get("val_interval", 1))
    iterations = iterations_within(own, step=unit, seconds=seconds, hours=hours)
    settings: dict[str, Any] = {"spacing": list(spacing), "patch_size": list(patch), "batch_size": batch}
    reasons = {
        "spacing": f"median of {len(scans)} training scans, mm; 10th percentile along an anisotropic axis",
        "patch_size": f"of a median scan of {list(shape)} voxels; multiples of {backbone.multiple} for {backbone.name}",
        "batch_size": f"what fits beside at most 5 % of the data; the bundle's own is {least}",
    }
    tables, what = _intensities(scans)
    if (window := intensity_window(tables)) is not None:
        settings["window"] = list(window)
        reasons["window"] = f"0.5th to 99.5th percentile of {what}, HU"
    settings["iterations"] = iterations
    reasons["iterations"] = "the bundle's own length" if iterations == own else f"what fits into {hours:g} h; own {own}"
    return Plan(settings, reasons, _estimates(step, statistics, cost, settings, seconds, step_seconds))


def _intensities(scans: list[Mapping[str, Any]]) -> tuple[list[Mapping[str, float]], str]:
    """Tables of percentiles of CT: of labelled voxels where there are any, else of the body."""
    ct = [scan for scan in scans if scan["unit"] == HU]
    tables = [scan["foreground"] for scan in ct if scan["foreground"]]
    return (
        (tables, f"the labelled voxels of {len(tables)} CT")
        if tables
        else (
            [scan["body"] for scan in ct],
            f"the bodies of {len(ct)} CT, none of which has a label",
        )
    )


def _estimates(
    step: BundleStep,
    statistics: Mapping[str, Any],
    cost: StepCost,
    settings: Mapping[str, Any],
    seconds: float,
    given_seconds: float | None,
) -> dict[str, str]:
    patch, batch, spacing = settings["patch_size"], settings["batch_size"], settings["spacing"]
    precision = "bf16 autocast" if step.value("amp") else "float32"
    shapes = {
        (scan["dataset"], scan["id"]): math.prod(round(mm / edge) or 1 for mm, edge in zip(scan["extent"], spacing))
        for scan in statistics["scans"]
    }
    store = sum(
        shapes[scan["dataset"], scan["id"]] * (2 if scan["labels"] is None else 3) for scan in statistics["scans"]
    )
    hours = settings["iterations"] * seconds / 3600
    source = (
        "as given"
        if given_seconds
        else "measured on this CPU, as busy as it is now, and scaled by voxels; not known for another device"
    )
    kept = int(step.value("keep_checkpoints"))
    files = (kept + 1) * cost.checkpoint_bytes() + cost.large.parameters * _FLOAT
    found = {
        "memory of a step": f"{size_in_words(cost.memory(tuple(patch), batch))} in {precision}: weights, optimiser, "
        "and what autograd keeps, measured at two smaller patches",
        "time": f"{hours:.3g} h: {settings['iterations']} steps of {seconds:.1f} s, {source}; loading, validation and "
        "preparation of the scans not counted",
        "store": f"at most {size_in_words(store)}: int16 and labels of {len(shapes)} scans at this spacing, "
        "uncompressed",
        "checkpoints": f"{size_in_words(files)}: {kept} kept, one being written, and model.pt",
    }
    if "organs" in step.config:
        classes = len(step.value("organs")) + 1
        copy = max(shapes.values()) * classes * _FLOAT
        found["memory of validation"] = (
            f"{size_in_words(copy)} for each copy of the class scores of the largest scan at this spacing, of which "
            "there are several; --invert_device cpu keeps some of them off the GPU"
        )
    return found
