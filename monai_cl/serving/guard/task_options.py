"""What a client may set of a task: inference, training, scoring, the next sample.

MONAI Label copies every key of a request into its own: ``image`` would then be any file of the machine,
``bundle_path`` a folder to import from, ``tracking_uri`` a text that a bundle's config evaluates. Here a task gets the
options that it has, with values of their type; other keys are left out, as viewers send more than a task has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai_cl.serving.guard.plain_names import name_fault


@dataclass(frozen=True)
class Option:
    """What an option takes, in words, and how a value is converted: any ``ValueError`` or ``TypeError`` refuses it."""

    expected: str
    convert: Callable[[Any], Any]


def _require(good: object) -> None:
    if not good:
        raise ValueError


def _integer(lowest: int) -> Option:
    def convert(value: Any) -> int:
        _require(not isinstance(value, bool) and float(value) == int(float(value)))
        _require(lowest <= int(float(value)) < 2**31)
        return int(float(value))

    return Option(f"an integer from {lowest}", convert)


def _one_of(*values: str) -> Option:
    def convert(value: Any) -> str:
        _require(value in values)
        return value

    return Option(f"one of {', '.join(values)}", convert)


def _matching(pattern: str, expected: str) -> Option:
    def convert(value: Any) -> str:
        _require(re.fullmatch(pattern, str(value)))
        return str(value)

    return Option(expected, convert)


def _share(value: Any) -> float:
    _require(not isinstance(value, bool) and (0 <= float(value) < 1 or float(value) == -1))
    return float(value)


def _switch(value: Any) -> bool:
    switches = {True: True, False: False, "true": True, "false": False}
    return switches[value.lower() if isinstance(value, str) else value]


def _name(value: Any) -> str:
    _require(isinstance(value, str) and not name_fault(value))
    return value


def _names(value: Any) -> list[str]:
    _require(isinstance(value, list))
    return [_name(entry) for entry in value]


def _plain(value: Any) -> None:
    """Texts anywhere in a value that is not used."""
    if isinstance(value, str):
        _require(not value or not name_fault(value))
    elif isinstance(value, (dict, list)):
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            _plain(part)


def _weights(value: Any) -> str:
    _require(_name(value).endswith(".pt"))
    return value


def _segments(value: Any) -> list[dict[str, Any]]:
    _require(isinstance(value, list))
    for entry in value:
        _require(isinstance(entry, dict) and isinstance(entry.get("name", ""), str))
        for key in {"idx", "id"} & entry.keys():
            _integer(0).convert(entry[key])
    return value


_TEXT = Option("a text", str)
SWITCH = Option("true or false", _switch)
LABEL_INFO = Option('a list such as [{"name": "spleen", "idx": 1}]', _segments)
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_OF_A_TASK = {
    "client_id": _TEXT,
    "logging": Option(f"one of {', '.join(LEVELS)}", lambda value: _one_of(*LEVELS).convert(str(value).upper())),
    "gpus": _matching(r"all|\d{1,3}(,\d{1,3})*", "all, or numbers of GPUs with commas between"),
    "multi_gpu": SWITCH,
}
_INFER = {
    **_OF_A_TASK,
    "model_filename": Option("the name of a .pt file", _weights),
    "result_extension": _one_of(".nii.gz", ".nii", ".nrrd", ".seg.nrrd", ".mha"),
    "result_dtype": _one_of("uint8", "uint16", "int16", "int32", "float32"),
    "result_compress": SWITCH,
    "save_label": SWITCH,
    "label_tag": Option("a plain name", _name),
    "label_info": LABEL_INFO,
}
OPTIONS: dict[str, dict[str, Option]] = {
    "infer": _INFER,
    "batch": {
        **_INFER,
        "images": Option("a list of names", _names),
        "max_workers": _integer(0),
        "max_batch_size": _integer(0),
    },
    "train": {
        **_OF_A_TASK,
        "model_filename": _INFER["model_filename"],
        "pretrained": SWITCH,
        "max_epochs": _integer(1),
        "epoch_length": _integer(1),
        "val_split": Option("a number from 0 to below 1", _share),
    },
    "scoring": {
        **_OF_A_TASK,
        "max_workers": _integer(0),
        "max_samples": _integer(0),
        "simulation_size": _integer(2),
    },
    "sample": {"client_id": _OF_A_TASK["client_id"]},
}
_LISTS = ("images", "label_info")
_PLAIN = Option("plain names", _plain)


def task_options(task: str, given: Mapping[str, Any], *, devices: Sequence[str] | None = None) -> dict[str, Any]:
    """The options of a task among those a client sends, with values of their type.

    Args:
        task: key of `OPTIONS`.
        given: as sent; of a list, which a viewer takes from what it may choose from, the first counts. What is empty
            is as if it were not sent.
        devices: names of the devices there are; None: any will do.

    Raises:
        ValueError: names the option, what is expected and what came.
    """
    device = _TEXT if devices is None else _one_of(*devices)
    known = OPTIONS[task] if task == "sample" else {**OPTIONS[task], "device": device}
    options: dict[str, Any] = {}
    for key, option in known.items():
        value = given.get(key)
        if isinstance(value, list) and key not in _LISTS:
            value = value[0] if value else None
        if value in (None, ""):
            continue
        options[key] = checked(key, value, option)
    return options


def check_left_out(task: str, given: Mapping[str, Any]) -> None:
    """Check the texts of what `task_options` leaves out.

    Raises:
        ValueError: one is not a plain name; names its key.
    """
    for key in given.keys() - {*OPTIONS[task], "device"}:
        checked(key, given[key], _PLAIN)


def checked(key: str, value: Any, option: Option) -> Any:
    """A value converted.

    Raises:
        ValueError: names the option, what is expected and what came.
    """
    try:
        return option.convert(value)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise ValueError(f"{key}: expected {option.expected}, got {str(value)[:80]!r}") from error
