"""``python -m monai_cl doctor``: does this machine have what a run needs?"""

from __future__ import annotations

import sys

from monai_cl.errors import UserError, echo


def doctor_command(
    *,
    output_dir: str = ".",
    store: str | None = None,
    processes: int = 1,
    json: bool = False,
) -> None:
    """Check packages, GPUs, shared memory and disk; say what to do.

    Ends with status 1 when something blocks a run, 0 otherwise.

    Example:
        python -m monai_cl doctor --output_dir runs --store /data/store --processes 2

    Args:
        output_dir: where runs will write.
        store: where prepared volumes will be written, if elsewhere.
        processes: that torchrun is to start on this machine (--nproc_per_node).
        json: print JSON for other programs.
    """
    from json import dumps

    from monai_cl.engines.doctor import checks as checkup

    if isinstance(processes, bool) or not isinstance(processes, int) or processes < 1:
        raise UserError("--processes", expected="an integer >= 1", found=f"{processes!r}")
    where = {"output_dir": str(output_dir), "store": None if store is None else str(store)}
    checks = checkup.diagnose(**where, processes=processes)
    echo(dumps(checkup.as_json(checks), indent=1) if json else checkup.as_text(checks))
    if checkup.blocks(checks):
        sys.exit(1)
