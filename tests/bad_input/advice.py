"""What a message advises, read out of its text: commands, options and keys, and whether they exist where it is met."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from monai.bundle import ConfigParser

from monai_cl.cli.commands import Commands
from monai_cl.cli.words import find_command
from monai_cl.compat import fire_value
from monai_cl.data.datalist.schema import SCHEMA_FILE
from monai_cl.engines.launch.command_line import type_fault
from monai_cl.shipped import bundle_names, shipped_folder

# of torchrun, docker, pip and `monai.bundle run`
_FOREIGN = {"nproc_per_node", "shm-size", "ipc", "no-deps", "config_file"}
# the word after an option is its value where it looks like one
_OPTION = re.compile(r"(?<![\w-])--([a-zA-Z][\w-]*)(?:[ =](true|false|on|off|yes|no|[\d.]+)\b)?", re.IGNORECASE)
_COMMAND = re.compile(r"python -m monai_cl ([^;`\n]*)")
_QUOTED = re.compile(r"`(datalist|store|bundle)( [a-z_]+)[^`]*`")
_ELSEWHERE = re.compile(r"--([a-z_]+) \S+ for ((?:\w+, )*\w+ and \w+)")
_LIST_KEY = re.compile(r'(?:under|take|another) "(\w+)"|"(\w+)": ')


def advice_in(text: str) -> str:
    """The parts of a text that say what to do: what follows the first semicolon of each line."""
    return "\n".join(line.partition("; ")[2] for line in text.splitlines())


def advice_faults(advice: str, doors: Iterable[str]) -> list[str]:
    """What ``advice`` names that does not exist in every one of ``doors``.

    Args:
        advice: the text that says what to do.
        doors: where it is met: a command such as ``datalist validate``, or a config such as ``spleen_unetr_segmentation
            train``; options after it are left out. None of them: it must exist anywhere.
    """
    faults, of_commands = [], set(_FOREIGN)
    for match in _COMMAND.finditer(advice):
        faults += _command_faults(match[1])
        of_commands |= known_options(_named(match[1])[0]).keys()  # the text may go on with another option of it
    for group, name in _QUOTED.findall(advice):
        faults += _command_faults(group + name)
    for option, places in _ELSEWHERE.findall(advice):
        for place in re.split(", | and ", places):
            names = [f"{bundle} inference" for bundle in bundle_names()] if place == "inference" else [place]
            faults += [f"{name} has no --{option}" for name in names if option not in known_options(name)]
    rest = _ELSEWHERE.sub("", _COMMAND.sub("", advice))
    doors = [door.partition(" --")[0] for door in doors]
    for match in _OPTION.finditer(rest):
        option, value = match[1], match[2]
        if option in of_commands:
            continue
        somewhere = [place for place in all_places() if option in known_options(place)] if not doors else []
        if not doors and not somewhere:
            faults.append(f"nothing has --{option}")
        for door in [*doors, *somewhere]:
            known = known_options(door)
            if option not in known:
                faults.append(f"{door} has no --{option}")
            elif value and (fault := type_fault(known[option], fire_value(value))):
                faults.append(f"{door} --{option} {value}: {fault} expected")
    keys = [one or other for one, other in _LIST_KEY.findall(advice)]
    return faults + [
        f"a data list has no key {key!r}" for key in keys if not key.isdecimal() and key not in list_keys()
    ]


def _named(words: str) -> tuple[str, bool]:
    named, command = find_command(Commands(), words.split())
    return (" ".join(named), True) if inspect.isroutine(command) else ("", False)


def _command_faults(words: str) -> list[str]:
    name, exists = _named(words)
    if not exists:
        return [f"no command python -m monai_cl {words}"]
    return [f"{name} has no --{option}" for option, _ in _OPTION.findall(words) if option not in known_options(name)]


@cache
def known_options(place: str) -> dict[str, Any]:
    """Option -> its default, of a command or of a bundle's config (an overlay has those of the training too)."""
    if not place:
        return {}
    place = {"inference": "spleen_unetr_segmentation inference", "reading the store": "mixcl_ct_pretraining train"}.get(
        place, place
    )
    bundle, _, config = place.partition(" ")
    if bundle in bundle_names():
        names = ["train", config] if config in ("evaluate", "pretrain") else [config]
        files = [str(shipped_folder("bundles") / bundle / "configs" / f"{name}.yaml") for name in names]
        return dict(ConfigParser.load_config_files(files))
    named, command = find_command(Commands(), place.split())
    assert " ".join(named) == place, f"no such command: {place}"
    return {name: parameter.default for name, parameter in inspect.signature(command).parameters.items()}


@cache
def all_places() -> tuple[str, ...]:
    """Every command, and every config of every bundle."""
    commands = Commands()
    names = [name for name in dir(commands) if not name.startswith("_")]
    groups = {name: getattr(commands, name) for name in names}
    places = [name for name, value in groups.items() if inspect.isroutine(value)]
    places += [
        f"{name} {one}"
        for name, group in groups.items()
        if not inspect.isroutine(group)
        for one in dir(group)
        if not one.startswith("_")
    ]
    configs = [f"{bundle} {config}" for bundle in bundle_names() for config in ("train", "inference", "evaluate")]
    return (*places, *configs)


@cache
def list_keys() -> set[str]:
    """Every key that the schema of data lists has anywhere."""
    found: set[str] = set()

    def walk(part: Any) -> None:
        if isinstance(part, dict):
            found.update(part.get("properties", {}) if isinstance(part.get("properties"), dict) else {})
            for value in part.values():
                walk(value)
        elif isinstance(part, list):
            for value in part:
                walk(value)

    walk(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    return found
