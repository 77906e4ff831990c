"""What a file of weights says of the input it takes: the defaults of a config, and the check of a user's values."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_cl.data.io.modality import scales_of
from monai_cl.errors import UserError
from monai_cl.networks import describe_network, read_about
from monai_cl.networks.description import differences

logger = logging.getLogger(__name__)

# record's entry -> (key of the bundles' configs, unit)
_INPUT = {
    "spacing": ("spacing", " mm"),
    "orientation": ("orientation", ""),
    "window": ("window", " HU"),
    "modality": ("modality", ""),
    "intensity": ("intensity", ""),
    "image_size": ("image_size", " pixels"),
    "box_size": ("box_size", " voxels"),
    "pixel_size": ("pixel_size", " mm"),
    "neighbours": ("neighbours", ""),
}
_OPTIONS = {"img_size": "patch_size"}  # argument of a network -> key of the bundles' configs, where it is another
_ABSENT = object()


def from_model(file: str | Path | None, key: str, default: Any) -> Any:
    """A setting as the record of a file of weights has it; for the default values in a bundle's config.

    Args:
        file: file of weights; None, or one that is not there or has no record, gives ``default``.
        key: of the config: an entry of the preprocessing, an argument of the network, ``organs`` or ``preset``.
        default: for files of earlier versions.
    """
    about = read_about(file) if file not in (None, "") else None
    value = _ABSENT if about is None else settings_of(about).get(key, _ABSENT)
    return default if value is _ABSENT else value


def settings_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a record of a model has, by their key in the bundles' configs.

    Args:
        about: see `monai_cl.networks.read_about`.
    """
    arguments = (about.get("network") or {}).get("arguments") or {}
    found = {_OPTIONS.get(name, name): value for name, value in arguments.items()}
    found |= about.get("preprocessing") or {}
    if isinstance(scales := found.get("modality"), Mapping):
        found["intensity"] = dict(scales)
    found |= {key: about[key] for key in ("organs", "preset") if about.get(key) is not None}
    return found


def continued(record: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a run that was resumed, with what its weights had learned from before: the list may be another.

    Args:
        record: of `monai_cl.data.records.model_record.model_record`.
        earlier: of the checkpoint that was resumed.

    Returns:
        With the scans, data lists and modalities of both, those of ``record`` first.
    """
    own, before = record["training"], earlier.get("training") or {}
    lists = {entry.get("sha256") for entry in own["data_lists"]}
    known = {json.dumps(scan, sort_keys=True) for scan in own["scans"]}
    more = [scan for scan in before.get("scans") or () if json.dumps(scan, sort_keys=True) not in known]
    training = {
        **own,
        "data_lists": [
            *own["data_lists"],
            *(entry for entry in before.get("data_lists") or () if entry.get("sha256") not in lists),
        ],
        "scans": [*own["scans"], *more],
    }
    preprocessing, trained = dict(record["preprocessing"]), (earlier.get("preprocessing") or {}).get("modality")
    if trained and (modality := preprocessing.get("modality")) and modality != trained:
        preprocessing["modality"] = dict(sorted({**scales_of(trained), **scales_of(modality)}.items()))
    return {**record, "training": training, "preprocessing": preprocessing}


def check_model(
    file: str | Path,
    model: Mapping[str, Any],
    *,
    allow_other_preprocessing: bool = False,
    may_allow: bool = False,
    remedy: str | None = None,
) -> dict[str, Any] | None:
    """Compare the settings of a run with those in a file of weights, before anything is loaded.

    Args:
        file: file of weights. One without a record, which is written elsewhere or by an earlier version, is accepted,
            and the log says so.
        model: of the run: ``network``, ``preprocessing``, ``organs``; see `monai_cl.engines.RunRecorder`.
        allow_other_preprocessing: accept another preprocessing; not another network, nor other organs.
        may_allow: whether the run has that option, for the message.
        remedy: what to do about a conflict; None: the remedy of a file that is loaded by a config.

    Returns:
        The record, or None.

    Raises:
        UserError: the run's values contradict those of the file; names both and what to do.
    """
    if not Path(file).is_file():
        raise UserError(file, found="no such checkpoint file", remedy="correct the path")
    about = read_about(file)
    if about is None:
        _warn_of_unknown_input(file, model)
        return None
    conflict = next(conflicts(about, model, preprocessing=not allow_other_preprocessing), None)
    if conflict is not None:
        key, trained, own = conflict
        what = key.replace("_", " ")
        remedy = remedy or f"leave --{key} out, and the file's is used"
        if key == "modality":
            remedy = (
                "use weights that were trained on such scans, or leave --intensity out, or correct the list's modality"
            )
        if key == "organs":
            remedy += "; a data list gets that order by its label_map"
        elif may_allow and key in _INPUT:
            remedy += ", or allow the difference with --allow_other_preprocessing True"
        unit = _INPUT.get(key, ("", ""))[1]
        raise UserError(
            file, expected=f"the {what} it was trained with, {_text(trained)}{unit}", found=_text(own), remedy=remedy
        )
    return about


def _warn_of_unknown_input(file: str | Path, model: Mapping[str, Any]) -> None:
    own = model.get("preprocessing") or {}
    used = [f"{key} {_text(own[name])}{unit}" for name, (key, unit) in _INPUT.items() if own.get(name) is not None]
    logger.warning(
        "%s: does not say what it was trained on; the config's own settings are used%s%s",
        file,
        ": " if used else "",
        ", ".join(used),
    )


def conflicts(
    about: Mapping[str, Any], model: Mapping[str, Any], *, preprocessing: bool = True
) -> Iterator[tuple[str, Any, Any]]:
    """Settings with two values: (key of the config, value in the record, value of the run).

    Args:
        about: record of a file of weights.
        model: of the run, see `check_model`.
        preprocessing: whether to compare that too.
    """
    trained, own = about.get("preprocessing") or {}, model.get("preprocessing") or {}
    for name, (key, _) in _INPUT.items():
        same = _knows if name == "modality" else _same
        if preprocessing and name in trained and name in own and not same(trained[name], own[name]):
            yield key, trained[name], own[name]
    network = model.get("network")
    if network is not None:
        of_file = (about.get("network") or {}).get("arguments") or {}
        of_run = network if isinstance(network, Mapping) else describe_network(network)
        for name, values in differences(of_file, of_run["arguments"]).items():
            yield _OPTIONS.get(name, name), *values
    named, organs = about.get("organs"), model.get("organs")
    if named and organs and list(named) != [str(organ) for organ in organs]:
        yield "organs", list(named), [str(organ) for organ in organs]


def _knows(trained: Any, own: Any) -> bool:
    """Whether weights were trained on every modality of a run, each on the same scale."""
    return own is None or scales_of(own).items() <= scales_of(trained).items()


def _same(one: Any, other: Any) -> bool:
    """Equal numbers to rounding; a number for three edges is three equal ones."""
    if isinstance(one, (list, tuple)) or isinstance(other, (list, tuple)):
        first, second = (list(value) if isinstance(value, (list, tuple)) else [value] for value in (one, other))
        longest = max(len(first), len(second))
        first, second = (value * longest if len(value) == 1 else value for value in (first, second))
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    return one == other


def _text(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} by {scale}" for key, scale in value.items())
    return f"{value:g}" if isinstance(value, float) else f"{value}"
