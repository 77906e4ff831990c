"""``python -m monai_cl preview CONFIG``: a page of what the network will see, before a run is started."""

from __future__ import annotations

import os
from typing import Any

from monai_cl.cli.report import hash_key
from monai_cl.errors import UserError, echo
from monai_cl.files import size_in_words


def preview_command(
    config: str,
    output: str = "preview.html",
    *,
    samples: int = 4,
    hash_patients: bool | str = False,
    args_file: str | None = None,
    **overrides: Any,
) -> None:
    """Write a page of what the network of a run will see: the batches of its first iterations, and what they cost.

    No run is started, and nothing is written but the page and, where the store lacks them, the scans that are needed.
    See docs/preview.md.

    Example:
        python -m monai_cl preview spleen_unetr_segmentation --dataset_dir /data/Task09_Spleen --output preview.html

    Args:
        config: a bundle's train.yaml, or the bundle's folder or name; several files with commas between.
        output: the page to write.
        samples: how many are shown with their images; whole batches are loaded.
        hash_patients: show ids of scans as hashes, and neither patients nor paths; a word given here is used as key of
            the hash.
        args_file: file with values to replace, as `plan --output` writes it; the command line takes precedence.
        overrides: values to replace, as on the run's own command line.
    """
    from monai_cl.engines import preview_run
    from monai_cl.engines.launch.command_line import options_in
    from monai_cl.report import preview_faults, write_preview
    from monai_cl.report.privacy import case_namer

    if os.path.isdir(output):
        raise UserError(
            output, expected="the name of a file to write", found="a folder", remedy=f"try {output}/preview.html"
        )
    key = hash_key(hash_patients)
    if args_file is not None:
        overrides = {**options_in(args_file), **overrides}
    made = preview_run(config, overrides, samples=samples)
    path = write_preview(made, output, hash_patients=key)
    for line in preview_faults(made, case_namer(key)):
        echo(f"warning: {line}")
    if made.prepared:
        echo(f"prepared {made.prepared} scan{'' if made.prepared == 1 else 's'} into {made.store}")
    echo(f"wrote {path} ({size_in_words(path.stat().st_size)})")
