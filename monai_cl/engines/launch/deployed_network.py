"""The network that a bundle deploys, with its weights; and random weights, to try a bundle before it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from torch import nn

from monai_cl.compat import weights_being_loaded
from monai_cl.data.records.model_record import model_record
from monai_cl.errors import UserError
from monai_cl.networks import describe_network, save_weights
from monai_cl.shipped import is_installed

MODEL = Path("models", "model.pt")


def deployed_network(bundle_root: str | Path, *, checkpoint: str | Path | None = None, **options: Any) -> nn.Module:
    """The network of a bundle's ``inference.yaml`` with the weights of a file, on the CPU.

    It is the ``network_def`` of ``configs/train.json``, the file in which `monai.bundle.load` looks for it. The weights
    are loaded here, because ``load`` copies what has the same name and shape, and passes over the rest in silence.

    Args:
        bundle_root: folder of the bundle.
        checkpoint: ``model.pt`` or a checkpoint of a run; None: what `monai.bundle.load` is loading, or else
            ``models/model.pt``.
        **options: keys of ``inference.yaml``; sizes and organs are the file's without them.

    Raises:
        UserError: no such file or key, or weights that do not fit.
    """
    file = checkpoint or weights_being_loaded() or Path(bundle_root) / MODEL
    parser = _inference(Path(bundle_root), {**options, "checkpoint": str(file), "device": torch.device("cpu")})
    for number in range(len(parser["initialize"])):
        parser.get_parsed_content(f"initialize#{number}")
    return parser.get_parsed_content("network_def")


def random_weights(
    bundle_root: str | Path, *, seed: int = 0, overwrite: bool = False, options: Mapping[str, Any] | None = None
) -> Path:
    """Write ``models/model.pt`` of an untrained network, with the record that makes all configs use its sizes.

    Args:
        bundle_root: folder of the bundle, not that of an installed package.
        seed: of the weights.
        overwrite: replace an existing file.
        options: keys of ``inference.yaml`` -> value, such as ``feature_size``.

    Raises:
        UserError: not a bundle of this kind, an installed one, an existing file, or a key that the config does not
            have.
    """
    folder = Path(bundle_root)
    file = folder / MODEL
    if is_installed(folder):
        raise UserError(
            folder,
            found="is part of the installed package",
            remedy="work in your own copy: python -m monai_cl bundle copy NAME FOLDER",
        )
    parser = _inference(folder, {**(options or {}), "checkpoint": None, "device": torch.device("cpu")})
    if file.exists() and not overwrite:
        raise UserError(file, found="exists already", remedy="--overwrite replaces it")
    recorder = ConfigParser.load_config_file(folder / "configs" / "train.yaml")["train"]["recorder"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = parser.get_parsed_content("network_def")
    model = parser.get_parsed_content("model")
    about = model_record(
        kind=recorder.get("kind", "classification"),
        bundle=recorder["bundle"],
        network=describe_network(network),
        data_list={},
        iterations=0,
        seed=seed,
        preprocessing=model["preprocessing"],
        organs=model.get("organs", ()),
    )
    return save_weights(network.state_dict(), file, about)


def _inference(folder: Path, values: Mapping[str, Any]) -> ConfigParser:
    file = folder / "configs" / "inference.yaml"
    if not file.is_file():
        raise UserError(folder, expected="a bundle with configs/inference.yaml", found="none")
    content = ConfigParser.load_config_file(file)
    parser = ConfigParser(content)
    for key, value in {**values, "bundle_root": str(folder)}.items():
        if key not in parser:
            raise UserError(f"--{key}", found=f"{file} has no such key", remedy=f"it has {', '.join(content)}")
        parser[key] = value
    return parser
