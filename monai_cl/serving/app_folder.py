"""A MONAI Label app as a folder: ``main.py``, and under ``model/`` a copy of the bundle that fits its weights."""

from __future__ import annotations

import difflib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

from monai_cl.data.records.results import read_results
from monai_cl.engines import class_names, dry_run, export_config, load_classifier, load_network
from monai_cl.engines.model_input import settings_of
from monai_cl.engines.recipes import PRESETS
from monai_cl.errors import UserError
from monai_cl.files import new_directory, write_atomically
from monai_cl.networks import read_about, save_weights
from monai_cl.networks.backbones import BACKBONES as SLICE_BACKBONES
from monai_cl.networks.volume.backbones import BACKBONES
from monai_cl.shipped import bundle_folder

SEGMENTATION, CLASSIFICATION = "segmentation", "classes"  # `format` of the prediction in a bundle's metadata
# what has to be, or should be, as in the run the weights are from
_OF_THE_RUN = (
    *("preset", "spacing", "window", "intensity", "patch_size", "backbone", "feature_size"),
    *("hidden_size", "mlp_dim", "num_heads"),
    *("fraction", "image_size", "pixel_size", "neighbours", "width", "classes", "features", "norm"),
    *("batch_size", "learning_rate", "weight_decay", "foreground_probability", "augmentation_probability"),
)


@dataclass(frozen=True)
class AppFolder:
    """The folder of an app.

    Attributes:
        folder: of the app.
        model: name of the bundle in it.
        task: ``segmentation`` or ``classes``.
        made: False where it existed before.
    """

    folder: Path
    model: str
    task: str
    made: bool


def lay_out_app(
    app: str | Path,
    bundle: str | Path,
    *,
    checkpoint: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> AppFolder:
    """Create the app, or use the existing one: what it has learnt since is kept.

    The copy's ``inference.yaml`` and ``train.yaml`` get the sizes of the run the checkpoint is from (``results.json``
    beside it), then the overrides; the weights are loaded once before anything is written.

    Args:
        app: folder of the app.
        bundle: name of a bundle of this project, or a bundle's folder.
        checkpoint: ``model.pt`` or a checkpoint of a run, or the run's folder; None: the bundle's ``models/model.pt``.
        overrides: key of ``inference.yaml`` or ``train.yaml`` -> value. ``probe`` is taken into the weights.

    Raises:
        UserError: no such bundle, one without a label map or class as result, no weights or weights that do not fit, a
            key that neither config has, or an existing app although weights or values were given.
    """
    source, app, options = _bundle_folder(bundle), Path(app).resolve(), dict(overrides or {})
    name, task = source.name, task_of(source)
    target = app / "model" / name
    if target.exists():
        if checkpoint is not None or options:
            what = "--checkpoint" if checkpoint is not None else f"--{next(iter(options))}"
            raise UserError(
                target,
                expected="no existing app",
                found="one",
                remedy=f"start it without {what}, or make another with --app",
            )
        return AppFolder(app, name, task, made=False)
    weights = _weights_file(source, checkpoint)
    configs = ["inference"] + (["train"] if task == SEGMENTATION else [])
    known = {
        config: set(ConfigParser.load_config_files(str(source / "configs" / f"{config}.yaml"))) for config in configs
    }
    _check_keys(options, set().union(*known.values()), source)
    # the encoder of a probe was trained by another bundle
    values = {
        **_run_values(weights, bundle=None if options.get("probe") else name),
        **{key: _absolute(value) for key, value in options.items()},
    }
    # scans come one by one, and results go to the viewer
    values |= {"datalist": [], "dicom_seg": False}
    probe = values.pop("probe", None)
    if task == CLASSIFICATION:
        values.setdefault("classes", class_names(weights, probe=probe))
    with new_directory(target) as staged:
        (staged / "configs").mkdir()
        for config in configs:
            fitting = {key: value for key, value in values.items() if key in known[config]}
            _write_config(source, staged / "configs" / f"{config}.yaml", config=config, values=fitting)
        for file in ("multi_gpu_train.yaml", "logging.conf"):
            if (source / "configs" / file).is_file():
                shutil.copyfile(source / "configs" / file, staged / "configs" / file)
        network = _loaded_network(staged / "configs" / "inference.yaml", weights, task=task, probe=probe)
        (staged / "models").mkdir()
        about = read_about(weights)
        if about is not None and probe is not None:
            about = {**about, "kind": "classification"}
        save_weights(network.state_dict(), staged / "models" / "model.pt", about)
        _write_metadata(source, staged)
        # before the bundle, whose presence means that the app is complete
        if not (app / "main.py").exists():
            write_atomically(app / "main.py", Path(__file__).with_name("app_main.py").read_bytes())
    return AppFolder(app, name, task, made=True)


def bundles_in(app: str | Path) -> list[str]:
    """Names of the bundles in an app."""
    return sorted(path.parent.parent.name for path in Path(app).glob("model/[!.]*/configs/inference.yaml"))


def task_of(bundle: str | Path) -> str:
    """What a bundle predicts: ``segmentation`` or ``classes``.

    Raises:
        UserError: neither.
    """
    file = Path(bundle) / "configs" / "metadata.json"
    try:
        outputs = json.loads(file.read_text(encoding="utf-8"))["network_data_format"]["outputs"]
        output_format = outputs["pred"]["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(file, expected="a bundle's metadata with the output pred", found=f"none ({error})") from error
    if output_format not in (SEGMENTATION, CLASSIFICATION):
        raise UserError(
            bundle, expected="a bundle that segments or classifies", found=f"one whose output is {output_format}"
        )
    return output_format


def trainable(bundle: str | Path) -> bool:
    """Whether a bundle trains on labelled scans alone, as those that were submitted to a server.

    Args:
        bundle: its folder.
    """
    file = Path(bundle) / "configs" / "train.yaml"
    train = ConfigParser.load_config_files(str(file)).get("train") if file.is_file() else None
    return isinstance(train, Mapping) and "dataset_data" in train


def _bundle_folder(bundle: str | Path) -> Path:
    folder = Path(bundle) if (Path(bundle) / "configs").is_dir() else bundle_folder(str(bundle))
    if not (folder / "configs" / "inference.yaml").is_file():
        raise UserError(folder, expected="a bundle with configs/inference.yaml", found="none")
    return folder.resolve()


def _weights_file(bundle: Path, checkpoint: str | Path | None) -> Path:
    file = bundle / "models" / "model.pt" if checkpoint is None else Path(checkpoint)
    file = file / "model.pt" if file.is_dir() else file
    if not file.is_file():
        raise UserError(
            file, expected="the weights of a trained model", found="none", remedy="name them with --checkpoint"
        )
    return file


def _check_keys(given: Mapping[str, Any], known: set[str], bundle: Path) -> None:
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, sorted(known), n=1)
            raise UserError(
                f"--{key}: {bundle.name} has no such key" + (f"; did you mean --{near[0]}?" if near else "")
            )


def _run_values(weights: Path, *, bundle: str | None) -> dict[str, Any]:
    """What the weights say of themselves, and the record of the run that wrote them; empty where there is neither.

    Args:
        weights: the file.
        bundle: whose run it has to be; None: of any.
    """
    about = read_about(weights) or {}
    trained = {k: v for k, v in settings_of(about).items() if k in (*_OF_THE_RUN, "organs")}
    if trained.get("preset") not in PRESETS:  # a method of another bundle
        trained.pop("preset", None)
    if trained.get("backbone") not in (None, *SLICE_BACKBONES, *BACKBONES):
        del trained["backbone"]  # a network of the user, of which the name alone is known
    if not (weights.parent / "results.json").is_file():
        return trained
    results = read_results(weights.parent)
    if bundle is not None and results.get("bundle") not in (None, bundle):
        raise UserError(weights, expected=f"weights of {bundle}", found=f"those of {results['bundle']}")
    values = {key: results["config"][key] for key in _OF_THE_RUN if key in results["config"]}
    values = {key: value for key, value in values.items() if not _is_expression(value)}
    datasets = list((results["data_list"].get("datasets") or {}).values())
    if results["kind"] == SEGMENTATION and len(datasets) == 1:
        values["organs"] = [str(name) for name in datasets[0]["labels"][1:]]
    return {key: value for key, value in values.items() if value is not None} | trained


def _is_expression(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("$", "@", "%"))


def _absolute(value: Any) -> Any:
    """The server runs in another folder: existing paths become absolute, also inside a mapping."""
    if isinstance(value, Mapping):
        return {key: _absolute(inner) for key, inner in value.items()}
    if isinstance(value, str) and value and not _is_expression(value) and Path(value).exists():
        return str(Path(value).resolve())
    return value


def _write_config(source: Path, file: Path, *, config: str, values: Mapping[str, Any]) -> None:
    # what is None cannot be given as an option
    given = {key: value for key, value in values.items() if value is not None}
    export_config(str(source), str(file), config=config, overrides=given)
    copied = {**ConfigParser.load_config_files(str(file)), **{key: None for key in values.keys() - given.keys()}}
    # the root of the copy is where the copy lies
    copied["bundle_root"] = ConfigParser.load_config_files(str(source / "configs" / file.name))["bundle_root"]
    ConfigParser.export_config_file(copied, str(file), fmt="yaml")


def _loaded_network(config: Path, weights: Path, *, task: str, probe: str | None) -> torch.nn.Module:
    parser = ConfigParser()
    parser.read_config(str(config))
    if "checkpoint" in parser:  # whose record gives the settings that nobody has stated
        parser["checkpoint"] = str(weights)
    network = parser.get_parsed_content("network_def")
    if task == SEGMENTATION:
        return load_network(network, weights, model=_model(parser))
    load_classifier(network, weights, probe=probe, model=_model(parser))
    channels = 2 * parser.get_parsed_content("neighbours") + 1
    dry_run(network, channels=channels, size=parser.get_parsed_content("image_size"))
    return network


def _model(parser: ConfigParser) -> dict[str, Any] | None:
    """The settings that are compared with those of the weights; a bundle from elsewhere has none."""
    return parser.get_parsed_content("model") if "model" in parser else None


def _write_metadata(source: Path, target: Path) -> None:
    """The bundle's metadata with the channels and sizes of the copy: MONAI Label reads the organs' names there."""
    metadata = json.loads((source / "configs" / "metadata.json").read_text(encoding="utf-8"))
    parser = ConfigParser()
    parser.read_config(str(target / "configs" / "inference.yaml"))
    image, pred = (
        metadata["network_data_format"][side][key] for side, key in (("inputs", "image"), ("outputs", "pred"))
    )
    if pred["format"] == SEGMENTATION:
        names = ["background", *map(str, parser.get_parsed_content("organs"))]
        pred["channel_def"] = {str(number): name for number, name in enumerate(names)}
        pred["num_channels"] = len(names)
        sizes = "patch_size" if "patch_size" in parser else "image_size"  # a network of volumes, or of slices
        sides = parser.get_parsed_content(sizes)
        image["spatial_shape"] = pred["spatial_shape"] = [sides] * 2 if isinstance(sides, int) else list(sides)
    else:
        image["spatial_shape"] = [parser.get_parsed_content("image_size")] * 2
        image["num_channels"] = 2 * parser.get_parsed_content("neighbours") + 1
        classes = [str(name) for name in parser.get_parsed_content("classes")]
        metadata["label_classes"], pred["channel_def"] = f"0 {classes[0]}, 1 {classes[1]}", {"0": classes[1]}
        image["channel_def"] = {str(number): f"axial slice {number}" for number in range(image["num_channels"])}
    content = json.dumps(metadata, indent=4) + "\n"
    write_atomically(target / "configs" / "metadata.json", content.encode("utf-8"))
