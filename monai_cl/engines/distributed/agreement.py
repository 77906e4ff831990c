"""Processes that were started differently would run for hours with different configurations: refuse them."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from monai_cl.data.records.results import installed_versions
from monai_cl.engines.distributed.collectives import gather, world_size
from monai_cl.engines.launch.command_line import invocation
from monai_cl.errors import UserError

# what may differ from machine to machine
LOCAL_KEYS = {"bundle_root", "dataset_dir", "data_list", "store_dir", "output_dir", "num_workers", "prepare_workers"}


def check_equal_on_all_ranks(values: Mapping[str, Any], *, remedy: str) -> None:
    """Refuse processes that differ from process 0; all of them must call it, with anything that pickles.

    Args:
        values: name -> the value in this process.
        remedy: what the user can do.

    Raises:
        UserError: on every process; names the first that differs, where it runs, and both values.
    """
    if world_size() == 1:
        return
    by_rank = gather([(socket.gethostname(), dict(values))])
    host, first = by_rank[0]
    for number, (other_host, other) in enumerate(by_rank):
        for what in sorted(first.keys() | other.keys()):
            if other.get(what) != first.get(what):
                raise UserError(
                    what,
                    found=(
                        f"process {number} (on {other_host}) has {_short(other.get(what))}, process 0 (on {host}) has "
                        f"{_short(first.get(what))}"
                    ),
                    remedy=remedy,
                )


def require_same_start() -> None:
    """Refuse processes with other versions or another config than process 0's.

    Raises:
        UserError: see `check_equal_on_all_ranks`.
    """
    check_equal_on_all_ranks(versions(), remedy="install the same versions on every machine")
    check_equal_on_all_ranks(shared_config(), remedy="start every machine with the same config files and options")


def versions() -> dict[str, str | None]:
    """What has to be the same everywhere; Python's patch release may differ."""
    installed = installed_versions()
    installed["python"] = ".".join(str(installed["python"]).split(".")[:2])
    return {f"version of {name}": version for name, version in installed.items()}


def shared_config() -> dict[str, str]:
    """The merged config of this process's command line but for what may differ from machine to machine."""
    call = invocation()
    config = call.merged_config() if call else {}
    return {f"config key {key}": str(value) for key, value in config.items() if key not in LOCAL_KEYS}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
