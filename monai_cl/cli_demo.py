"""``python -m monai_cl demo``."""

from __future__ import annotations


def demo_command(output: str = "runs/demo", *, seed: int = 0, quick: bool = False) -> None:
    """Run the whole way on synthetic CT: cohort, pre-training, fine-tuning with few labels, Dice table, report.

    Takes up to ten minutes on two CPU cores. Steps whose results lie in the output folder are not run again.

    Example:
        python -m monai_cl demo --output runs/demo

    Args:
        output: folder of the demonstration.
        seed: of everything.
        quick: a few iterations of each step, to see that it runs; its numbers mean nothing.
    """
    from monai_cl.demo import Demo, DemoSize

    size = (
        DemoSize(cases=5, pretrain_iterations=50, spleen_iterations=10, organs_iterations=10) if quick else DemoSize()
    )
    record = Demo(output, seed=seed, size=size).run()
    print(f"\nDice on synthetic CT, original image space, seed {seed}:")
    for run in record["runs"]:
        organs = "  ".join(f"{organ} {'—' if x is None else f'{x:.3f}'}" for organ, x in run["dice"].items())
        print(
            f"  {run['name']:20s} mean {run['mean_dice']:.3f}   {organs}   "
            f"({len(run['training_cases'])} labelled, {run['test_cases']} test cases)"
        )
    print(f"\n{output}/results.json\n{output}/report.html")
