"""A bundle's config as one file: overlays and overrides merged, nothing resolved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from monai_cl.engines.launch.command_line import Invocation
from monai_cl.errors import UserError
from monai_cl.files import new_file
from monai_cl.shipped import shipped_folder

OVERLAYS = ("evaluate", "multi_gpu_train")


def export_config(
    bundle: str, output: str | Path, *, config: str = "train", overrides: Mapping[str, Any] | None = None
) -> Path:
    """Merge and write.

    Args:
        bundle: name of a bundle of this project, or a bundle's folder.
        output: ``.yaml``, ``.yml`` or ``.json`` file; must not exist.
        config: ``train``, ``inference``, or an overlay over ``train``.
        overrides: id -> value, nested ids as on MONAI's command line.

    Raises:
        UserError: unknown bundle, config or key, a value of another kind, or a file that exists.
    """
    folder = Path(bundle)
    if not (folder / "configs").is_dir():
        folder = shipped_folder("bundles") / bundle
    names = ["train", config] if config in OVERLAYS else [config]
    files = [folder / "configs" / f"{name}.yaml" for name in names]
    for file in files:
        if not file.is_file():
            raise UserError(
                file,
                found="no such config",
                remedy="give a bundle (name or folder) and train, evaluate, inference or multi_gpu_train",
            )
    output = Path(output)
    if output.suffix not in (".yaml", ".yml", ".json"):
        raise UserError(output, expected="a file that ends in .yaml, .yml or .json")
    if not output.parent.is_dir():
        raise UserError(output, found=f"the folder {output.parent} does not exist", remedy="create it first")
    if output.exists():
        raise UserError(output, found="exists already", remedy="choose another name")
    merged = Invocation(tuple(map(str, files)), dict(overrides or {}), "")
    merged.check_overrides()
    content = merged.merged_config() | {"bundle_root": str(folder.resolve())}  # the copy may lie anywhere
    with new_file(output) as temporary:
        ConfigParser.export_config_file(content, str(temporary), fmt="json" if output.suffix == ".json" else "yaml")
    return output
