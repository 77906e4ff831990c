"""``python -m monai_cl demo``."""

from __future__ import annotations

from monai_cl.errors import echo


def demo_command(output: str = "runs/demo", *, seed: int = 0, quick: bool = False) -> None:
    """Run both pathways on synthetic CT: MixCL to Dice with few labels, WSP to the AUC of advanced fibrosis; a report.

    Takes about ten minutes on two CPU cores. Steps whose results lie in the output folder are not run again; a
    folder with another seed or size is refused.

    Example:
        python -m monai_cl demo --output runs/demo

    Args:
        output: folder of the demonstration.
        seed: of everything.
        quick: a few iterations of each step, to see that it runs; its numbers mean nothing.
    """
    from monai_cl.demo import Demo, DemoSize

    size = (
        DemoSize(
            cases=5,
            pretrain_iterations=50,
            spleen_iterations=10,
            organs_iterations=10,
            graded=12,
            biopsies=24,
            slice_iterations=10,
            slice_batch=8,
        )
        if quick
        else DemoSize()
    )
    record = Demo(output, seed=seed, size=size).run()
    echo(f"\nDice on synthetic CT, original image space, seed {seed}:")
    for run in record["runs"]:
        organs = "  ".join(f"{organ} {'—' if x is None else f'{x:.3f}'}" for organ, x in run["dice"].items())
        echo(
            f"  {run['name']:20s} mean {run['mean_dice']:.3f}   {organs}   "
            f"({len(run['training_cases'])} labelled, {run['test_cases']} test cases)"
        )
    echo("\nAdvanced fibrosis on synthetic CT slices, AUC by patient, frozen encoder, five folds:")
    for run in record["classification"]:
        interval = "" if run["auc_interval"] is None else "   pooled [{:.3f}, {:.3f}]".format(*run["auc_interval"])
        echo(
            f"  {run['name']:20s} AUC {run['auc']:.3f} ± {run['auc_std']:.3f}{interval}   ({run['patients']} patients)"
        )
    echo(f"\n{output}/results.json\n{output}/report.html")
