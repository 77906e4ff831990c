"""A training step of a bundle on made-up patches: the bytes it keeps for its backward pass, and its seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from torch import Tensor

from monai_cl.engines.launch.command_line import Invocation
from monai_cl.engines.launch.error_report import one_cause
from monai_cl.errors import UserError
from monai_cl.shipped import bundle_folder

PLANNED = ("spacing", "window", "patch_size", "batch_size", "iterations")
"""Keys of a bundle's config that a plan is about."""


@dataclass(frozen=True)
class MeasuredStep:
    """What a step of one size took.

    Attributes:
        voxels: of all patches of the batch together.
        saved_bytes: kept by autograd from the forward to the backward pass, weights not counted.
        largest_bytes: the largest of these tensors.
        seconds: of forward, loss, backward and the optimiser's step; the quicker of two.
        parameters, trained: numbers of all parameters of the network, and of those that are trained.
    """

    voxels: int
    saved_bytes: int
    largest_bytes: int
    seconds: float
    parameters: int
    trained: int


class BundleStep:
    """The training of a bundle as its config says it, to be tried at any patch size.

    Args:
        bundle: name or folder of a bundle that trains on 3D patches.
        data_list: JSON file.
        dataset_dir: folder its paths start from; None: the folder of the list.
        overrides: keys of the config -> value, as on the bundle's own command line.

    Raises:
        UserError: a bundle that does not train on patches of volumes, an unknown key, one that is planned, or weights
            that say the input.
    """

    def __init__(
        self,
        bundle: str,
        *,
        data_list: str | Path,
        dataset_dir: str | Path | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        folder = Path(bundle) if (Path(bundle) / "configs").is_dir() else bundle_folder(bundle)
        self.file = folder / "configs" / "train.yaml"
        own = ConfigParser.load_config_file(self.file)
        if missing := [key for key in PLANNED if key not in own]:
            raise UserError(
                bundle,
                expected="a bundle that trains on patches of volumes: btcv_unetr_segmentation, "
                "spleen_unetr_segmentation, mixcl_ct_pretraining",
                found=f"one without {' and '.join(missing)}",
                remedy="look at python -m monai_cl datalist statistics and choose its window and image size by that",
            )
        given = dict(overrides or {})
        if fixed := sorted(given.keys() & {"pretrained_encoder", "settings_from"}):
            raise UserError(
                f"--{fixed[0]}",
                found="weights say spacing, window, patch size and network of their training",
                remedy="plan the pre-training, and fine-tune with its values",
            )
        paths = {"data_list": str(data_list), "dataset_dir": str(dataset_dir or Path(data_list).parent)}
        call = Invocation((self.file.as_posix(),), given, "")
        call.check_overrides()
        self.config = call.merged_config() | paths | {"bundle_root": str(folder.resolve())}

    def value(self, key: str, **changes: Any) -> Any:
        """A key of the config, resolved on the CPU.

        Args:
            key: such as ``batch_size``.
            changes: keys -> values that replace the config's.
        """
        with one_cause():
            return self._parser(**changes).get_parsed_content(key)

    def measure(self, patch: Sequence[int], *, batch: int = 1) -> MeasuredStep:
        """Two steps at a patch size on the CPU.

        Args:
            patch: edges in voxels.
            batch: ``batch_size`` of the config.
        """
        parser = self._parser(patch_size=list(patch), batch_size=batch)
        torch.manual_seed(0)
        with one_cause():
            network = parser.get_parsed_content("network").train()
            loss = parser.get_parsed_content("criterion" if "criterion" in self.config else "loss")
            prepare = parser.get_parsed_content("train#trainer#prepare_batch")
            optimizer = parser.get_parsed_content("optimizer")
        inputs, targets = prepare(made_up_batch(parser, patch, batch), torch.device("cpu"))
        amp, seconds = bool(parser.get_parsed_content("amp")), []
        for _ in range(2):
            begin, kept = time.perf_counter(), SavedBytes(network)
            optimizer.zero_grad(set_to_none=True)
            with kept, torch.autocast("cpu", torch.bfloat16, enabled=amp):
                total = loss(network(inputs), targets)
            total.backward()
            optimizer.step()
            seconds.append(time.perf_counter() - begin)
        counts = [sum(p.numel() for p in network.parameters() if p.requires_grad >= trained) for trained in (0, 1)]
        return MeasuredStep(inputs[:, 0].numel(), kept.total, kept.largest, min(seconds), *counts)

    def _parser(self, **changes: Any) -> ConfigParser:
        parser = ConfigParser(self.config | {"device": torch.device("cpu")} | changes)
        parser.get_parsed_content("imports")
        return parser


class SavedBytes:
    """Counts what autograd keeps for the backward pass within a ``with`` block, each piece of memory once.

    Args:
        network: whose weights, which are there anyhow, do not count.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self._own = {tensor.untyped_storage().data_ptr() for tensor in network.state_dict().values()}
        self._sizes: dict[int, int] = {}  # kept tensors stay alive, so that no address comes twice
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda tensor: tensor)

    def __enter__(self) -> SavedBytes:
        self._hooks.__enter__()
        return self

    def __exit__(self, *reason: Any) -> None:
        self._hooks.__exit__(*reason)

    @property
    def total(self) -> int:
        """Bytes of all."""
        return sum(self._sizes.values())

    @property
    def largest(self) -> int:
        """Bytes of the largest."""
        return max(self._sizes.values(), default=0)

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._own:
            self._sizes[storage.data_ptr()] = storage.nbytes()
        return tensor


def made_up_batch(parser: ConfigParser, patch: Sequence[int], batch: int) -> dict[str, Any]:
    """A batch as the bundle's data set gives it: random intensities, and labels of all its classes.

    Args:
        parser: of the bundle's config.
        patch: edges in voxels.
        batch: number of samples.
    """
    shape = (batch, 1, *patch)
    classes = max(len(dataset.labels) for dataset in parser.get_parsed_content("lists").datasets)

    def labels() -> Tensor:
        return torch.randint(classes, shape)

    if "voxels_per_class" not in parser:
        return {"image": torch.rand(shape), "label": labels()}
    stride = 2 ** int(parser.get_parsed_content("label_level"))
    drawn = (batch, int(parser.get_parsed_content("voxels_per_class")) * classes)
    found: dict[str, Any] = {"position": torch.arange(batch), "dataset": torch.zeros(batch, dtype=torch.long)}
    for number in (1, 2):
        found |= {
            f"image{number}": torch.rand(shape),
            f"label{number}": labels(),
            f"voxels{number}": torch.randint(int(np.prod(patch)) // stride**3, drawn),
            f"voxel_labels{number}": torch.arange(drawn[1]).remainder(classes).expand(drawn),
        }
    return found
