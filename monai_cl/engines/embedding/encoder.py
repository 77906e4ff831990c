"""A frozen encoder from a file of weights of any bundle: its network, and the input that the file says it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_cl.data.records.model_record import record_of_results
from monai_cl.data.records.results import FILE_NAME, read_results
from monai_cl.errors import UserError
from monai_cl.files import sha256
from monai_cl.networks import (
    load_encoder,
    load_slice_encoder,
    read_about,
    segmentation_network,
    slice_encoder,
    volume_encoder,
)
from monai_cl.networks.backbones import BACKBONES
from monai_cl.networks.transfer import compare_weights, read_weights
from monai_cl.networks.unet.encoder import FEATURES, UNetEncoder
from monai_cl.networks.unet.semi_supervised import unet_weights
from monai_cl.networks.volume.backbones import backbone_of, known_backbones

PATCHES, SLICES, BOXES = "patches", "slices", "boxes"
_UNETR = ("img_size", "feature_size", "hidden_size", "mlp_dim", "num_heads")
# of a record, what an input needs; where an earlier version wrote none, the value that all had
_NEEDED = {PATCHES: ("spacing", "window"), SLICES: ("image_size",), BOXES: ("box_size", "window")}
_DEFAULTS = {"window": (-100.0, 400.0), "pixel_size": None, "neighbours": 0, "fraction": 1.0}


@dataclass(frozen=True)
class FrozenEncoder:
    """An encoder in evaluation mode.

    Attributes:
        network: of a `Backbone`'s kind such as a UNETR, a `SliceEncoder` or a `VolumeEncoder`.
        kind: what it takes: ``patches`` of volumes, axial ``slices``, or head ``boxes``.
        preprocessing: of its input, as its record has it, see `monai_cl.data.model_record`.
        about: what it is, for tables: ``file`` (its name), ``sha256``, ``bundle``, ``preset``, ``network``.
    """

    network: nn.Module
    kind: str
    preprocessing: Mapping[str, Any]
    about: Mapping[str, Any]

    @property
    def levels(self) -> int:
        """Levels whose maps can be pooled, from the finest; 0: it gives its representation alone."""
        found = backbone_of(self.network)
        return len(found.levels) if found else 5 if hasattr(self._backbone, "maps") else 0

    @property
    def patch_size(self) -> tuple[int, ...]:
        """Voxels of a patch."""
        found = backbone_of(self.network)
        fixed = found.arguments(self.network).get("img_size") if found else None
        return tuple(int(edge) for edge in fixed or self.preprocessing["patch_size"])

    @property
    def _backbone(self) -> Any:
        return getattr(self.network, "backbone", self.network)

    def maps(self, images: Tensor, level: int) -> Tensor:
        """Maps (B, c, …) of one level of images (B, C, …); of boxes (B, c, h, w, d), their slices last.

        Args:
            images: in [0, 1], as its record says.
            level: 0, the finest, to `levels` - 1.
        """
        network: Any = self.network
        backbone = backbone_of(network)
        if backbone is not None:
            return backbone.encode(network, images, [level])[0]
        found: Tensor = self._backbone.maps((images - network.mean) / network.std)[level]
        return found.permute(0, 1, 3, 4, 2) if self.kind == BOXES else found

    def represent(self, images: Tensor) -> Tensor:
        """Representations (B, F) of images (B, C, …): the network's own, as its probes and classifiers use them.

        Args:
            images: in [0, 1], as its record says.
        """
        network: Any = self.network
        return network.represent(images)

    def to(self, device: torch.device | str) -> FrozenEncoder:
        """The same encoder, on a device.

        Args:
            device: where it is to run.
        """
        return FrozenEncoder(self.network.to(device), self.kind, self.preprocessing, self.about)


def read_encoder(file: str | Path) -> FrozenEncoder:
    """Build the encoder of a file of weights, as the file describes it.

    Args:
        file: ``encoder.pt``, ``model.pt`` or a checkpoint of any bundle; of an earlier version, with the
            ``results.json`` of its run beside it.

    Raises:
        UserError: a file that is missing or damaged, that does not say what it is, or whose network cannot be built.
    """
    file = Path(file)
    if not file.is_file():
        raise UserError(file, expected="a file of weights", found="no such file", remedy="correct the path")
    about = read_about(file)
    if about is None and (file.parent / FILE_NAME).is_file():
        about = record_of_results(read_results(file.parent))
    if about is None:
        raise UserError(
            file,
            expected="weights that say which network and which input they are for",
            found="none: they were written elsewhere or by an earlier version",
            remedy="give the model.pt or encoder.pt of a run of this project, with its results.json beside it",
        )
    arguments = dict((about.get("network") or {}).get("arguments") or {})
    network, kind = _network(file, arguments, about.get("preprocessing") or {})
    preprocessing = {**_DEFAULTS, **{k: v for k, v in (about.get("preprocessing") or {}).items() if v is not None}}
    for key in _NEEDED[kind]:
        if key not in (about.get("preprocessing") or {}):
            raise UserError(
                file,
                expected=f"a record with the {key} of the input",
                found="none",
                remedy="train it with this version",
            )
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    described = {"file": file.name, "sha256": sha256(file), **{key: about.get(key) for key in ("bundle", "preset")}}
    return FrozenEncoder(network.eval(), kind, preprocessing, {**described, "network": arguments})


def _network(file: Path, arguments: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> tuple[nn.Module, str]:
    """The network with the weights in it, and the kind of its input."""
    backbone = arguments.get("backbone", "unetr" if "hidden_size" in arguments else None)
    if backbone in {known.name for known in known_backbones()}:
        needed = _UNETR if backbone == "unetr" else ("feature_size",)
        missing = [key for key in needed if key not in arguments]
        if missing:
            raise UserError(file, expected=f"a record with {', '.join(missing)} of its {backbone}", found="none")
        sizes = {key: arguments[key] for key in needed}
        network: nn.Module = segmentation_network(
            **{"backbone": backbone, "img_size": preprocessing.get("patch_size"), **sizes},
            in_channels=arguments.get("in_channels", 1),
            out_channels=1,
        )
        load_encoder(network, file)
        return network, PATCHES
    if backbone == "dense3d":
        network = volume_encoder(in_channels=arguments.get("in_channels", 1))
        load_slice_encoder(network, file)
        return network, BOXES
    if "norm" in arguments and "features" in arguments:
        return _unet_encoder(file, arguments), SLICES
    if backbone not in BACKBONES:
        raise UserError(
            file,
            expected=f"a UNETR, a U-Net, dense3d or one of {', '.join(BACKBONES)}",
            found=f"{backbone or 'a network that its record does not describe'}",
            remedy="build the network in Python and give it to monai_cl.engines.embed as a FrozenEncoder",
        )
    network = slice_encoder(
        backbone, in_channels=arguments.get("in_channels", 1), width=arguments.get("width", 1.0), head=()
    )
    load_slice_encoder(network, file)
    return network, SLICES


def _unet_encoder(file: Path, arguments: Mapping[str, Any]) -> nn.Module:
    """Of a pre-training, which has it as a backbone, or of a segmentation, whose U-Net begins with it."""
    backbone = UNetEncoder(features=arguments.get("features") or FEATURES, norm=arguments["norm"])
    network = slice_encoder(backbone, head=(), mean=0.0, std=1.0)
    weights = unet_weights(read_weights(file))
    own = {name: tensor for name, tensor in weights.items() if name in backbone.state_dict()}
    if not own:
        load_slice_encoder(network, file)
        return network
    report = compare_weights(backbone.state_dict(), own, source=str(file))
    if not report.complete:
        raise UserError(f"{report}; expected the encoder of a 2-D U-Net as its record describes it")
    backbone.load_state_dict(own)
    return network
