"""A model card: what a file of weights is and what it is not, from its record alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from monai_cl._version import __version__

UNKNOWN = "not recorded"
_CLASSES = ("conv_op", "norm_op", "nonlin")  # names of classes among a PlainConvUNet's arguments
_EARLIER = ("swin_unetr_1_4", "swin_unetr_v2")  # of `EarlierPatchMerging`
_LIBRARY = {"monai": "monai", "timm": "timm", "nnunet": "nnunetv2", "safetensors": "safetensors"}


def public_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without what names patients or tells where data come from: ids of scans become their number.

    Args:
        record: see `read_about`.
    """
    kept = dict(record)
    if isinstance(training := kept.get("training"), Mapping):
        scans = training.get("scans")
        kept["training"] = {key: value for key, value in training.items() if key != "scans"}
        kept["training"]["data_lists"] = [
            {key: value for key, value in one.items() if key != "source"} for one in training.get("data_lists") or []
        ]
        if scans is not None:
            kept["training"]["scan_count"] = len(scans)
    if isinstance(encoder := kept.get("encoder"), Mapping):
        kept["encoder"] = {key: value for key, value in public_record(encoder).items() if key != "file"}
    return kept


def model_card(
    outgoing: Any,
    *,
    file: str,
    layout: str,
    record: Mapping[str, Any],
    sha256: str,
    results: Mapping[str, Any] | None = None,
) -> str:
    """A model card in Markdown with the front matter of Hugging Face's.

    Args:
        outgoing: what is written, an `Outgoing` of `monai_cl.networks.foreign.outgoing`.
        file: name of the file that it is written to, without its folder.
        layout: ``monai``, ``timm``, ``nnunet`` or ``safetensors``.
        record: of the file that the weights are from, see `public_record`; {} where it has none.
        sha256: of that file.
        results: ``results.json`` of the run; None: there is none beside the file.
    """
    import yaml

    preprocessing, training = record.get("preprocessing") or {}, record.get("training") or {}
    network = record.get("network") or {}
    licences = _licences(training)
    modality = preprocessing.get("modality")
    head = {
        "license": "other",
        "license_name": f"of the data: {'; '.join(licences) or UNKNOWN}",
        "library_name": _LIBRARY[layout],
        "tags": [
            "medical-imaging",
            *(modality if isinstance(modality, Mapping) else [modality] if modality else []),
            *([str(record["kind"])] if record.get("kind") else []),
            "monai_cl",
        ],
    }
    architecture = outgoing.network or str(network.get("class") or UNKNOWN).rsplit(".", 1)[-1]
    data = [_table(("list", "sha256", "scans"), _lists(training))] if training.get("data_lists") else [UNKNOWN]
    versions = ", ".join(f"{name} {version}" for name, version in (training.get("versions") or {}).items() if version)
    sections = {
        "Network": [
            _rows({"network": architecture, "parts": ", ".join(outgoing.parts), **(network.get("arguments") or {})}),
            *_of_nnunet(outgoing, preprocessing),
        ],
        "Loading": [f"```python\n{loading_code(outgoing, file=file, layout=layout, record=record)}\n```"],
        "Input": [_rows(preprocessing) if preprocessing else UNKNOWN],
        "Data": [*data, f"Licence of the data: {'; '.join(licences) or UNKNOWN}."],
        "Training": [
            _rows(
                {
                    "bundle": record.get("bundle"),
                    "method or preset": record.get("preset"),
                    "output channels from 1": record.get("organs"),
                    "scans": training.get("scan_count"),
                    "iterations": training.get("iterations"),
                    "seed": training.get("seed"),
                    "versions": versions,
                    "commit": training.get("commit"),
                    "started from": (record.get("encoder") or {}).get("sha256") or "no encoder that is recorded",
                    "exported from": f"a file with sha256 {sha256}, by monai_cl {__version__}",
                }
            )
        ],
        "Results": [_results(results)],
        "Limits": [
            "For research. This is not a medical device, and nothing here says that it is fit for diagnosis or "
            "treatment. It is known for the input and the data above only; other scanners, protocols, ages, diseases "
            "and modalities were not tested unless Results names them. Bias by sex, age and origin of the patients: "
            f"{UNKNOWN}."
        ],
    }
    body = "\n".join(f"## {title}\n" + "\n\n".join(parts) + "\n" for title, parts in sections.items())
    front = yaml.safe_dump(head, sort_keys=False, allow_unicode=True)
    return f"---\n{front}---\n\n# {file}: {architecture} of monai_cl\n\n{body}"


def loading_code(outgoing: Any, *, file: str, layout: str, record: Mapping[str, Any]) -> str:
    """Lines of Python that load the file in the folder they are run in, as ``network`` or else as ``weights``.

    Args:
        outgoing: what is in the file, as for `model_card`.
        file: its name.
        layout: see `model_card`.
        record: see `model_card`.
    """
    arguments = (record.get("network") or {}).get("arguments") or {}
    read = f"torch.load({file!r}, weights_only=True)"
    lines = ["import torch"]
    if layout == "safetensors":
        read, lines = f"load_file({file!r})", ["from safetensors.torch import load_file"]
    if layout == "nnunet":
        kwargs = {
            "input_channels": outgoing.tensors["encoder.stages.0.0.convs.0.conv.weight"].shape[1],
            "num_classes": len(outgoing.tensors.get("decoder.seg_layers.0.bias", (0, 0))),
            **outgoing.arguments["arch_kwargs"],
        }
        text = {key: value if key in _CLASSES else repr(value) for key, value in kwargs.items()}
        lines += ["from dynamic_network_architectures.architectures.unet import PlainConvUNet"]
        lines += ["", "network = PlainConvUNet(", *(f"    {key}={value}," for key, value in text.items()), ")"]
        return "\n".join([*lines, *_loaded(f'{read}["network_weights"]', outgoing)])
    if outgoing.network.startswith("resnet"):
        chans = outgoing.arguments["in_chans"]
        lines += [
            "import timm",
            "",
            f'network = timm.create_model("{outgoing.network}", in_chans={chans}, num_classes=0)',
        ]
        lines += _loaded(read, outgoing)
        if "mean" in outgoing.arguments:
            mean, std = outgoing.arguments["mean"], outgoing.arguments["std"]
            lines.append(
                f"# features = network((slices - {mean:g}) / {std:g}), slices (B, {chans}, H, W) as under Input"
            )
        return "\n".join(lines)
    if call := _monai_call(outgoing.network, {**arguments, **outgoing.arguments}):
        lines += [f"from monai.networks.nets import {outgoing.network}", "", f"network = {call}"]
        if arguments.get("backbone") in _EARLIER:
            lines.append("# in MONAI 0.9 to 1.4: from 1.5 on it merges patches in another way and gives other features")
        return "\n".join([*lines, *_loaded(read, outgoing)])
    return "\n".join([*lines, "", f"weights = {read}  # name -> tensor"])


def _loaded(read: str, outgoing: Any) -> list[str]:
    if outgoing.whole:
        return [f"network.load_state_dict({read})"]
    note = f"  # {', '.join(outgoing.parts)}: the rest starts at random"
    return [f"network.load_state_dict({read}, strict=False){note}"]


def _monai_call(network: str, arguments: Mapping[str, Any]) -> str | None:
    """What builds MONAI's network; None where the record does not say enough."""
    own = {key: value for key, value in arguments.items() if key != "backbone"}
    size = own.pop("feature_size", None)
    if arguments.get("backbone") == "swin_unetr_v2":
        own["use_v2"] = True
    if network == "BasicUNet":
        if "features" not in own:
            return None
        own = {
            "spatial_dims": 2,
            "in_channels": own["in_channels"],
            "out_channels": own.get("out_channels", 2),
            "features": tuple(own["features"]),
            "act": ("relu", {"inplace": True}),
            "norm": own.get("norm", "batch"),
            "upsample": "nontrainable",
        }
    elif size is None:
        return None
    elif network == "SegResNet":
        own = {"spatial_dims": 3, "init_filters": size, **own}
    elif network == "DynUNet":
        levels = [min(size * 2**level, max(320, size)) for level in range(5)]
        own |= {"kernel_size": [3] * 5, "strides": [1, 2, 2, 2, 2], "upsample_kernel_size": [2] * 4, "filters": levels}
        own = {"spatial_dims": 3, **own}
    else:
        own["feature_size"] = size
    return f"{network}({', '.join(f'{key}={value!r}' for key, value in own.items())})"


def _of_nnunet(outgoing: Any, preprocessing: Mapping[str, Any]) -> Iterator[str]:
    if (kwargs := outgoing.arguments.get("arch_kwargs")) is None:
        return
    spacing, patch = ((preprocessing.get(key) or [])[::-1] for key in ("spacing", "patch_size"))
    yield (
        "`nnUNetv2_train -pretrained_weights` takes the file where the plans' configuration has the `architecture` "
        f"below. The training's `spacing` was {spacing or UNKNOWN}, its `patch_size` {patch or UNKNOWN}. All axes are "
        "nnU-Net's: z, y, x."
    )
    # one line for each argument
    plain = {key: value for key, value in outgoing.arguments.items() if key != "arch_kwargs"}
    kwargs = ",\n ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in kwargs.items())
    yield f'```json\n{{"architecture": {json.dumps(plain)[:-1]}, "arch_kwargs": {{\n {kwargs}}}}}}}\n```'
    if "decoder" not in outgoing.parts:
        yield (
            "There is no trained decoder in the file, and nnU-Net's `-pretrained_weights` refuses weights without one: "
            "load it in a trainer of your own, as under Loading."
        )


def _lists(training: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(one.get("name"), one.get("sha256"), one.get("cases")) for one in training["data_lists"]]


def _licences(training: Mapping[str, Any]) -> list[str]:
    datasets = [one.get("datasets") or {} for one in training.get("data_lists") or []]
    found = [part.get("licence") for sets in datasets for part in sets.values() if isinstance(part, Mapping)]
    return list(dict.fromkeys(str(licence) for licence in found if licence))


def _results(results: Mapping[str, Any] | None) -> str:
    metrics = (results or {}).get("metrics") or {}
    if "mean_dice" in metrics:
        organs = {f"Dice, {organ}": _number(value) for organ, value in (metrics.get("dice") or {}).items()}
        return _rows(
            {"mean Dice": _number(metrics["mean_dice"]), "cases": len(metrics.get("per_case") or []) or None, **organs}
        )
    if "auc" in metrics:
        interval = [_number(value) for value in metrics.get("auc_interval") or []]
        patients = metrics.get("patients") or len(metrics.get("per_patient") or []) or None
        return _rows({"AUC": _number(metrics["auc"]), "interval": interval or None, "patients": patients})
    return UNKNOWN


def _number(value: Any) -> Any:
    return f"{value:.4f}" if isinstance(value, float) else value


def _rows(values: Mapping[str, Any]) -> str:
    return _table(("what", "value"), list(values.items()))


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value in (None, [], ""):
        return UNKNOWN
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
