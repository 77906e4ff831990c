"""``python -m monai_cl doctor``: does this machine have what a run needs?"""

from __future__ import annotations

import sys

from monai_cl.errors import UserError, echo


def doctor_command(
    *,
    output_dir: str = ".",
    data_list: str | None = None,
    data_root: str | None = None,
    allow_outside: bool = False,
    store: str | None = None,
    processes: int = 1,
    json: bool = False,
) -> None:
    """Check packages, GPUs, shared memory, disk, and a data list and a store if named; say what to do.

    Ends with status 1 when something blocks a run, 0 otherwise.

    Example:
        python -m monai_cl doctor --data_list folds.json --data_root /data --store /data/store --processes 2

    Args:
        output_dir: where runs will write.
        data_list: JSON file to look at; headers only.
        data_root: folder the list's paths start from; default: the folder of the list.
        allow_outside: trust a list whose paths or links leave data_root.
        store: folder of prepared volumes to look at.
        processes: that torchrun is to start on this machine (--nproc_per_node).
        json: print JSON for other programs.
    """
    from json import dumps

    from monai_cl.engines.doctor import checks as checkup

    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        raise UserError("--processes", expected="an integer >= 1", found=f"{processes!r}")
    checks = checkup.diagnose(
        output_dir=str(output_dir),
        data_list=None if data_list is None else str(data_list),
        data_root=None if data_root is None else str(data_root),
        allow_outside=allow_outside,
        store=None if store is None else str(store),
        processes=processes,
    )
    echo(dumps(checkup.as_json(checks), indent=1) if json else checkup.as_text(checks))
    if checkup.blocks(checks):
        sys.exit(1)
