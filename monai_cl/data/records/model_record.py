"""The record that a file of weights carries: what the model is, which input it takes, what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from monai_cl.data.records.results import git_state, installed_versions

_OF_THE_INPUT = ("spacing", "window", "patch_size")
_OF_UNETR = ("feature_size", "hidden_size", "mlp_dim", "num_heads")
_OF_A_LIST = ("name", "source", "sha256", "fold", "label_fraction", "datasets", "classes")


def model_record(
    *,
    kind: str,
    bundle: str | None,
    network: Mapping[str, Any],
    data_list: Mapping[str, Any],
    iterations: int,
    seed: int,
    method: str | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    organs: Sequence[str] = (),
    scans: Sequence[Mapping[str, Any]] | None = None,
    encoder: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What `monai_cl.networks.save_weights` puts into a file of weights.

    Args:
        kind: ``"pretraining"``, ``"segmentation"``, ``"classification"``, or ``"encoder"`` of an exported encoder.
        bundle: name of the bundle that trained.
        network: class and arguments, see `monai_cl.networks.describe_network`.
        data_list: what was trained on, see `monai_cl.engines.prepared_lists.describe`. Its path is left out: weights
            are handed on.
        iterations: steps behind these weights.
        seed: of the run.
        method: preset of MixCL, or method on slices.
        preprocessing: of the input: ``spacing`` (mm, None: the scan's own), ``orientation``, ``window`` (HU),
            ``patch_size`` (voxels) or ``image_size`` (pixels), ``modality``, ….
        organs: foreground classes in the order of the output's channels 1, 2, ….
        scans: of the training, see `monai_cl.engines.training_scans`; None: the ids of the data list.
        encoder: record of the encoder that the training started from; None: from scratch.
    """
    commit, dirty = _code()
    cases = data_list.get("training_cases") or []
    entries = {key: data_list.get(key) for key in _OF_A_LIST}
    entries |= {key: data_list[key] for key in ("target",) if key in data_list}
    return {
        "kind": kind,
        "bundle": bundle,
        "preset": method,
        "network": dict(network),
        "preprocessing": dict(preprocessing or {}),
        "organs": list(organs) or None,
        "training": {
            "data_lists": [{**entries, "cases": len(cases)}],
            "scans": [{"id": case} for case in cases] if scans is None else [dict(scan) for scan in scans],
            "iterations": int(iterations),
            "seed": int(seed),
            "versions": installed_versions(),
            "commit": commit,
            "uncommitted_changes": dirty,
        },
        "encoder": None if encoder is None else dict(encoder),
    }


def record_of_results(results: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a model of an earlier version, whose files carry none, from the ``results.json`` beside it.

    Args:
        results: see `monai_cl.data.read_results`. What its config does not have as plain values is left out.
    """
    config, data_list = results["config"], results["data_list"]
    preprocessing = {key: config[key] for key in _OF_THE_INPUT if key in config and not _is_expression(config[key])}
    arguments = {key: config[key] for key in _OF_UNETR if key in config and not _is_expression(config[key])}
    if "patch_size" in preprocessing:
        arguments["img_size"] = preprocessing["patch_size"]
    record = model_record(
        kind=results["kind"],
        bundle=results.get("bundle"),
        network={"class": None, "arguments": arguments},
        data_list=data_list,
        iterations=results.get("iterations") or 0,
        seed=results["seed"],
        method=data_list.get("preset") or data_list.get("method"),
        preprocessing={**preprocessing, "orientation": "RAS", "modality": "CT"},
    )
    code = {"commit": results.get("git_commit"), "uncommitted_changes": results.get("git_dirty")}
    return {**record, "training": {**record["training"], "versions": results["versions"], **code}}


def _is_expression(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("$", "@", "%"))


@lru_cache(maxsize=1)
def _code() -> tuple[str | None, bool | None]:
    # of the code that was imported: what is committed while a run lasts is not part of it
    return git_state()
