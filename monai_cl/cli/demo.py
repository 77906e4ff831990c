"""``python -m monai_cl demo``."""

from __future__ import annotations

from monai_cl.errors import echo


def demo_command(output: str = "runs/demo", *, seed: int = 0, quick: bool = False) -> None:
    """Show on synthetic CT what pre-training brings, with an interval: MixCL to Dice, WSP to the AUC of fibrosis.

    Runs the studies demo_organs and demo_slices, which takes some thirty minutes on two CPU cores, and writes a report.
    Killed at any moment, the same command goes on; a folder with another seed or size is refused.

    Example:
        python -m monai_cl demo --output runs/demo

    Args:
        output: folder of the demonstration.
        seed: of the cohorts, and the first of the seeds of the runs.
        quick: a few iterations of each step, to see that it runs; its numbers mean nothing.
    """
    import signal
    import sys

    from monai_cl.demo import run_demo

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    record = run_demo(output, seed=seed, quick=quick)
    echo("")
    for line in record["findings"]:
        echo(line)
    echo(f"\n{output}/results.json\n{output}/report.html")
