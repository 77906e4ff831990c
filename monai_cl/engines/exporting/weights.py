"""Weights for other people's tools, each with a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_cl.data.records.model_record import record_of_results
from monai_cl.data.records.results import read_results
from monai_cl.engines.exporting.card import model_card, public_record
from monai_cl.errors import UserError
from monai_cl.files import new_file, sha256, write_atomically
from monai_cl.losses import mixcl_preset
from monai_cl.networks.foreign.outgoing import Outgoing, any_weights, monai_weights, nnunet_weights, timm_weights
from monai_cl.networks.foreign.reading import read_weights
from monai_cl.networks.transfer import HEADS
from monai_cl.networks.weights_file import read_about, save_weights

FORMATS = ("monai", "timm", "nnunet", "safetensors")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        file: of the weights.
        card: Markdown file that says what they are and how to load them.
        weights: their tensors, network and parts.
    """

    file: Path
    card: Path
    weights: Outgoing


def export_weights(file: str | Path, *, format: str, output: str | Path, overwrite: bool = False) -> Exported:
    """Write the weights of a file of this project for MONAI, timm, nnU-Net v2 or as safetensors, with a model card.

    The card says from the file's record what was trained on what; ids of scans and patients are in neither file.

    Args:
        file: encoder.pt, model.pt or a checkpoint; ``results.json`` is read beside it.
        format: ``"monai"`` (UNETR, SwinUNETR, SegResNet, DynUNet, BasicUNet), ``"timm"`` (ResNet-18, 50, 152),
            ``"nnunet"`` (DynUNet) or ``"safetensors"`` (needs the package).
        output: file to write, in a folder that exists; the card is ``OUTPUT.md``.
        overwrite: replace a file that is there, and its card.

    Raises:
        UserError: another format, a network that the format has no names for, a file that is there, no such folder.
    """
    if format not in FORMATS:
        raise UserError("--format", expected=f"one of {', '.join(FORMATS)}", found=repr(format))
    if format == "safetensors":
        _safetensors()
    source, path = Path(file), Path(output)
    card = path.with_name(f"{path.name}.md")
    _check_output(source, path, card, overwrite)
    weights = read_weights(source)
    about, results = read_about(source), _results(source)
    record = public_record(about or (record_of_results(results) if results else {}))
    if results and not _of_one_run(record, results):
        results = None
    parts = _parts(weights, record)
    if format == "timm":
        made = timm_weights(weights, source=source)
    else:
        mapping = {"monai": monai_weights, "nnunet": nnunet_weights, "safetensors": any_weights}[format]
        made = mapping(weights, parts=parts, source=source)
    text = model_card(made, file=path.name, layout=format, record=record, sha256=sha256(source), results=results)
    _write(made.tensors, path, format, record)
    write_atomically(card, text.encode())
    return Exported(path, card, made)


def _write(tensors: Mapping[str, Any], path: Path, format: str, record: Mapping[str, Any]) -> None:
    if format == "safetensors":
        # one storage for each tensor, which the format demands; strings alone as metadata
        separate = {name: tensor.clone() for name, tensor in tensors.items()}
        metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in record.items()}
        with new_file(path, make_folder=False) as temporary:
            _safetensors()(separate, temporary, metadata={**metadata, "format": "pt"})
        return
    state = {"network_weights": dict(tensors)} if format == "nnunet" else dict(tensors)
    save_weights(state, path, record, make_folder=False)


def _check_output(source: Path, path: Path, card: Path, overwrite: bool) -> None:
    if not path.parent.is_dir():
        raise UserError(path, found=f"the folder {path.parent} does not exist", remedy="create it first")
    for made in (path, card):
        if made.exists() and source.exists() and made.samefile(source):
            raise UserError("--output", expected="another file than the one that is read", found=made)
        if made.exists() and not overwrite:
            raise UserError(made, found="exists already", remedy="choose another name, or pass --overwrite")


def _results(source: Path) -> dict[str, Any] | None:
    file = source.parent / "results.json"
    return read_results(file) if file.is_file() else None


def _of_one_run(record: Mapping[str, Any], results: Mapping[str, Any]) -> bool:
    """Whether the results beside a file are those of the run that wrote it: files get moved."""
    training = record.get("training") or {}
    return (record.get("bundle"), training.get("seed")) == (results.get("bundle"), results.get("seed"))


def _parts(weights: Mapping[str, Any], record: Mapping[str, Any]) -> tuple[str, ...]:
    """What has been trained: a pre-training's last layer reconstructs, and some presets leave the decoder at random."""
    if record.get("kind") == "segmentation":
        return ("encoder", "decoder", "output")
    reconstructs = (record.get("network") or {}).get("reconstructs")
    if reconstructs is None:  # a file of an earlier version
        try:
            reconstructs = mixcl_preset(str(record.get("preset")))["reconstruction_weight"] > 0
        except ValueError:
            reconstructs = False
    exported = record.get("kind") == "encoder"  # whose decoder was asked for by name
    trained = reconstructs or exported or any(name.startswith(HEADS) for name in weights)
    return ("encoder", "decoder") if trained else ("encoder",)


def _safetensors() -> Any:
    try:
        from safetensors.torch import save_file
    except ImportError:
        raise UserError(
            "--format safetensors", expected="the package safetensors", found="none", remedy="pip install safetensors"
        ) from None
    return save_file
