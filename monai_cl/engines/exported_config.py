"""A bundle's config as one file: overlays and overrides merged, nothing resolved."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import ID_SEP_KEY

from monai_cl.data.shipped import shipped_folder
from monai_cl.errors import UserError

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
        UserError: unknown bundle, config or key, or a file that exists.
    """
    folder = Path(bundle)
    if not (folder / "configs").is_dir():
        folder = shipped_folder("bundles") / bundle
    names = ["train", config] if config in OVERLAYS else [config]
    files = [folder / "configs" / f"{name}.yaml" for name in names]
    for file in files:
        if not file.is_file():
            raise UserError(
                f"{file}: no such config; give a bundle (name or folder) and train, evaluate, "
                "inference or multi_gpu_train"
            )
    output = Path(output)
    if output.suffix not in (".yaml", ".yml", ".json"):
        raise UserError(f"{output}: expected a file that ends in .yaml, .yml or .json")
    if not output.parent.is_dir():
        raise UserError(f"{output}: the folder {output.parent} does not exist; create it first")
    if output.exists():
        raise UserError(f"{output}: exists already; choose another name")
    parser = ConfigParser(ConfigParser.load_config_files([str(f) for f in files]))
    known = list(parser.get())
    for key, value in (overrides or {}).items():
        head = key.replace("#", ID_SEP_KEY).split(ID_SEP_KEY)[0]
        if head not in known:
            near = difflib.get_close_matches(head, known, n=1)
            raise UserError(
                f"--{key}: {files[-1]} has no key {head!r}" + (f"; did you mean --{near[0]}?" if near else "")
            )
        parser[key] = value
    parser["bundle_root"] = str(folder.resolve())  # the copy may lie anywhere
    ConfigParser.export_config_file(parser.get(), str(output), fmt="json" if output.suffix == ".json" else "yaml")
    return output
