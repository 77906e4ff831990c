"""In what runs differ beside start, seed, fold and place: what must agree for a difference to be that of the start."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from monai_cl.report.runs import Run

# entries of a configuration that change neither what is trained nor on what: places, the start itself, the seed and the
# fold (pooled on purpose), workers, and what is computed alike to rounding. The number of steps is that of the results.
_UNRELATED = frozenset(
    (
        *("imports", "initialize", "run", "finalize", "finetune", "probe", "features", "bundle_root", "model", "lists"),
        *("dataset_dir", "data_list", "allow_outside", "store_dir", "output_dir", "evaluation_dir", "checkpoint"),
        *("pretrained_encoder", "encoder_learning_rate_factor", "allow_overlap", "overlap", "resume", "seed", "fold"),
        "allow_other_preprocessing",
        *("encoder", "imagenet_weights", "about", "finetune_about", "settings_from", "start", "fold_seed"),
        *("device", "invert_device", "num_workers", "prepare_workers", "worker_start", "prefetch", "process_timeout"),
        *("epochs", "iterations", "overlay_cases", "fused_attention", "fused_optimizer", "channels_last", "compile"),
    )
)
_UNRELATED_BELOW = (
    "train.recorder.",
    "train.handlers.",
    "validate.recorder.",
    "validate.handlers.",
    "validate.pictures.",
)
_MOST_NAMED = 4
_MOST_DIFFERING = 6
UNSET = "not set"


def flat_config(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """The entries of a configuration as text, each with its path such as ``network_def.feature_size``."""
    if isinstance(value, Mapping) and value:
        return [pair for key, item in value.items() for pair in flat_config(item, f"{prefix}{key}.")]
    return [(prefix.rstrip("."), str(value))]


def differing_settings(runs: Sequence[Run], *, ignored: Collection[str] = ()) -> list[dict[str, str]]:
    """For each run its value of every setting in which the runs differ.

    A setting that only some runs have, because others are of another version of the configuration, is left out unless
    those that have it differ.

    Args:
        runs: to compare.
        ignored: settings that do not count.
    """
    settings = [_settings(run) for run in runs]
    keys = [key for key in dict.fromkeys(key for own in settings for key in own) if key not in ignored]
    different = [key for key in keys if len({own[key] for own in settings if key in own}) > 1]
    return [{key: own.get(key, UNSET) for key in different} for own in settings]


def settings_text(settings: Mapping[str, str]) -> str:
    """``"iterations 10, network_def._target_ UNet"``; of many settings the first four."""
    named = [f"{key} {_shown(value)}" for key, value in settings.items()]
    rest = len(named) - _MOST_NAMED
    return ", ".join(named[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def differing_text(settings: Sequence[Mapping[str, str]]) -> str:
    """``"iterations 10, 90; network_def._target_ UNet, UNETR"``: every setting with its values; of many the first six.

    Args:
        settings: of :func:`differing_settings`.
    """
    keys = list(settings[0])
    shown = [", ".join(map(_shown, dict.fromkeys(own[key] for own in settings))) for key in keys[:_MOST_DIFFERING]]
    named = [f"{key} {values}" for key, values in zip(keys, shown)]
    rest = len(keys) - len(named)
    return "; ".join([*named, *([f"and {rest} more"] if rest else [])])


def _shown(value: str) -> str:
    """A value for people: lists without quotes, and no formulas."""
    return "computed" if value.startswith("$") else value.replace("'", "")


def _settings(run: Run) -> dict[str, str]:
    results = run.results
    found = {key: str(results[key]) for key in ("iterations", "bundle") if results.get(key) is not None}
    for key, value in flat_config(results["config"]):
        if key.partition(".")[0] not in _UNRELATED and not f"{key}.".startswith(_UNRELATED_BELOW):
            found[key] = value
    return found
