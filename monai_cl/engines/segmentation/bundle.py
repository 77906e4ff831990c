"""A segmentation bundle, of this project or from elsewhere, run on one scan from within another bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from monai_cl.data.io.formats import FILE_ENDINGS
from monai_cl.data.io.result_records import own_results
from monai_cl.errors import UserError

CONFIGS = ("inference.yaml", "inference.yml", "inference.json")


def is_bundle(folder: Any) -> bool:
    """Whether a folder is that of a bundle with an inference config."""
    return any((Path(str(folder)) / "configs" / name).is_file() for name in CONFIGS)


def segment_with_bundle(
    bundle: str | Path,
    image: str | Path,
    output_dir: str | Path,
    *,
    organ: str = "liver",
    device: torch.device | str = "cpu",
    overrides: Mapping[str, Any] | None = None,
) -> tuple[Path, int]:
    """Run a bundle's inference on one scan.

    Args:
        bundle: its folder; the config must have the keys ``datalist`` and ``output_dir``, as MONAI's bundles do.
        image: the scan.
        output_dir: folder for the mask; an existing one from an earlier run is made again.
        organ: whose label id is wanted.
        device: where the network runs.
        overrides: of the config, such as ``checkpoint``.

    Returns:
        the mask's file and the id of the organ in it.

    Raises:
        UserError: not a bundle, one without these keys or that does not segment the organ, or no mask was written.
    """
    bundle, output_dir = Path(bundle).resolve(), Path(output_dir).resolve()
    if not is_bundle(bundle):
        raise UserError(bundle, expected="a segmentation bundle with configs/inference.yaml", found="none")
    file = next(bundle / "configs" / name for name in CONFIGS if (bundle / "configs" / name).is_file())
    config = ConfigParser.load_config_files(str(file))
    options = dict(overrides or {})
    absent = [key for key in ("datalist", "output_dir", *options) if key not in config]
    if absent:
        raise UserError(
            file, expected=f"the key {absent[0]!r}", found="none", remedy=f"it has {', '.join(sorted(config))}"
        )
    organs = _organs({**config, **options, "bundle_root": str(bundle)})
    label = _organ_id(organs, bundle / "configs" / "metadata.json", organ=organ)
    own = own_results(output_dir) if output_dir.is_dir() else set()
    for old in (*_masks_in(output_dir), *(output_dir / name for name in own)):
        old.unlink(missing_ok=True)
    workflow = ConfigWorkflow(
        config_file=str(file),
        logging_file=False,
        workflow_type="infer",
        # its own root: it would look for that in the command line, which is another bundle's
        **{"bundle_root": str(bundle), "device": torch.device(device), **options},
        datalist=[str(Path(image).resolve())],
        output_dir=str(output_dir),
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    masks = _masks_in(output_dir)
    if len(masks) != 1:
        raise UserError(bundle, expected=f"one mask of {image} in {output_dir}", found=len(masks) or "none")
    return masks[0], label


def _organs(config: Mapping[str, Any]) -> Any:
    """The config's ``organs``, from the record of its checkpoint where they are taken from there."""
    if "monai_cl.engines.from_model" in str(config.get("organs")):
        return ConfigParser(dict(config), globals={"monai_cl": "monai_cl"}).get_parsed_content("organs")
    return config.get("organs")


def _organ_id(organs: Any, metadata: Path, *, organ: str) -> int:
    """From the config's organs (1, 2, …) or, where it names none, from the channels that the metadata name."""
    names: dict[int, str] = {}
    if isinstance(organs, (list, tuple)):
        names = {number: str(name) for number, name in enumerate(organs, start=1)}
    elif metadata.is_file():
        content = json.loads(metadata.read_text(encoding="utf-8"))
        channels = content.get("network_data_format", {}).get("outputs", {}).get("pred", {}).get("channel_def", {})
        names = {int(number): str(name) for number, name in channels.items()}
    for number, name in names.items():
        if name.strip().lower() == organ.lower():
            return number
    raise UserError(
        metadata.parent.parent,
        expected=f"a bundle that segments the {organ}",
        found=", ".join(names.values()) or "no names of organs",
    )


def _masks_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name.lower().endswith(FILE_ENDINGS))
