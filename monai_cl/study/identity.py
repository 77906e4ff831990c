"""What makes two cells the same: their command, the bundle's config, and the content of their inputs."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from monai_cl.data.store.sources import fingerprint
from monai_cl.engines.recipes import CLUSTERING
from monai_cl.engines.recipes import PRESETS as RECIPES
from monai_cl.errors import UserError
from monai_cl.losses.mixcl.presets import balance_interval, mask_ratio, mixcl_preset, view_geometry
from monai_cl.shipped import bundle_folder, list_file

ABSENT = "absent"
LIST = "list:"


def digest(content: Any) -> str:
    """16 hexadecimal digits of JSON content; the order of keys does not matter."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def find_bundle(name: str, *, beside: Path) -> Path:
    """A bundle's folder: one of the project by its name, another by its path, which starts from the folder ``beside``.

    Raises:
        UserError: there is none.
    """
    folder = beside / name
    return folder.resolve() if (folder / "configs").is_dir() else bundle_folder(name)


def config_digest(
    folder: Path, configs: tuple[str, ...], options: Mapping[str, Any], *, run_id: str | None = None
) -> str:
    """Digest of a bundle's config files as they are merged; comments and layout do not matter.

    Files in folders beside them (a method) count where a value of the config or an option names them, and so do the
    values that a ``preset`` stands for.

    Args:
        folder: of the bundle.
        configs: names of files in ``configs``, without ending.
        options: what the study replaces.
        run_id: the entry that is run; None: ``run``.

    Raises:
        UserError: no such file, or no such entry in them.
    """
    merged: dict[str, Any] = {}
    contents = []
    for name in configs:
        file = folder / "configs" / f"{name}.yaml"
        if not file.is_file():
            raise UserError(file, found="no such config")
        contents.append(_yaml(file))
        merged |= contents[-1]
    if run_id is not None and run_id not in merged:
        raise UserError(folder / "configs" / f"{configs[0]}.yaml", found=f"no key {run_id!r}, as run_id says")
    preset = _preset_values(merged, options)
    named = {value for value in {**merged, **options}.values() if isinstance(value, str)}
    parts = [file for file in sorted((folder / "configs").glob("*/*.yaml")) if file.stem in named]
    return digest([contents, {file.stem: _yaml(file) for file in parts}, preset])


def _preset_values(config: Mapping[str, Any], options: Mapping[str, Any]) -> list[Any]:
    """What a config's ``preset`` stands for: it lies in the code, and is part of what is computed."""
    name = options.get("preset", config.get("preset"))
    calls = " ".join(value for value in config.values() if isinstance(value, str))
    found: list[Any] = []
    with contextlib.suppress(UserError):  # an unknown name: the run says so
        if "mixcl_preset(" in calls:
            found.append(mixcl_preset(str(name)))
            beside = {"mask": mask_ratio(name), "geometry": view_geometry(name), "balance": balance_interval(name)}
            if any(beside.values()):
                found.append(beside)
    if "fine_tuning_preset(" in calls:
        found.append(RECIPES.get(str(name)))
    if "clustering_preset(" in calls:
        found.append(CLUSTERING.get(str(name)))
    return found


def input_path(value: str, *, beside: Path) -> Path:
    """Path of an input: ``list:NAME`` is a data list of the project; a relative path starts from ``beside``."""
    if value.startswith(LIST):
        return list_file(value.removeprefix(LIST))
    return (beside / Path(value).expanduser()).resolve()


def input_digest(path: Path, *, memory: Path | None = None) -> str:
    """Digest of a file's bytes, or of the names and bytes of all files below a folder; `ABSENT` where there is nothing.

    Args:
        path: file or folder. Hidden files do not count.
        memory: folder in which digests are remembered with the size and time of their file.
    """
    if path.is_file():
        return fingerprint(path, memory).sha256[:16]
    if not path.is_dir():
        return ABSENT
    files = [file for file in sorted(path.rglob("*")) if file.is_file()]
    named = {file.relative_to(path).as_posix(): file for file in files}
    shown = {name: file for name, file in named.items() if not any(part.startswith(".") for part in name.split("/"))}
    return digest({name: fingerprint(file, memory).sha256 for name, file in shown.items()})


def _yaml(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8")) or {}
