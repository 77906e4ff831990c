"""The first thing a bundle's ``initialize`` runs: typing mistakes and user errors become one clear line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch.distributed as dist

from monai_cl.compat import running_workflow_folder, silence_gpu_decoder
from monai_cl.engines.launch.command_line import Invocation, invocation
from monai_cl.engines.launch.error_report import report_errors
from monai_cl.errors import UserError
from monai_cl.shipped import is_installed, list_file, shipped_folder


def preflight() -> None:
    """Check the command line's overrides against the config, and report in one line what a user can fix.

    MONAI's config parser wraps errors in another exception with a long traceback. In a process started by
    ``python -m monai.bundle run`` an exception caused by a `UserError` prints only that error; lack of memory, a full
    disk or a missing folder are explained likewise (`explain_failure`).
    """
    silence_gpu_decoder()
    call = invocation()
    if call is None:
        return
    report_errors()
    started = int(os.environ.get("WORLD_SIZE", 1)) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    if started > 1 and not dist.is_initialized():
        joins = "add the bundle's configs/multi_gpu_train.yaml as the last of --config_file, or "
        raise UserError(
            f"torchrun started {started} processes, and {call.config_files[-1]} does not join them: each would do the "
            f"whole work and write over the others; {joins if 'train' in call.merged_config() else ''}run without "
            "torchrun"
        )
    call.check_overrides()
    check_places(call)
    if call.tracking is not None:
        # MLflow sends usage reports to its makers unless this is set; it is checked before every report
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def check_places(call: Invocation, *, keys: Sequence[str] = ("output_dir", "store_dir")) -> None:
    """Refuse to write into the installed package, where the next upgrade would delete it.

    Args:
        call: the config and its overrides.
        keys: of the folders that are written to.

    Raises:
        UserError: names the options to give.
    """
    config = call.merged_config()
    root = str(config.get("bundle_root", ""))
    if root.startswith(("$", "@")):
        root = str(Path(call.config_files[0]).resolve().parent.parent)
    inside = [key for key in keys if str(config.get(key, "")).startswith("$@bundle_root")]
    if inside and is_installed(root):
        options = " and ".join(f"--{key} FOLDER" for key in inside)
        raise UserError(
            f"{root} is part of the installed package; say where results go: {options}, or work in your own copy: "
            f"python -m monai_cl bundle copy {Path(root).name} FOLDER"
        )


def bundle_root(name: str) -> str:
    """The folder of the bundle whose config is being run, so that bundles work from any current directory.

    Looked for in this order: the folder of the `ConfigWorkflow` that asks, that of the ``--config_file`` on the command
    line, the current directory, the bundles of this checkout or installation.

    Args:
        name: folder name of the bundle, such as ``mixcl_ct_pretraining``.
    """
    call = invocation()
    running = running_workflow_folder()
    candidates = [] if running is None else [running.resolve().parent]
    candidates += [Path(f).resolve().parent.parent for f in call.config_files] if call else []
    candidates += [Path.cwd(), shipped_folder("bundles") / name]
    for folder in candidates:
        if (folder / "configs" / "metadata.json").is_file():
            return str(folder)
    raise UserError(
        f"bundle {name!r}",
        found=f"no configs/metadata.json in {', '.join(map(str, candidates))}",
        remedy="pass --bundle_root",
    )


def shipped_list(name: str) -> str:
    """Path of a data list that comes with the project, such as ``msd_spleen``.

    Args:
        name: file name of the list in ``data_lists``, without ``.json``.
    """
    return str(list_file(name))
